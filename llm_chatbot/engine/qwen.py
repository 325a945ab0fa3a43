"""Qwen v1 beyond its `seq_length`: dynamic NTK scaling of the rotary base, and log-n scaling of the queries.

From `_ntk_scaled_init` and `use_logn_attn` in
https://huggingface.co/Qwen/Qwen-7B-Chat/blob/main/modeling_qwen.py
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from llm_chatbot.engine.cache.kv_cache import KVCache
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.folder.manifest import SCALED_CONTEXT

# The graph input that scales the rotary base, named as in the original code.
NTK_ALPHA = "ntk_alpha"


class QwenModel(ChatModel):
    """Qwen v1. Models that this project converted get the scaling; others end at their original context length."""

    can_exceed_context = False

    @property
    def trained_context(self) -> int | None:
        return self.config.get(SCALED_CONTEXT) or self.config.get("seq_length") or super().trained_context

    @property
    def is_scaled(self) -> bool:
        return SCALED_CONTEXT in self.config

    def add_inputs(self, graph: ov.Model) -> None:
        if self.is_scaled:
            add_qwen_scaling(graph, self.config["seq_length"])

    def extra_inputs(self, prompt_length: int) -> dict[str, float]:
        return {NTK_ALPHA: ntk_alpha(prompt_length, self.config["seq_length"])} if self.is_scaled else {}

    def new_stateful_cache(self) -> KVCache:
        if not self.is_scaled:
            return super().new_stateful_cache()
        return QwenCache(self.compiled, self.sequence_axes, self.max_length, seq_length=self.config["seq_length"])


class QwenCache(KVCache):
    """A KV cache whose keys all depend on the prompt's length, by the scale of the rotary base."""

    def __init__(self, *args: Any, seq_length: int) -> None:
        super().__init__(*args)
        self._seq_length = seq_length
        self._alpha: float | None = None  # None: set by the next prompt

    def reset(self) -> None:
        super().reset()
        self._alpha = None

    def trim_to_prefix(self, ids: Sequence[int]) -> int:
        """See `KVCache`. If the scale changes, nothing is kept. A prompt is one token longer than `ids`."""
        alpha = ntk_alpha(len(ids) + 1, self._seq_length)
        if alpha != self._alpha:
            self.reset()
        common = super().trim_to_prefix(ids)
        self._alpha = alpha
        return common

    def _inputs(self, ids: Sequence[int]) -> dict[str, np.ndarray]:
        if self._alpha is None:
            self._alpha = ntk_alpha(len(ids), self._seq_length)
        return {**super()._inputs(ids), NTK_ALPHA: np.array([self._alpha], dtype=np.float32)}


def ntk_alpha(prompt_length: int, seq_length: int) -> float:
    """Qwen v1's scale for the rotary base: 1 up to `seq_length`, 3 up to twice that, 7 up to four times and so on.

    It depends on the prompt and stays the same while the answer is generated.
    """
    if prompt_length <= seq_length:
        return 1.0
    return 2.0 ** math.ceil(math.log2(prompt_length / seq_length) + 1) - 1


def add_qwen_scaling(model: ov.Model, seq_length: int) -> None:
    """Adds Qwen v1's scaling beyond `seq_length` to a Qwen2 graph: an input for the rotary base, and larger queries.

    With base' = base · alpha^(d/(d-2)), a pair's frequency base'^(-2i/d) is the graph's frequency times
    alpha^(-2i/(d-2)). A query at the 1-based position p is multiplied by max(1, ln p / ln seq_length).
    """
    nodes = model.get_ordered_ops()
    positions = model.input("position_ids").node
    turn = next(
        node for node in nodes if node.get_type_name() == "MatMul" and node.input(0).get_partial_shape()[0] == 1
    )
    pairs = turn.input(0).get_shape()[1]  # frequencies [1, pairs, 1] times positions [batch, 1, tokens]
    alpha = ops.parameter([-1], np.float32, name=NTK_ALPHA)  # one for each sequence, like `logits_to_keep`
    alpha.output(0).set_names({NTK_ALPHA})
    exponents = -np.arange(pairs, dtype=np.float32) / (pairs - 1)
    factors = ops.power(ops.reduce_max(alpha, [0], keep_dims=True), ops.constant(exponents[None, :, None]))
    turn.input(0).replace_source_output(ops.multiply(turn.input_value(0), factors).output(0))

    logs = ops.log(ops.convert(ops.add(positions, np.int64(1)), np.float32))
    growth = ops.unsqueeze(ops.maximum(ops.multiply(logs, np.float32(1 / math.log(seq_length))), np.float32(1)), [1, 3])
    for node in nodes:
        if node.get_type_name() == "ScaledDotProductAttention":  # of queries [batch, heads, tokens, size]
            node.input(0).replace_source_output(ops.multiply(node.input_value(0), growth).output(0))
    model.add_parameters([alpha])
    model.validate_nodes_and_infer_types()
