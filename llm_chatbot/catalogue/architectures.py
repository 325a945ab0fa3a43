"""The architectures of checkpoints that need help between their files and a conversation, a row for each.

All others go the usual way: Transformers reads them, Optimum Intel exports them, `ChatModel` runs them. A row states
only what differs. What is code stands as "module:name" and is imported by whoever needs it, so that this table is cheap
to import. An architecture of GGUF files is a row of `decoder/rows.py`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from llm_chatbot.catalogue.chat_formats import CHATGLM3, QWEN, ChatFormat

READERS = "llm_chatbot.convert.checkpoint.architectures"
TOKENIZERS = "llm_chatbot.convert.tokenizer.original_tokenizers"
EXPORTERS = "optimum.exporters.openvino.model_configs"
OUR_EXPORTERS = "llm_chatbot.convert.export"
ENGINE = "llm_chatbot.engine"
OPTIMUM_MODELS = "llm_chatbot.optimum_models"


@dataclass(frozen=True)
class Architecture:
    """
    Attributes:
        read_checkpoint: makes Transformers' model of a checkpoint that Transformers cannot read correctly.
        tokenizer_file, read_tokenizer: the tokenizer's file in the original format, and what reads it.
        exporter: Optimum Intel's export configuration, where its limit on the version of Transformers is lifted: the
            graphs compute what the torch models do, see tests/convert/export/test_exporter_configs.py and
            tests/engine/cache/test_hybrid_models.py.
        image_exporter: the same for an architecture that reads images, of its language model and its vision tower.
        chat_format: for checkpoints outside the catalogue whose original format has no chat template.
        engine_model: the subclass of `ChatModel` that runs it.
        optimum_model: the subclass of `OVChatModel` for Transformers' `generate`.
    """

    read_checkpoint: str | None = None
    tokenizer_file: str | None = None
    read_tokenizer: str | None = None
    exporter: str | None = None
    image_exporter: str | None = None
    chat_format: ChatFormat | None = None
    engine_model: str | None = None
    optimum_model: str | None = None


# By the `model_type` of a checkpoint's config.json.
ARCHITECTURES = {
    "chatglm": Architecture(
        read_checkpoint=f"{READERS}:from_chatglm",
        tokenizer_file="tokenizer.model",
        read_tokenizer=f"{TOKENIZERS}:read_chatglm3_tokenizer",
        chat_format=CHATGLM3,
        engine_model=f"{ENGINE}.loading:ChatGLMModel",
        optimum_model=f"{OPTIMUM_MODELS}:OVCHATGLM2Model",
    ),
    "exaone4": Architecture(exporter=f"{EXPORTERS}:Exaone4OpenVINOConfig"),
    "gemma": Architecture(exporter=f"{EXPORTERS}:GemmaOpenVINOConfig"),
    "gemma2": Architecture(exporter=f"{EXPORTERS}:Gemma2OpenVINOConfig"),
    "gemma3": Architecture(
        read_checkpoint=f"{READERS}:from_text_part", image_exporter=f"{EXPORTERS}:Gemma3OpenVINOConfig"
    ),
    "gemma3_text": Architecture(exporter=f"{EXPORTERS}:Gemma3TextOpenVINOConfig"),
    "gemma4": Architecture(
        read_checkpoint=f"{READERS}:from_text_part", image_exporter=f"{EXPORTERS}:Gemma4OpenVINOConfig"
    ),
    "gemma4_text": Architecture(exporter=f"{OUR_EXPORTERS}.gemma4_config:Gemma4TextConfig"),
    "glm": Architecture(exporter=f"{EXPORTERS}:GLMOpenVINOConfig"),
    "gpt_oss": Architecture(read_checkpoint=f"{READERS}:from_gpt_oss"),
    "granitemoehybrid": Architecture(
        read_checkpoint=f"{READERS}:from_granite_hybrid", exporter=f"{OUR_EXPORTERS}.hybrid_configs:GraniteHybridConfig"
    ),
    "idefics3": Architecture(image_exporter=f"{EXPORTERS}:Idefics3OpenVINOConfig"),
    # Optimum Intel's configuration of GOT-OCR 2 takes the same parts by the same names.
    "internvl": Architecture(image_exporter=f"{EXPORTERS}:GotOCR2OpenVINOConfig"),
    "lfm2": Architecture(exporter=f"{OUR_EXPORTERS}.hybrid_configs:Lfm2Config"),
    "lfm2_moe": Architecture(exporter=f"{OUR_EXPORTERS}.hybrid_configs:Lfm2MoeConfig"),
    "llava": Architecture(image_exporter=f"{EXPORTERS}:LlavaOpenVINOConfig"),
    "ministral3": Architecture(exporter=f"{EXPORTERS}:MistralOpenVINOConfig"),
    "mistral3": Architecture(
        read_checkpoint=f"{READERS}:from_text_part", image_exporter=f"{EXPORTERS}:Mistral3OpenVINOConfig"
    ),
    "mpt": Architecture(
        read_checkpoint=f"{READERS}:from_mpt",
        engine_model=f"{ENGINE}.loading:MPTModel",
        optimum_model=f"{OPTIMUM_MODELS}:OVMPTModel",
    ),
    "phi3": Architecture(engine_model=f"{ENGINE}.loading:Phi3Model", optimum_model=f"{OPTIMUM_MODELS}:OVPhi3Model"),
    "qwen": Architecture(
        read_checkpoint=f"{READERS}:from_qwen",
        tokenizer_file="qwen.tiktoken",
        read_tokenizer=f"{TOKENIZERS}:read_qwen_tokenizer",
        chat_format=QWEN,
        engine_model=f"{ENGINE}.qwen:QwenModel",
        optimum_model=f"{OPTIMUM_MODELS}:OVQWENModel",
    ),
    "qwen2_5_vl": Architecture(image_exporter=f"{EXPORTERS}:Qwen2_5_VLOpenVINOConfig"),
    "qwen2_vl": Architecture(image_exporter=f"{EXPORTERS}:Qwen2VLOpenVINOConfig"),
    "qwen3_5": Architecture(read_checkpoint=f"{READERS}:from_text_part"),
    "qwen3_5_moe": Architecture(read_checkpoint=f"{READERS}:from_text_part"),
    "qwen3_5_moe_text": Architecture(exporter=f"{OUR_EXPORTERS}.hybrid_configs:Qwen35MoeConfig"),
    "qwen3_5_text": Architecture(exporter=f"{OUR_EXPORTERS}.hybrid_configs:Qwen35Config"),
    "qwen3_next": Architecture(exporter=f"{OUR_EXPORTERS}.hybrid_configs:Qwen3NextConfig"),
    "qwen3_vl": Architecture(image_exporter=f"{EXPORTERS}:Qwen3VLOpenVINOConfig"),
    "smolvlm": Architecture(image_exporter=f"{EXPORTERS}:SmolVLMOpenVINOConfig"),
}

USUAL = Architecture()


def architecture(model_type: str | None) -> Architecture:
    """The row of a `model_type`; an empty one for those that go the usual way."""
    return ARCHITECTURES.get(model_type or "", USUAL)


def by_model_type(field: str) -> dict[str, Any]:
    """The code that a field of the rows names, by `model_type`; imported now."""
    named = {model_type: getattr(row, field) for model_type, row in ARCHITECTURES.items()}
    return {model_type: imported(place) for model_type, place in named.items() if place}


def imported(place: str) -> Callable[..., Any]:
    """The function or class at "module:name"."""
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
