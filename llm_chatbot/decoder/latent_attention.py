"""Multi-head latent attention (DeepSeek V2, 2024, arXiv:2405.04434): keys and values come from one short vector.

The cache keeps that vector alone, and the part of the key that rotates. Queries are multiplied by the matrix that would
make keys of the vector, and outputs by the one that would make values of it.
"""

import math

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from llm_chatbot.decoder.attention import attend, join_heads, split_heads
from llm_chatbot.decoder.blocks import Layer, linear, norm, part
from llm_chatbot.decoder.constants import constant
from llm_chatbot.decoder.rotary import halves_from_pairs, rotate, yarn_growth
from llm_chatbot.decoder.self_attention import SelfAttention
from llm_chatbot.decoder.sizes import Heads


class LatentAttention(SelfAttention):
    """The attention of all layers of a model with a latent vector for keys and values."""

    def attend(self, index: int, layer: Layer, x: ov.Node) -> ov.Node:
        keys = self._keys
        count = keys.sizes("attention.head_count")[index]
        size, rotated = keys.size("attention.kv_lora_rank"), keys.size("rope.dimension_count")
        whole = keys.size("attention.key_length_mla", keys.get("attention.key_length"))
        value_size = keys.size("attention.value_length_mla", keys.get("attention.value_length"))
        keys.get("attention.head_count_kv")  # is 1, or as many as queries: two ways to compute the same
        plain = whole - rotated

        queries = self._queries(x, layer, count, whole, rotated)
        to_keys, to_values = self._matrices(layer, count, plain, value_size, size)
        still = ops.matmul(part(queries, 0, plain), *to_keys)
        latent = split_heads(norm(linear(x, layer, "attn_kv_a_mqa", slice(0, size)), layer, "attn_kv_a_norm"), 1, size)
        rows = size + halves_from_pairs(1, rotated, rotated)
        turned = split_heads(linear(x, layer, "attn_kv_a_mqa", rows), 1, rotated)
        angles = self.rotation(index, rotated)
        queries = ops.concat([still, rotate(part(queries, plain, whole), *angles, rotated)], -1)
        key = self.cache.append(f"{index}.key", ops.concat([latent, rotate(turned, *angles, rotated)], -1))
        values = self.cache.append(f"{index}.value", latent)

        heads = Heads(count, 1, size + rotated, size, rotated, yarn_growth(keys) ** 2 / math.sqrt(whole))
        mixed = attend(self._tempered(queries), key, values, heads, self._inputs.mask(None))
        mixed = join_heads(ops.matmul(split_heads(mixed, count, size), to_values, False, True))
        return linear(mixed, layer, "attn_output")

    def _queries(self, x: ov.Node, layer: Layer, count: int, size: int, rotated: int) -> ov.Node:
        """[batch, heads, tokens, size]; the end of each rotates."""
        rows = halves_from_pairs(count, size, rotated, size - rotated)
        if "attn_q_a.weight" not in layer:
            return split_heads(linear(x, layer, "attn_q", rows), count, size)
        x = norm(linear(x, layer, "attn_q_a"), layer, "attn_q_a_norm")
        return split_heads(linear(x, layer, "attn_q_b", rows), count, size)

    def _matrices(
        self, layer: Layer, count: int, plain: int, value_size: int, size: int
    ) -> tuple[tuple[ov.Node, bool, bool], ov.Node]:
        """For each head, what takes queries [.., plain] to the latent vector (with its transpositions), and what makes
        values of the latent vector, [heads, value size, size]."""
        if "attn_kv_b.weight" not in layer:
            return (layer.matrix("attn_k_b.weight"), False, True), layer.matrix("attn_v_b.weight")
        rows = np.arange(count * (plain + value_size)).reshape(count, -1)
        keys = layer.matrix("attn_kv_b.weight", rows[:, :plain].reshape(-1))
        values = layer.matrix("attn_kv_b.weight", rows[:, plain:].reshape(-1))
        return (
            (ops.reshape(keys, constant([count, plain, size]), False), False, False),
            ops.reshape(values, constant([count, value_size, size]), False),
        )
