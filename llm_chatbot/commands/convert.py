"""`llm-chatbot convert`, `list` and `info`, and `python converter.py`, which does all three."""

import argparse
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from llm_chatbot.catalogue.adapter_names import with_adapters
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL, SUPPORTED_LLM_MODELS
from llm_chatbot.commands.options import Caller, Parser, add_output_option, add_precision_option
from llm_chatbot.convert.conversion import SETTINGS, convert_model, int4_settings
from llm_chatbot.errors import UserError
from llm_chatbot.folder.place import as_precision, check_root
from llm_chatbot.machine.json_progress import JSONBar, write_error, write_step

CALLER = Caller("python converter.py")
TERMINATED = 143  # the exit status of what ended by SIGTERM, as shells count


def main(argv: Sequence[str] | None = None, caller: Caller = CALLER) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # so that it leaves nothing half-done
    for_program = False
    try:
        arguments = parser(caller).parse_args(argv)
        for_program = arguments.json or arguments.progress == "json"
        return print_models(arguments) if arguments.list or arguments.info else print_conversion(arguments, caller)
    except UserError as error:
        if for_program:
            write_error(error, sys.stdout)
        print(error, file=sys.stderr)
        return 2


def parser(caller: Caller = CALLER) -> Parser:
    parser = Parser(caller, "Convert a model to OpenVINO IR and compress its weights.")
    parser.add_argument("--list", action="store_true", help="list the catalogue and the models on this machine")
    parser.add_argument("--info", action="store_true", help="say what a model and its conversion need")
    parser.add_argument("--json", action="store_true", help="with --list or --info: as JSON")
    parser.add_argument("name", nargs="?", help=f"one of: {', '.join(SUPPORTED_LLM_MODELS)} (e.g. {DEFAULT_MODEL})")
    add_precision_option(parser)
    add_output_option(parser, caller)
    parser.add_argument("--settings", default="best", help=f"for INT4: {', '.join(SETTINGS)} (default: best)")
    parser.add_argument("--prebuilt", action="store_true", help="take OpenVINO's own INT4 folder from the Hub")
    parser.add_argument("--awq", action="store_true", help="INT4 with activation-aware weight quantization, data-free")
    parser.add_argument("--scale-estimation", action="store_true", help="INT4 with scales fitted to sample text")
    parser.add_argument("--allow-non-finite", action="store_true", help="convert weights that are NaN or infinite too")
    parser.add_argument(
        "--direct", action="store_true", help="write a checkpoint's graph without exporting it by PyTorch"
    )
    parser.add_argument(
        "--text-only", action="store_true", help="leave out what reads images, of a Gemma 3, Gemma 4 or Mistral 3"
    )
    parser.add_argument(
        "--adapter",
        action="append",
        default=[],
        metavar="NAME[:WEIGHT]",
        help="add a LoRA adapter to the weights: a folder, a .gguf file or org/name; may be given several times",
    )
    parser.add_argument("--progress", choices=("bars", "json"), default="bars", help="how progress is shown")
    return parser


def print_conversion(arguments: argparse.Namespace, caller: Caller) -> int:
    """Converts what the command line names, and prints the folder.

    Raises:
        UserError: as `convert`.
    """
    output = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):  # stdout gets the progress, if wanted, and the folder
        if arguments.progress == "json":
            report_progress(output)
        folder = convert(arguments, caller)
    print(json.dumps({"folder": str(folder)}) if arguments.progress == "json" else folder)
    return 0


def convert(arguments: argparse.Namespace, caller: Caller) -> Path:
    """Converts what the command line names.

    Raises:
        UserError: an argument is wrong, or see `convert_model`.
    """
    name, precision = arguments.name, arguments.precision
    if not name:
        raise UserError("command.no_name", command=caller.command)
    name = with_adapters(name, arguments.adapter)
    methods = {"awq": arguments.awq, "scale_estimation": arguments.scale_estimation}
    options = ["--settings"] * (arguments.settings != "best")
    options += [f"--{method.replace('_', '-')}" for method, wanted in methods.items() if wanted]
    if precision is None and (options or arguments.prebuilt):
        precision = "INT4"
    if options and as_precision(precision) != "INT4":
        raise UserError("command.int4_only", options=" and ".join(options))
    int4 = None
    if any(methods.values()):
        config = get_model_config(name)
        chosen = int4_settings(config, arguments.settings) or config.int4
        int4 = replace(chosen, **{method: wanted or getattr(chosen, method) for method, wanted in methods.items()})
    return convert_model(
        name,
        precision,
        arguments.output,
        int4,
        arguments.settings,
        arguments.prebuilt,
        arguments.allow_non_finite,
        arguments.direct,
        arguments.text_only,
    )


def print_models(arguments: argparse.Namespace) -> int:
    """Prints the list of models, or what is known of one, until the reader has read enough.

    Raises:
        UserError: there is no such model or folder, or what is known of the model can't be had.
    """
    try:
        for line in described_models(arguments):
            print(line, flush=True)
    except BrokenPipeError:  # as of `| head`; Python would complain once more when it closes the stream
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def described_models(arguments: argparse.Namespace) -> Iterable[str]:
    """The lines that `--list` and `--info` print."""
    from llm_chatbot.convert.facts import model_facts, model_list  # here, because they are needed for nothing else

    root = arguments.output
    if arguments.list:
        check_root(root)
        if not arguments.json:
            return model_list.model_list(root)
    facts = model_facts.all_models(root) if arguments.list else model_facts.one_model(arguments.name or "", root)
    return [json.dumps(facts)] if arguments.json else model_facts.in_words(facts)


def report_progress(stream: TextIO) -> None:
    """Makes the progress of a conversion lines of JSON; see `llm_chatbot.machine.json_progress`."""
    JSONBar.stream = stream
    write_step("Starting")


if __name__ == "__main__":
    sys.exit(main())
