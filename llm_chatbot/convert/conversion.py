"""Checkpoint → OpenVINO IR → compressed weights → a folder that Optimum Intel and OpenVINO GenAI load as it is.

Importing this module is cheap. `convert/pipeline.py`, which converts, takes seconds to import, and is not needed where
the folder is there already.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.row import GGUFWheel, Int4Settings, ModelConfig
from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.errors import UserError
from llm_chatbot.folder.current import Found, compare_folder, identity
from llm_chatbot.folder.group_sizes import is_multiplied_rightly
from llm_chatbot.folder.manifest import write_manifest
from llm_chatbot.folder.place import (
    AS_IN_FILE,
    as_precision,
    default_precision,
    lock_file,
    partial_folder,
    precisions_of,
    release_lock,
)
from llm_chatbot.folder.variant import Variant
from llm_chatbot.machine.json_progress import write_step
from llm_chatbot.texts import Text

# Names of INT4 settings, see `int4_settings`.
SETTINGS = ("best", "fast", "tutorial", "npu")

# NPUs take symmetric weights only, and one scale for each row of a model with more weights than this.
NPU_GROUPS_UP_TO = 4_000_000_000


def convert_model(
    name: str,
    precision: str | None = None,
    output_root: Path = Path("."),
    int4: Int4Settings | None = None,
    settings: str = "best",
    prebuilt: bool = False,
    allow_non_finite: bool = False,
    direct: bool = False,
    text_only: bool = False,
) -> Path:
    """Converts a model, unless its folder is complete and was made with the same settings.

    The files are written to a folder beside the target, which is renamed once it is complete: an interrupted conversion
    leaves nothing that looks finished. If another process is converting to the same folder, this one waits for it.

    Args:
        name: of the catalogue, the Hub or a local checkpoint; see `get_model_config`.
        precision: of the weights: "FP16", "INT8", "INT4", or `AS_IN_FILE` for those of a GGUF file as they are; None:
            see `default_precision`.
        output_root: gets `<name>/FP16`, `<name>/INT8_compressed_weights`, `<name>/INT4_compressed_weights` or
            `<name>/GGUF`.
        int4: settings to use instead of the catalogue's.
        settings: name of the INT4 settings, see `int4_settings`; without effect where `int4` is given.
        prebuilt: take the INT4 variant that OpenVINO's organisation publishes on the Hub as it is, instead of
            converting the model.
        allow_non_finite: convert a checkpoint all the same if weights of it are NaN or infinite.
        direct: write the graph of a checkpoint with OpenVINO's operations, as a GGUF file's, instead of exporting a
            PyTorch model; for the architectures of `convert/direct/settings.py`. A checkpoint that is quantized already
            is always converted so, and keeps its weights, and so is one with experts.
        text_only: leave out what reads images, of a model that does; it takes less disk and memory so.

    Returns:
        The folder, which Optimum Intel and OpenVINO GenAI load as it is.

    Raises:
        UserError: there is no such model or precision, a CPU multiplies groups of this size wrongly, disk or memory is
            too small, or the checkpoint cannot be downloaded or read.
    """
    variant = _wanted_variant(name, precision, Path(output_root), int4, settings, prebuilt)
    variant = replace(variant, allow_non_finite=allow_non_finite, direct=direct, text_only=text_only)
    if compare_folder(variant).is_current:
        return variant.folder
    try:
        with _lock(variant.folder):
            found = compare_folder(variant)  # once more: another process may have converted meanwhile
            if not found.is_current:
                _convert(variant, found)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "iostream" not in str(error):  # how OpenVINO reports a failed write
            raise
        reason = getattr(error, "strerror", None) or Text("convert.write_failed")
        raise UserError("convert.not_written", folder=variant.folder, reason=reason) from error
    return variant.folder


def _wanted_variant(
    name: str, asked: str | None, root: Path, int4: Int4Settings | None, settings: str, prebuilt: bool
) -> Variant:
    """The variant that `convert_model` is asked for. Args, raises: as there."""
    config = get_model_config(name)
    precision = default_precision(config) if asked is None else as_precision(asked)
    if precision not in precisions_of(config):
        if config.adapters and config.is_gguf:
            raise UserError("adapter.precision", precisions=", ".join(precisions_of(config)))
        raise UserError("model.no_gguf", name=name, precisions=", ".join(precisions_of(config)))
    if precision == "INT4" and int4 is None:
        int4 = int4_settings(config, settings)
    if prebuilt and (not config.openvino_id or precision != "INT4" or int4):
        with_one = [row for row, other in SUPPORTED_LLM_MODELS.items() if other.openvino_id]
        raise UserError("convert.no_prebuilt", models=", ".join(with_one))
    if prebuilt and config.adapters:
        raise UserError("adapter.prebuilt")
    if precision == "INT4" and int4 is not None and not is_multiplied_rightly(int4.group_size):
        raise UserError("convert.groups", size=int4.group_size)
    config = replace(config, int4=int4 or config.int4)
    return Variant(name, config, precision, root, prebuilt=prebuilt, files=_found_files(config))


def int4_settings(config: ModelConfig, choice: str) -> Int4Settings | None:
    """A model's 4-bit settings by name.

    Args:
        choice: "best": the catalogue's. "fast": its groups in the mode that decodes fastest on this machine, which is
            measured once. "tutorial": those of OpenVINO's tutorial, or the catalogue's for a model that it lacks.
            "npu": what Intel's NPUs run; on a machine without one, for another.

    Returns:
        None for the catalogue's.

    Raises:
        UserError: there is no such choice.
    """
    if choice not in SETTINGS:
        raise UserError("convert.no_settings", settings=repr(choice), known=", ".join(SETTINGS))
    if choice == "fast":
        from llm_chatbot.convert.export.fastest import fastest_int4  # here, because it imports NNCF

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
    if not config.adapters and (config.checkpoint is None or isinstance(config.checkpoint, GGUFWheel)):
        return None
    from llm_chatbot.sources.gguf_files import found_files  # here, because only some models need it

    return found_files(config)


def _convert(variant: Variant, found: Found) -> None:
    """Converts to a folder beside the variant's, and moves it there once it is complete."""
    target = variant.folder
    if found.manifest:
        print(f"Converting {target} again because {found.reason}.")
    work = partial_folder(target)
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        source = _with_checks(_write(variant, work), variant, work)
        facts = {**source, "gpu_precision": variant.config.gpu_precision, "versions": _versions(variant)}
        write_manifest(work, name=variant.name, **identity(variant), **facts)
        shutil.rmtree(target, ignore_errors=True)
        work.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write(variant: Variant, folder: Path) -> dict[str, Any]:
    """Writes all files but the manifest. Returns, raises: as `write_model` in `convert/pipeline.py`."""
    if variant.precision == AS_IN_FILE:
        from llm_chatbot.convert.gguf.folder import write_own_blocks

        return write_own_blocks(variant, folder)
    # Imported here because it brings PyTorch, Optimum Intel and NNCF, which takes seconds.
    from llm_chatbot.convert.pipeline import write_model

    return write_model(variant, folder)


def _with_checks(facts: dict[str, Any], variant: Variant, folder: Path) -> dict[str, Any]:
    """Adds what is found out about a folder, unless it is known of another precision."""
    from llm_chatbot.convert.facts.folder_facts import check_folder  # here, because it imports Transformers

    if "checks" not in facts:
        write_step("Checking")
        facts["checks"] = check_folder(folder, variant.config.model_id)
    return facts


def _versions(variant: Variant) -> dict[str, str]:
    """The versions of what a folder was made with."""
    packages = ["openvino", "openvino-tokenizers", "transformers"]
    packages += [] if variant.precision == AS_IN_FILE else ["optimum-intel", "nncf"]
    return {package: version(package) for package in packages}


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
