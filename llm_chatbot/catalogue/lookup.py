"""Finds the row of a model by the name that a user gave."""

import re
from dataclasses import replace
from pathlib import Path

from llm_chatbot.catalogue.adapter_names import read_adapter, split_adapters
from llm_chatbot.catalogue.gguf_names import HUB_ID, gguf_source, is_gguf_name, without_suffix
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.errors import UserError

# Former names, which the Hub redirects and people still use.
FORMER_MODEL_IDS = {
    "THUDM/chatglm3-6b": "zai-org/chatglm3-6b",
    "meta-llama/Meta-Llama-3.1-8B-Instruct": "meta-llama/Llama-3.1-8B-Instruct",
}

UNKNOWN_LICENSE = "see the model card"


def get_model_config(name: str) -> ModelConfig:
    """The catalogue's row for `name`, or a new row for a model that is not in the catalogue.

    Args:
        name: a key of `SUPPORTED_LLM_MODELS`, a local checkpoint (a folder with a config.json, or a .gguf file), a
            GGUF file as `gguf_source` takes it, or a repository of the Hub, like "org/name". As in Transformers, a
            local folder takes precedence over a repository. LoRA adapters follow it, as in "name+adapter:0.5"; see
            `read_adapter`.

    Raises:
        UserError: it is none of these.
    """
    base, adapters = split_adapters(name)
    config = _base_config(base)
    return replace(config, adapters=tuple(map(read_adapter, adapters))) if adapters else config


def _base_config(name: str) -> ModelConfig:
    if name in SUPPORTED_LLM_MODELS:
        return SUPPORTED_LLM_MODELS[name]
    if local := _local_config(name):
        return local
    if source := gguf_source(name):
        return ModelConfig(str(source), "A GGUF file.", UNKNOWN_LICENSE, checkpoint=source)
    if re.fullmatch(HUB_ID, name) and not is_gguf_name(name):
        model_id = FORMER_MODEL_IDS.get(name, name)
        from_hub = {config.model_id: config for config in SUPPORTED_LLM_MODELS.values() if config.checkpoint is None}
        return from_hub.get(model_id) or ModelConfig(model_id, "A model from the Hugging Face Hub.", UNKNOWN_LICENSE)
    raise UserError("model.unknown", name=repr(name), models=", ".join(SUPPORTED_LLM_MODELS))


def _local_config(name: str) -> ModelConfig | None:
    """The row of a local checkpoint, or None where there is nothing of that name.

    Raises:
        UserError: it is no checkpoint, or the system does not let it be read.
    """
    path = Path(name)
    try:
        if (path / "config.json").is_file() or (is_gguf_name(path.name) and path.is_file()):
            model_id = without_suffix(path.resolve().name)
            return ModelConfig(model_id, "A local checkpoint.", UNKNOWN_LICENSE, checkpoint=path)
        if not name or not path.is_dir():
            return None
    except OSError as error:  # a folder that is not this user's, or a name longer than any file's
        raise UserError("model.unreadable", name=name[:200], reason=error.strerror) from error
    raise UserError("model.no_checkpoint", name=name)
