"""Checkpoint → OpenVINO IR → compressed weights → a folder that Optimum Intel and OpenVINO GenAI load as it is.

Importing this module is cheap. What converts, `conversion.pipeline`, takes seconds to import, and is not needed where
the folder is there already.
"""

import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

from command_line import Parser
from config import (
    DEFAULT_MODEL,
    SUPPORTED_LLM_MODELS,
    GGUFWheel,
    Int4Settings,
    ModelConfig,
    UserError,
    get_model_config,
)
from model_folder import (
    SUBFOLDERS,
    Variant,
    as_precision,
    check_root,
    lock_file,
    partial_folder,
    release_lock,
    write_manifest,
)

from filelock import FileLock, Timeout

# Names of INT4 settings, see `int4_settings`.
SETTINGS = ("best", "fast", "tutorial", "npu")

TERMINATED = 143  # the exit status of what ended by SIGTERM, as shells count

# NPUs take symmetric weights only, and one scale for each row of a model with more weights than this.
NPU_GROUPS_UP_TO = 4_000_000_000


def convert_model(
    name: str,
    precision: str,
    output_root: Path = Path("."),
    int4: Int4Settings | None = None,
    settings: str = "best",
    prebuilt: bool = False,
) -> Path:
    """Converts a model, unless its folder is complete and was made with the same settings.

    The files are written to a folder beside the target, which is renamed once it is complete: an interrupted conversion
    leaves nothing that looks finished. If another process is converting to the same folder, this one waits for it.

    Args:
        name: of the catalogue, the Hub or a local checkpoint; see `get_model_config`.
        precision: of the weights: "FP16", "INT8" or "INT4".
        output_root: gets `<name>/FP16`, `<name>/INT8_compressed_weights` or `<name>/INT4_compressed_weights`.
        int4: settings to use instead of the catalogue's, or of the blocks of a GGUF file as they are.
        settings: name of the INT4 settings, see `int4_settings`; without effect where `int4` is given.
        prebuilt: take the INT4 variant that OpenVINO's organisation publishes on the Hub as it is, instead of
            converting the model.

    Returns:
        The folder, which Optimum Intel and OpenVINO GenAI load as it is.

    Raises:
        UserError: there is no such model or precision, disk or memory is too small, or the checkpoint cannot be
            downloaded or read.
    """
    variant = _wanted_variant(name, precision, Path(output_root), int4, settings, prebuilt)
    if variant.is_current:
        return variant.folder
    try:
        with _lock(variant.folder):
            variant = replace(variant)  # reads the manifest again: another process may have converted meanwhile
            if not variant.is_current:
                _convert(variant)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "iostream" not in str(error):  # how OpenVINO reports a failed write
            raise
        reason = getattr(error, "strerror", None) or "a write failed"
        raise UserError(
            f"Cannot write {variant.folder} ({reason}); free some disk space or choose another folder."
        ) from error
    return variant.folder


def _wanted_variant(
    name: str, precision: str, root: Path, int4: Int4Settings | None, settings: str, prebuilt: bool
) -> Variant:
    """The variant that `convert_model` is asked for, with what it keeps of a GGUF file. Args, raises: as there."""
    config = get_model_config(name)
    if precision == "INT4" and int4 is None:
        int4 = int4_settings(config, settings)
    if prebuilt and (not config.openvino_id or precision != "INT4" or int4):
        with_one = [row for row, other in SUPPORTED_LLM_MODELS.items() if other.openvino_id]
        raise UserError(
            f"The prebuilt models are in INT4 with settings of their own, for {', '.join(with_one)}; choose one of "
            f"them, or leave --prebuilt out."
        )
    variant = Variant(
        name,
        replace(config, int4=int4 or config.int4),
        as_precision(precision),
        root,
        prebuilt=prebuilt,
        files=_found_files(config),
    )
    # The file is looked at only if the folder doesn't say enough: it may be gone.
    if int4 is None and config.is_gguf and not variant.needs_no_blocks:
        return replace(variant, blocks=variant.recorded_blocks or _kept_blocks(variant))
    return variant


def int4_settings(config: ModelConfig, choice: str) -> Int4Settings | None:
    """A model's 4-bit settings by name.

    Args:
        choice: "best": the catalogue's, or the blocks of a GGUF file as they are. "fast": its groups in the mode that
            decodes fastest on this machine, which is measured once. "tutorial": those of OpenVINO's tutorial, or the
            catalogue's for a model that it lacks. "npu": what Intel's NPUs run; on a machine without one, for another.

    Returns:
        None for the catalogue's.

    Raises:
        UserError: there is no such choice.
    """
    if choice not in SETTINGS:
        raise UserError(f"There are no settings {choice!r}; choose one of: {', '.join(SETTINGS)}.")
    if choice == "fast":
        from conversion.fastest import fastest_int4  # here, because it imports NNCF

        return fastest_int4(config.int4)
    if choice == "npu":
        _note_missing_npu()
        one_scale_per_row = (config.parameters or 0) > NPU_GROUPS_UP_TO
        return Int4Settings("INT4_SYM", -1 if one_scale_per_row else 128, ratio=1.0)
    return config.tutorial_int4 if choice == "tutorial" else None


def _note_missing_npu() -> None:
    """Says so if this machine has no NPU: a model may be converted for another machine's, but not by mistake."""
    import openvino as ov  # here, because a folder that is there is found without it

    if not any(device.startswith("NPU") for device in ov.Core().available_devices):
        print(
            "This machine has no NPU: the folder is for one that has; leave --settings npu out to run the model here."
        )


def _found_files(config: ModelConfig) -> dict[str, Any] | None:
    if config.checkpoint is None or isinstance(config.checkpoint, GGUFWheel):
        return None
    from conversion.gguf_sources import found_files  # here, because only some models need it

    return found_files(config)


def _kept_blocks(variant: Variant) -> str | None:
    from conversion.gguf_file import kept_blocks  # here, because a folder that is there records the answer

    return kept_blocks(variant)


def _convert(variant: Variant) -> None:
    """Converts to a folder beside the variant's, and moves it there once it is complete."""
    # Imported here because it brings PyTorch, Transformers, Optimum Intel and NNCF, which takes seconds, and only a
    # conversion needs them.
    from conversion.pipeline import write_model

    target = variant.folder
    if variant.manifest:
        changes = ", ".join(f"{_plain(old)} → {_plain(new)}" for old, new in variant.changes.values())
        reason = "its checkpoint has changed" if variant.files_have_changed else f"its settings have changed: {changes}"
        print(f"Converting {target} again because {reason}.")
    work = partial_folder(target)
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        source = write_model(variant, work)
        versions = {package: version(package) for package in ("openvino", "optimum-intel", "nncf", "transformers")}
        facts = {**source, "gpu_precision": variant.config.gpu_precision, "versions": versions}
        write_manifest(work, name=variant.name, **variant.identity, **facts)
        shutil.rmtree(target, ignore_errors=True)
        work.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _plain(value: Any) -> str:
    return " ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else str(value)


@contextmanager
def _lock(target: Path) -> Iterator[None]:
    """Keeps other processes from converting to the same folder. The system releases the lock of a killed process."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(lock_file(target))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"Another process is converting to {target}; waiting for it.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        release_lock(lock, target)


def __getattr__(name: str) -> Any:
    """`converters`, the registry of architectures that Transformers lacks, is part of this module too."""
    if name == "converters":
        from conversion.architectures import converters  # on first use, as above

        return converters
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))  # so that it leaves nothing half-done
    try:
        arguments = parser().parse_args()
        if arguments.list or arguments.info:
            return print_models(arguments)
        output = sys.stdout
        with contextlib.redirect_stdout(sys.stderr):  # stdout gets the progress, if wanted, and the folder
            if arguments.progress == "json":
                report_progress(output)
            folder = convert(arguments)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(json.dumps({"folder": str(folder)}) if arguments.progress == "json" else folder)
    return 0


def parser() -> Parser:
    parser = Parser(description="Convert a model to OpenVINO IR and compress its weights.")
    parser.add_argument("--list", action="store_true", help="list the catalogue and the models on this machine")
    parser.add_argument("--info", action="store_true", help="say what a model and its conversion need")
    parser.add_argument("--json", action="store_true", help="with --list or --info: as JSON")
    parser.add_argument("name", nargs="?", help=f"one of: {', '.join(SUPPORTED_LLM_MODELS)} (e.g. {DEFAULT_MODEL})")
    parser.add_argument("--precision", default="INT4", help=f"one of: {', '.join(SUBFOLDERS)} (default: INT4)")
    parser.add_argument("--output", type=Path, default=Path("."), help="folder for the converted models (default: .)")
    parser.add_argument("--settings", default="best", help=f"for INT4: {', '.join(SETTINGS)} (default: best)")
    parser.add_argument("--prebuilt", action="store_true", help="take OpenVINO's own INT4 folder from the Hub")
    parser.add_argument("--awq", action="store_true", help="INT4 with activation-aware weight quantization, data-free")
    parser.add_argument("--scale-estimation", action="store_true", help="INT4 with scales fitted to sample text")
    parser.add_argument("--progress", choices=("bars", "json"), default="bars", help="how progress is shown")
    return parser


def convert(arguments: argparse.Namespace) -> Path:
    """Converts what the command line names.

    Raises:
        UserError: an argument is wrong, or see `convert_model`.
    """
    name, precision = arguments.name, arguments.precision
    if not name:
        raise UserError("Name a model; `python converter.py --list` shows those there are.")
    methods = {"awq": arguments.awq, "scale_estimation": arguments.scale_estimation}
    options = ["--settings"] * (arguments.settings != "best")
    options += [f"--{method.replace('_', '-')}" for method, wanted in methods.items() if wanted]
    if options and as_precision(precision) != "INT4":
        raise UserError(f"{' and '.join(options)} change INT4 only; leave them out or choose --precision INT4.")
    int4 = None
    if any(methods.values()):
        config = get_model_config(name)
        chosen = int4_settings(config, arguments.settings) or config.int4
        int4 = replace(chosen, **{method: wanted or getattr(chosen, method) for method, wanted in methods.items()})
    return convert_model(name, precision, arguments.output, int4, arguments.settings, arguments.prebuilt)


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
    from conversion import model_facts, model_list  # here, because they are needed for nothing else

    root = arguments.output
    if arguments.list:
        check_root(root)
        if not arguments.json:
            return model_list.model_list(root)
    facts = model_facts.all_models(root) if arguments.list else model_facts.one_model(arguments.name or "", root)
    return [json.dumps(facts)] if arguments.json else model_facts.in_words(facts)


def report_progress(stream: TextIO) -> None:
    """Makes the progress of a conversion lines of JSON; see `conversion.json_progress`."""
    from conversion.json_progress import JSONBar, write_step

    JSONBar.stream = stream
    write_step("Starting")


if __name__ == "__main__":
    sys.exit(main())
