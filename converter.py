"""Checkpoint → OpenVINO IR → compressed weights → a folder that is complete in itself."""

import argparse
import logging
import shutil
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

# Before the libraries below: importing it keeps them from reporting usage.
from config import DEFAULT_MODEL, SUPPORTED_LLM_MODELS, ModelConfig, UserError, get_model_config

# isort: split
import nncf
import openvino as ov
import torch
import transformers
from openvino_tokenizers import convert_tokenizer
from optimum.exporters.openvino import export_from_model
from optimum.intel import OVConfig

from checkpoints import load_checkpoint
from model_folder import MANIFEST, SUBFOLDERS, is_complete, model_folder, write_manifest

MODEL_XML = "openvino_model.xml"


def convert_model(name: str, precision: str, output_root: Path = Path(".")) -> Path:
    """Makes a variant of a model, unless a complete one is there.

    The work is done in a folder beside the target, which gets the target's name when everything is in it:
    a conversion that is interrupted leaves nothing that looks finished.

    Args:
        name: of the catalogue, the Hub or a local checkpoint: see `get_model_config`.
        precision: of the weights: "FP16", "INT8" or "INT4".
        output_root: gets `<name>/FP16`, `<name>/INT8_compressed_weights` or `<name>/INT4_compressed_weights`.

    Returns:
        The folder, which Optimum Intel and OpenVINO GenAI both load as it stands.

    Raises:
        UserError: no such model or precision, no room for the result, or the checkpoint can't be had.
    """
    config = get_model_config(name)
    target = model_folder(name, precision, output_root)
    if is_complete(target):
        return target
    _check_room(config, target)
    work = target.with_name(target.name + ".partial")
    shutil.rmtree(work, ignore_errors=True)
    try:
        work.mkdir(parents=True)
        facts = _convert(config, precision, work, ready_16bit=model_folder(name, "FP16", output_root))
        write_manifest(work, name=name, model_id=config.model_id, precision=precision, **facts)
        shutil.rmtree(target, ignore_errors=True)  # what a half-written folder would be
        work.replace(target)
    except (OSError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "iostream" not in str(error):  # OpenVINO's word for a failed write
            raise
        reason = getattr(error, "strerror", None) or "a write failed"
        raise UserError(f"{target} can't be written ({reason}); free some space or choose another folder.") from error
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _convert(config: ModelConfig, precision: str, work: Path, ready_16bit: Path) -> dict:
    """Fills `work`, from the 16-bit variant where that is there, and returns what the manifest says of it."""
    versions = {package: version(package) for package in ("openvino", "optimum-intel", "nncf", "transformers")}
    if precision == "FP16":
        export_16bit(config, work)
        return {"compression": None, "versions": versions}

    settings = compression_settings(config, precision)
    source = ready_16bit
    if not is_complete(source):
        source = work / "16bit"
        export_16bit(config, source)
    compress(source, work, **settings)
    shutil.rmtree(work / "16bit", ignore_errors=True)
    settings["mode"] = settings["mode"].name
    return {"compression": settings, "versions": versions}


def export_16bit(config: ModelConfig, folder: Path) -> None:
    """Writes the model with 16-bit weights as OpenVINO IR, and its tokenizer in both forms, to `folder`."""
    with _quiet():
        model, tokenizer = load_checkpoint(config)
        export_from_model(
            model,
            output=folder,
            task="text-generation-with-past",
            ov_config=OVConfig(dtype="auto"),  # without it, models over 1B parameters are compressed to 8 bits
            preprocessors=[tokenizer],
            patch_16bit_model=True,  # traces 16-bit weights as they are instead of through a 32-bit copy
        )
        ov_tokenizer, ov_detokenizer = convert_tokenizer(tokenizer, with_detokenizer=True)
        ov.save_model(ov_tokenizer, folder / "openvino_tokenizer.xml")
        ov.save_model(ov_detokenizer, folder / "openvino_detokenizer.xml")


def compression_settings(config: ModelConfig, precision: str) -> dict:
    """Arguments of `nncf.compress_weights` for the INT8 or INT4 variant of a model."""
    if precision == "INT8":
        return {"mode": nncf.CompressWeightsMode.INT8_ASYM}
    settings = config.int4
    return {
        "mode": nncf.CompressWeightsMode[settings.mode],
        "group_size": settings.group_size,
        "ratio": settings.ratio,
    }


def compress(source: Path, folder: Path, **settings) -> None:
    """Writes the model in `source` with compressed weights, and everything else as it is, to `folder`."""
    for path in source.iterdir():
        if path.is_file() and path.stem != Path(MODEL_XML).stem and path.name != MANIFEST:
            shutil.copy2(path, folder)
    with _quiet():
        model = ov.Core().read_model(source / MODEL_XML)
        ov.save_model(nncf.compress_weights(model, **settings), folder / MODEL_XML, compress_to_fp16=False)


def _check_room(config: ModelConfig, target: Path) -> None:
    """Refuses before the work where the disk has no room for a 16-bit copy and the variant made from it."""
    if config.parameters is None:
        return
    existing = next(parent for parent in (target, *target.absolute().parents) if parent.is_dir())
    needed, free = 4 * config.parameters, shutil.disk_usage(existing).free
    if free < needed:
        raise UserError(
            f"{target} needs about {needed / 1e9:.1f} GB while it is made and {existing} has {free / 1e9:.1f} GB free; "
            f"free some space or choose another folder."
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps from the reader what tracing and compressing say to those who write exporters."""
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    nncf.set_log_level(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=torch.jit.TracerWarning)
            yield
    finally:
        transformers.logging.set_verbosity(level)
        transformers.logging.enable_progress_bar()


def main() -> int:
    parser = argparse.ArgumentParser(description="Convert a model to OpenVINO and compress its weights.")
    parser.add_argument("name", help=f"one of: {', '.join(SUPPORTED_LLM_MODELS)} (e.g. {DEFAULT_MODEL})")
    parser.add_argument("--precision", default="INT4", help=f"one of: {', '.join(SUBFOLDERS)} (default: INT4)")
    parser.add_argument("--output", type=Path, default=Path("."), help="folder for the converted models (default: .)")
    arguments = parser.parse_args()
    try:
        print(convert_model(arguments.name, arguments.precision, arguments.output))
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
