"""Sample text as model inputs, for compression methods that measure activations."""

from collections.abc import Iterator
from typing import Any

import nncf
import numpy as np
import openvino as ov
from datasets import load_dataset
from httpx import HTTPError
from transformers import PreTrainedTokenizerBase

SAMPLES, SAMPLE_TOKENS = 32, 256


def calibration_dataset(model: ov.Model, tokenizer: PreTrainedTokenizerBase) -> nncf.Dataset:
    """Inputs of the model for `SAMPLES` texts of at most `SAMPLE_TOKENS` tokens each."""
    names = {name for port in model.inputs for name in port.get_names()}

    def inputs(text: str) -> dict[str, np.ndarray]:
        ids = tokenizer(text, return_tensors="np", truncation=True, max_length=SAMPLE_TOKENS)["input_ids"]
        available = {
            "input_ids": ids,
            "attention_mask": np.ones_like(ids),
            "position_ids": np.arange(ids.shape[1])[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
        }
        return {name: value for name, value in available.items() if name in names}

    return nncf.Dataset(calibration_texts(), inputs)


def calibration_texts() -> list[str]:
    """Long English paragraphs from WikiText-2 or, if the Hub cannot be reached, from Python's help texts."""
    try:
        rows: Any = load_dataset("Salesforce/wikitext", "wikitext-2-raw-v1", split="train")["text"]
    except (OSError, RuntimeError, HTTPError):  # how huggingface_hub reports that there is no network
        print("Cannot download WikiText; calibrating with Python's help texts instead.")
        rows = _help_texts()
    texts = [text for text in rows if len(text) > 4 * SAMPLE_TOKENS]
    return texts[:: max(1, len(texts) // SAMPLES)][:SAMPLES]


def _help_texts() -> Iterator[str]:
    from pydoc_data.topics import topics

    for _, text in sorted(topics.items()):
        yield text
