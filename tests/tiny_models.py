"""Tiny models with random weights, and their conversion without a tokenizer."""

import warnings
from pathlib import Path

import torch
import transformers
from optimum.exporters.openvino import export_from_model
from optimum.intel import OVConfig
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from llm_chatbot.convert.export.exporter_configs import TASK
from llm_chatbot.folder.manifest import REQUIRED_FILES

DATA = Path(__file__).parent / "data"

TINY = {
    "vocab_size": 401,
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def tiny_model(tied: bool = False, dtype: torch.dtype = torch.bfloat16) -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**TINY, tie_word_embeddings=tied)).to(dtype)


def export(model: PreTrainedModel, folder: Path) -> Path:
    """Writes the model to `folder` as the converter does, with empty files in place of those of a tokenizer."""
    transformers.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", category=torch.jit.TracerWarning)
        export_from_model(
            model,
            folder,
            task=TASK,
            ov_config=OVConfig(dtype="auto"),
            preprocessors=[],  # None would have Optimum Intel look for a tokenizer where the weights came from
            patch_16bit_model=True,
        )
    for name in REQUIRED_FILES:
        (folder / name).touch()
    return folder
