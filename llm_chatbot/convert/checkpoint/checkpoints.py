"""A row of the catalogue → its checkpoint, downloaded if necessary → a Transformers model and tokenizer."""

from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from llm_chatbot.catalogue.architectures import architecture
from llm_chatbot.catalogue.chat_formats import CHECKPOINTS_OWN
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.convert.checkpoint.architectures import check_architecture, read_checkpoint, read_checkpoint_config
from llm_chatbot.convert.tokenizer.chat_format import apply_chat_format
from llm_chatbot.convert.tokenizer.original_tokenizers import read_tokenizer
from llm_chatbot.gguf.end_tokens import listed_ids
from llm_chatbot.sources.hub import download_checkpoint


def load_checkpoint(
    config: ModelConfig, path: Path | None = None, text_only: bool = False
) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
    """Loads the model's checkpoint in its own precision.

    Args:
        config: the model's row of the catalogue.
        path: what `fetch_checkpoint` returned; None: it is called.
        text_only: leave out what reads images.

    Returns:
        The model, whose generation settings name every token that ends an answer, and the tokenizer, with the model's
        chat template.

    Raises:
        UserError: the checkpoint cannot be downloaded or read, or is not what the catalogue says.
    """
    path = path or fetch_checkpoint(config)
    model = read_checkpoint(path, text_only)
    model.config.name_or_path = config.model_id
    ends = listed_ids(model.generation_config.eos_token_id)
    tokenizer, model.generation_config.eos_token_id = read_chat_tokenizer(config, path, ends)
    return model, tokenizer


def read_chat_tokenizer(
    config: ModelConfig, path: Path, ends: set[int]
) -> tuple[PreTrainedTokenizerFast, list[int] | None]:
    """A checkpoint's tokenizer with the model's chat template, and the ids of all tokens that end an answer.

    Args:
        config: the model's row of the catalogue.
        path: the checkpoint's folder.
        ends: those that its settings name.

    Raises:
        UserError: the tokenizer cannot be read, or is not what the catalogue says.
    """
    tokenizer, chat_format = read_tokenizer(path), config.chat_format
    if chat_format == CHECKPOINTS_OWN and not tokenizer.chat_template:
        chat_format = architecture(read_checkpoint_config(path)["model_type"]).chat_format or chat_format
    return tokenizer, apply_chat_format(chat_format, tokenizer, config.model_id, ends)


def fetch_checkpoint(config: ModelConfig) -> Path:
    """The folder with a model's checkpoint, downloaded if necessary.

    Raises:
        UserError: it cannot be downloaded.
    """
    if isinstance(config.checkpoint, Path):
        return config.checkpoint
    return download_checkpoint(
        config.model_id,
        config.revision,
        check=lambda folder: check_architecture(folder, read_checkpoint_config(folder)),
    )
