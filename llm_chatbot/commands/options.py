"""Options and checks that the command lines share."""

import argparse
import logging
import math
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn

from platformdirs import user_data_path

from llm_chatbot.answering.limits import MAX_CONCURRENT, MAX_WAITING
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.engine.precisions import KV_CACHE_PRECISIONS
from llm_chatbot.errors import UserError
from llm_chatbot.folder.found import converted_folder
from llm_chatbot.folder.manifest import is_complete
from llm_chatbot.folder.place import AS_IN_FILE, SUBFOLDERS, check_root, default_precision, model_folder
from llm_chatbot.machine.deferred_import import leave_out

STOPPED = 130  # the exit status of what Ctrl+C ended, as shells count

LOG_LEVELS = ("debug", "info", "warning", "error")


@dataclass(frozen=True)
class Caller:
    """How a command was started.

    Attributes:
        command: as the user typed it, for messages.
        models: the folder of converted models, unless `--output` names another.
        converts: whether a model that is not there yet is converted first.
    """

    command: str
    models: Path = Path(".")
    converts: bool = False


def interrupt_on_sigterm() -> None:
    """Lets SIGTERM, with which service managers end a process, do what Ctrl+C does."""

    def interrupt(*_: Any) -> NoReturn:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


def models_folder() -> Path:
    """`LLM_CHATBOT_MODELS`, or the place that the operating system has for a user's data."""
    named = os.environ.get("LLM_CHATBOT_MODELS")
    return Path(named) if named else user_data_path("llm-chatbot", appauthor=False) / "models"


class Parser(argparse.ArgumentParser):
    """A parser that raises a `UserError` for arguments it doesn't know, instead of printing its usage and exiting."""

    def __init__(self, caller: Caller, description: str) -> None:
        super().__init__(prog=caller.command, description=description)

    def error(self, message: str) -> NoReturn:
        raise UserError("command.wrong_arguments", reason=f"{message[:1].upper()}{message[1:]}", command=self.prog)


def settle_precision(arguments: argparse.Namespace) -> None:
    """Chooses the precision where the user names none.

    Raises:
        UserError: there is no such model.
    """
    if arguments.precision is None:
        arguments.precision = default_precision(get_model_config(arguments.model))


def prepare(arguments: argparse.Namespace, caller: Caller) -> None:
    """Sees to it that the models that the arguments name are there; they are converted first where the caller does so.

    Raises:
        UserError: there is no such model or precision, it is not converted, or its conversion failed.
    """
    _prepare_model(arguments, caller)
    if arguments.draft is not None:
        _prepare_model(argparse.Namespace(**{**vars(arguments), "model": arguments.draft, "precision": None}), caller)


def _prepare_model(arguments: argparse.Namespace, caller: Caller) -> None:
    settle_precision(arguments)
    if not caller.converts:
        check_root(arguments.output)
    if arguments.precision == AS_IN_FILE:
        return
    folder = model_folder(arguments.model, arguments.precision, arguments.output)
    if caller.converts and not is_complete(folder):
        check_converter()
        arguments.output.mkdir(parents=True, exist_ok=True)
        print(f"Converting {arguments.model} to {arguments.precision} in {arguments.output}.", file=sys.stderr)
        # In a process of its own, whose libraries and memory are gone afterwards.
        module = "llm_chatbot.commands.convert"
        options = ["--precision", arguments.precision, "--output", str(arguments.output), "--", arguments.model]
        done = subprocess.run([sys.executable, "-m", module, *options], stdout=subprocess.DEVNULL)
        if done.returncode:
            raise UserError("command.not_converted", name=arguments.model)
    converted_folder(arguments.model, arguments.precision, arguments.output)


def leave_out_converters() -> None:
    """Leaves out what the runtime and gguf import for conversions, which have processes of their own: 19 MB."""
    leave_out("openvino.tools.ovc", "sentencepiece")


def check_converter() -> None:
    """Raises a `UserError` if what converts models is not installed: to chat with a GGUF file takes less."""
    if find_spec("nncf") is None:
        raise UserError("command.no_converter")


def gigabytes(text: str) -> float:
    """A size that a user gave, in GB."""
    size = float(text)
    if not 0 < size < math.inf:
        raise argparse.ArgumentTypeError(f"a number above 0, not {text}")
    return size


def add_model_options(parser: argparse.ArgumentParser, caller: Caller, named: bool = True) -> None:
    """Adds which model is run, and where.

    Args:
        named: whether the model's name is an option.
    """
    if named:
        parser.add_argument("model", nargs="?", default=argparse.SUPPRESS, help="as --model")
        parser.add_argument("--model", default=DEFAULT_MODEL, help=f"name of the model (default: {DEFAULT_MODEL})")
    add_precision_option(parser)
    parser.add_argument("--device", default="CPU", help="where the model runs, such as CPU, GPU or AUTO (default: CPU)")
    add_output_option(parser, caller)
    parser.add_argument(
        "--draft",
        metavar="NAME",
        help="smaller model with the same tokens, which writes ahead what the model verifies, where that is faster",
    )
    parser.add_argument(
        "--mmproj",
        type=Path,
        default=True,
        metavar="FILE",
        help="what reads images for a GGUF file (default: the mmproj file beside it)",
    )
    parser.add_argument(
        "--kv-cache-gb",
        type=gigabytes,
        help="memory for the keys and values of all conversations (default: by what is free)",
    )
    parser.add_argument(
        "--kv-cache-precision",
        default="auto",
        choices=KV_CACHE_PRECISIONS,
        help="of keys and values: u8 takes 0.6 of the memory, f16 is faster in long conversations (default: auto)",
    )
    parser.add_argument(
        "--cache-on-disk",
        action=argparse.BooleanOptionalAction,
        help="keep what the model has read on this disk, with its text, for the next start "
        f"(default: {'yes, unless others can reach the page' if named else 'no'}); llm-chatbot forget deletes it",
    )
    parser.add_argument(
        "--log-level",
        default="warning",
        choices=LOG_LEVELS,
        help="info logs a line for each answer (default: warning)",
    )


def memory_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Where the keys and values of the conversations are, and how much memory they take, for `open_model`."""
    return {
        "kv_cache_gb": arguments.kv_cache_gb,
        "kv_cache_precision": arguments.kv_cache_precision,
        "cache_on_disk": bool(arguments.cache_on_disk),
    }


def draft_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """The draft model, for `open_model`; empty: there is none.

    Raises:
        UserError: there is no such model.
    """
    if arguments.draft is None:
        return {}
    from llm_chatbot.answering.model_files import model_files  # imports the runtime

    precision = default_precision(get_model_config(arguments.draft))
    return {"draft": model_files(arguments.draft, precision, arguments.output, mmproj=False)}


def set_log_level(level: str) -> None:
    """Shows what the program logs from a level on, in lines on the standard error."""
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("llm_chatbot").setLevel(level.upper())


def add_precision_option(parser: argparse.ArgumentParser) -> None:
    known = ", ".join(SUBFOLDERS)
    default = f"a GGUF file's own, {AS_IN_FILE}; otherwise INT4"
    parser.add_argument("--precision", help=f"one of: {known} (default: {default})")


def add_output_option(parser: argparse.ArgumentParser, caller: Caller) -> None:
    help = f"folder of the converted models (default: {caller.models})"
    parser.add_argument("--output", type=Path, default=caller.models, help=help)


def add_access_options(parser: argparse.ArgumentParser) -> None:
    """Adds who may ask over the API: by which names of the server, and from which pages in a browser."""
    parser.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME",
        help="name that requests may call the server by, such as host.docker.internal; may be given more than once",
    )
    parser.add_argument(
        "--cors-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="origin of pages that may ask from a browser, such as http://localhost:3000; may be given more than once",
    )


def add_queue_options(parser: argparse.ArgumentParser) -> None:
    """Adds how many answers a server generates, for all who ask: the page and the API together."""
    parser.add_argument(
        "--max-concurrent", type=int, default=MAX_CONCURRENT, help=f"answers at a time (default: {MAX_CONCURRENT})"
    )
    parser.add_argument(
        "--max-waiting", type=int, default=MAX_WAITING, help=f"questions that may wait (default: {MAX_WAITING})"
    )


def check_at_least(arguments: argparse.Namespace, **least: int) -> None:
    """Raises a `UserError` if a number is too small, by the names of the arguments."""
    for name, minimum in least.items():
        if getattr(arguments, name) < minimum:
            option = f"--{name.replace('_', '-')}"
            raise UserError("command.at_least", option=option, least=minimum, value=getattr(arguments, name))


def add_address_options(parser: argparse.ArgumentParser, port: int) -> None:
    """Adds where a server listens.

    Args:
        port: the default.
    """
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=port, help=f"port to listen on (default: {port})")


def add_idle_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--idle", type=float, metavar="MINUTES", help="free a model's memory when nobody used it for so long"
    )


def check_idle(arguments: argparse.Namespace) -> None:
    """Raises a `UserError` if there is a time, and it is none."""
    if arguments.idle is not None and not 0 < arguments.idle < math.inf:
        raise UserError("command.idle", value=f"{arguments.idle:g}")


def idle_seconds(arguments: argparse.Namespace) -> float | None:
    return None if arguments.idle is None else 60 * arguments.idle
