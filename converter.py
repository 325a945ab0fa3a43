"""Checkpoint → OpenVINO IR → compressed weights → a folder that is complete in itself."""

import argparse
import contextlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from config import (
    DEFAULT_MODEL,
    SUPPORTED_LLM_MODELS,
    GGUFWheel,
    Int4Settings,
    ModelConfig,
    UserError,
    get_model_config,
)
from conversion.architectures import converters as converters  # part of this module, for those who add one
from conversion.calibration import calibration_dataset
from conversion.checkpoints import complete, fetch_checkpoint, load_checkpoint
from conversion.compression import compress_and_save
from conversion.exporter import MODEL_XML, can_hand_over, export
from conversion.gguf_file import kept_blocks
from conversion.gguf_model import BlockModel
from conversion.gguf_tokenizer import read_gguf_tokenizer
from conversion.progress import quiet
from model_folder import MANIFEST, SUBFOLDERS, is_complete, model_folder, read_manifest, write_manifest

import nncf
import openvino as ov
import psutil
from filelock import FileLock, Timeout
from transformers import AutoTokenizer, PreTrainedTokenizerBase

# What a conversion of a model of any size takes beyond the page cache: measured by benchmarks/conversion.py.
MEMORY_NEEDED = 1_500_000_000
# GGUF files can't be mapped: Transformers makes 32-bit weights of them, and then 16-bit ones.
MEMORY_PER_GGUF_WEIGHT = 6
# Scale estimation runs the model on text.
MEMORY_PER_WEIGHT_RUN = 4

# Rows that the groups do not divide get smaller ones, or 8 bits. The catalogue's rows need neither; other models may.
SMALLER_GROUPS = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST)


def convert_model(name: str, precision: str, output_root: Path = Path("."), int4: Int4Settings | None = None) -> Path:
    """Makes a variant of a model, unless a complete one with the same settings is there.

    The work is done in a folder beside the target, which gets the target's name when everything is in it:
    a conversion that is interrupted leaves nothing that looks finished. While another process is at the same
    folder, this one waits.

    Args:
        name: of the catalogue, the Hub or a local checkpoint: see `get_model_config`.
        precision: of the weights: "FP16", "INT8" or "INT4".
        output_root: gets `<name>/FP16`, `<name>/INT8_compressed_weights` or `<name>/INT4_compressed_weights`.
        int4: settings to use instead of the catalogue's, or of the blocks of a GGUF file as they are.

    Returns:
        The folder, which Optimum Intel and OpenVINO GenAI both load as it stands.

    Raises:
        UserError: no such model or precision, no room for the result, or the checkpoint can't be had.
    """
    config = get_model_config(name)
    blocks = None if int4 else kept_blocks(config, precision)
    config = replace(config, int4=int4 or config.int4, blocks=blocks)
    target = model_folder(name, precision, output_root)
    if _is_current(target, config, precision):
        return target
    try:
        with _only_one(target):
            if not _is_current(target, config, precision):  # which another process may have changed meanwhile
                _make(name, config, precision, output_root)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "iostream" not in str(error):  # OpenVINO's word for a failed write
            raise
        reason = getattr(error, "strerror", None) or "a write failed"
        raise UserError(f"{target} can't be written ({reason}); free some space or choose another folder.") from error
    return target


def _make(name: str, config: ModelConfig, precision: str, output_root: Path) -> None:
    """Fills a folder beside the target, and puts it in the target's place when it is whole."""
    target = model_folder(name, precision, output_root)
    if is_complete(target):
        print(f"{target} is made again, because its settings differ: {_difference(target, config, precision)}.")
    work = target.with_name(target.name + ".partial")
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        ready_16bit = model_folder(name, "FP16", output_root)
        if config.blocks:
            parameters = _convert_blocks(config, precision, work)
        elif precision != "FP16" and _is_current(ready_16bit, config, "FP16"):
            parameters = read_manifest(ready_16bit)["parameters"]
            _check_room(parameters, config, precision, work, memory=MEMORY_NEEDED)
            compress(ready_16bit, work, **compression_settings(config, precision))
        else:
            parameters = _convert_checkpoint(config, precision, work)
        versions = {package: version(package) for package in ("openvino", "optimum-intel", "nncf", "transformers")}
        facts = {"parameters": parameters, "gpu_precision": config.gpu_precision, "versions": versions}
        write_manifest(work, name=name, **_identity(config, precision), **facts)
        shutil.rmtree(target, ignore_errors=True)
        work.replace(target)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _convert_checkpoint(config: ModelConfig, precision: str, work: Path) -> int:
    """Fills `work` from the checkpoint, without a 16-bit variant on the disk in between where that can be done.

    Returns:
        The model's number of parameters.
    """
    is_gguf = isinstance(config.checkpoint, GGUFWheel) or Path(config.checkpoint or "").suffix == ".gguf"
    memory = MEMORY_NEEDED + is_gguf * MEMORY_PER_GGUF_WEIGHT * (config.parameters or 0)
    if config.parameters:
        _check_room(config.parameters, config, precision, work, memory)
    with quiet():
        model, tokenizer = load_checkpoint(config)
    parameters = model.num_parameters()
    if not config.parameters:
        _check_room(parameters, config, precision, work, memory)

    settings = compression_settings(config, precision) if precision != "FP16" else {}
    if not settings:
        export(model, tokenizer, work)
    elif can_hand_over():
        export(model, tokenizer, work, write=lambda ir, path: _compress(ir, path, tokenizer, settings))
    else:
        print("This version of Optimum Intel is not known here, so the conversion takes more disk and time.")
        export(model, tokenizer, work / "16bit")
        compress(work / "16bit", work, **settings)
        shutil.rmtree(work / "16bit")
    return parameters


def _convert_blocks(config: ModelConfig, precision: str, work: Path) -> int:
    """Fills `work` from a GGUF file whose blocks are kept as they are. Returns the model's number of parameters."""
    path = fetch_checkpoint(config)
    with quiet():
        blocks, tokenizer = BlockModel(path), read_gguf_tokenizer(path)
    parameters = blocks.model.num_parameters()
    _check_room(parameters, config, precision, work, MEMORY_NEEDED, disk=2 * blocks.n_bytes + 20_000_000)
    complete(blocks.model, tokenizer, config, path)
    export(blocks.model, tokenizer, work, blocks.write)
    return parameters


def compression_settings(config: ModelConfig, precision: str) -> dict[str, Any]:
    """Arguments of `nncf.compress_weights` for the INT8 or INT4 variant of a model."""
    if precision == "INT8":
        return {"mode": nncf.CompressWeightsMode.INT8_ASYM}
    settings = config.int4
    options = {"awq": settings.awq, "scale_estimation": settings.scale_estimation}
    return {
        "mode": nncf.CompressWeightsMode[settings.mode],
        "group_size": settings.group_size,
        "ratio": settings.ratio,
        **{name: True for name, wanted in options.items() if wanted},
    }


def compress(source: Path, folder: Path, **settings: Any) -> None:
    """Writes the model in `source` with compressed weights, and everything else as it is, to `folder`."""
    for path in source.iterdir():
        if path.is_file() and path.stem != Path(MODEL_XML).stem and path.name != MANIFEST:
            shutil.copy2(path, folder)
    model = ov.Core().read_model(source / MODEL_XML)
    _compress(model, folder / MODEL_XML, AutoTokenizer.from_pretrained(source), settings)


def _compress(model: ov.Model, path: Path, tokenizer: PreTrainedTokenizerBase, settings: dict[str, Any]) -> None:
    if settings.get("scale_estimation"):
        settings = {**settings, "dataset": calibration_dataset(model, tokenizer)}
    if "group_size" in settings:
        settings = {**settings, "advanced_parameters": SMALLER_GROUPS}
    compress_and_save(model, path, **settings)


def _identity(config: ModelConfig, precision: str) -> dict[str, Any]:
    """What makes two variants the same, as the manifest says it."""
    settings = compression_settings(config, precision) if precision != "FP16" else None
    if settings and config.blocks:
        settings = {"gguf": config.blocks}
    elif settings:
        settings["mode"] = settings["mode"].name
    return {
        "model_id": str(config.checkpoint.resolve()) if isinstance(config.checkpoint, Path) else config.model_id,
        "revision": config.revision,
        "precision": precision,
        "compression": settings,
    }


def _is_current(folder: Path, config: ModelConfig, precision: str) -> bool:
    """Whether a whole variant is in the folder that was made as it would be made now."""
    return is_complete(folder) and not _difference(folder, config, precision)


def _difference(folder: Path, config: ModelConfig, precision: str) -> str:
    """How a whole folder was made, and would be made now, where that differs; empty if it doesn't."""

    def plain(value: Any) -> str:
        return " ".join(f"{key} {item}" for key, item in value.items()) if isinstance(value, dict) else str(value)

    manifest, wanted = read_manifest(folder), _identity(config, precision)
    differing = [key for key in wanted if manifest.get(key) != wanted[key]]
    return ", ".join(f"{plain(manifest.get(key))} instead of {plain(wanted[key])}" for key in differing)


@contextmanager
def _only_one(target: Path) -> Iterator[None]:
    """Waits while another process makes the same folder. The system ends the lock of a process that dies."""
    target.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(target.with_name(target.name + ".lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout:
        print(f"{target} is being made by another process; waiting for it.", flush=True)
        lock.acquire()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):  # Windows doesn't remove what is open; there the release does it
            Path(lock.lock_file).unlink()
        lock.release()
        with contextlib.suppress(OSError):  # the model's folder, where nothing came of it
            target.parent.rmdir()


def _check_room(parameters: int, config: ModelConfig, precision: str, work: Path, memory: int, disk: int = 0) -> None:
    """Prints what a conversion needs and what there is, and refuses where it can't fit.

    Raises:
        UserError: with the figures and the remedy.
    """
    disk = disk or _bytes_needed(parameters, config, precision)
    if precision == "INT4" and not config.blocks and config.int4.scale_estimation:
        memory += MEMORY_PER_WEIGHT_RUN * parameters
    free_disk, free_memory = shutil.disk_usage(work).free, psutil.virtual_memory().available
    print(
        f"{config.model_id} in {precision} needs about {_gb(disk)} of disk ({_gb(free_disk)} free) "
        f"and {_gb(memory)} of memory ({_gb(free_memory)} free)."
    )
    if free_disk < disk:
        raise UserError(
            f"{work.parent} has {_gb(free_disk)} free and the conversion needs about {_gb(disk)}; "
            f"free some space or choose another folder."
        )
    if free_memory < memory:
        raise UserError(
            f"{_gb(free_memory)} of memory are free and the conversion needs about {_gb(memory)}; "
            f"close other programs, or convert on another machine and copy the folder."
        )


def _bytes_needed(parameters: int, config: ModelConfig, precision: str) -> int:
    """Disk for the result, and while it is made for its compressed weights once more; an upper estimate."""
    settings = config.int4
    bits4 = 0.5 + 2.5 / settings.group_size  # with a group's scale and zero point
    per_weight = {"FP16": 2, "INT8": 2 * 1.0, "INT4": 2 * (settings.ratio * bits4 + 1 - settings.ratio)}
    return int(1.1 * parameters * per_weight[precision]) + 20_000_000


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"


def main() -> int:
    parser = argparse.ArgumentParser(description="Convert a model to OpenVINO and compress its weights.")
    parser.add_argument("name", help=f"one of: {', '.join(SUPPORTED_LLM_MODELS)} (e.g. {DEFAULT_MODEL})")
    parser.add_argument("--precision", default="INT4", help=f"one of: {', '.join(SUBFOLDERS)} (default: INT4)")
    parser.add_argument("--output", type=Path, default=Path("."), help="folder for the converted models (default: .)")
    parser.add_argument("--awq", action="store_true", help="INT4 with activation-aware scaling, without data")
    parser.add_argument("--scale-estimation", action="store_true", help="INT4 with scales fitted to sample text")
    arguments = parser.parse_args()
    try:
        with contextlib.redirect_stdout(sys.stderr):  # stdout is for the folder alone
            int4 = get_model_config(arguments.name).int4
            changed = replace(
                int4,
                awq=int4.awq or arguments.awq,
                scale_estimation=int4.scale_estimation or arguments.scale_estimation,
            )
            folder = convert_model(
                arguments.name, arguments.precision, arguments.output, changed if changed != int4 else None
            )
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    print(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
