"""Runs decoders' graphs on the CPU, without the runtime's own rounding, and compares what they say."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov

from llm_chatbot.engine.precisions import EXACT


def logits_of(graph: ov.Model | Path, ids: Sequence[int], pieces: Sequence[int] = ()) -> np.ndarray:
    """After each token, float32 [tokens, vocabulary].

    Args:
        pieces: the numbers of tokens to feed at a time; all at once by default.
    """
    compiled = ov.Core().compile_model(graph, "CPU", EXACT)
    request = compiled.create_infer_request()
    names = {port.any_name for port in compiled.inputs}
    logits, past = [], 0
    for count in pieces or [len(ids)]:
        inputs = {
            "input_ids": np.array([ids[past : past + count]]),
            "attention_mask": np.ones((1, past + count), np.int64),
            "position_ids": np.arange(past, past + count)[None],
            "beam_idx": np.zeros(1, np.int32),
        }
        request.infer({name: inputs[name] for name in names})
        logits.append(request.get_tensor("logits").data[0].copy())
        past += count
    return np.concatenate(logits)


def divergence(expected: np.ndarray, found: np.ndarray) -> float:
    """The largest Kullback-Leibler divergence of two models' predictions after the same tokens, in nats."""
    expected, found = (_log_softmax(logits.astype(np.float64)) for logits in (expected, found))
    return float((np.exp(expected) * (expected - found)).sum(-1).max())


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits - logits.max(-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))
