"""The layers of a vision transformer (Dosovitskiy et al. 2021, arXiv:2010.11929), which all towers have.

Activations are float32 [1, patches, size].
"""

import math

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino.utils.node_factory import NodeFactory

from llm_chatbot.decoder.attention import join_heads, split_heads
from llm_chatbot.decoder.blocks import Layer, activate, linear, norm
from llm_chatbot.decoder.constants import number
from llm_chatbot.decoder.keys import Keys
from llm_chatbot.decoder.rotary import halves_from_pairs, rotate
from llm_chatbot.decoder.tensors import Tensors

CosinesSines = tuple[ov.Node, ov.Node]  # cosines and sines, [1, 1, patches, size of a head]


class Tower:
    """One file's vision transformer.

    Args:
        keys: what the file says.
        tensors: its weights.
        norm: the kind of its norms, see `DecoderRow`.
        rotates_neighbours: see `TowerRow`.

    Attributes:
        outer: the tensors outside of all layers.
        hidden: the size of a patch's vector.
        layers: how many layers there are.
    """

    def __init__(self, keys: Keys, tensors: Tensors, norm: str, rotates_neighbours: bool = False) -> None:
        self._rotates_neighbours = rotates_neighbours
        self.keys, self.tensors, self._norm = keys, tensors, norm
        self._epsilon = keys.number("vision.attention.layer_norm_epsilon")
        self.outer = self.layer("")
        self.hidden, self.layers = keys.size("vision.embedding_length"), keys.size("vision.block_count")
        self.patch, self.image = keys.size("vision.patch_size"), keys.size("vision.image_size")
        self._heads = keys.size("vision.attention.head_count")
        self._activation = self._read_activation()

    def layer(self, prefix: str) -> Layer:
        return Layer(self.tensors, prefix, self._epsilon, self._norm)

    @property
    def head_size(self) -> int:
        return self.hidden // self._heads

    def _read_activation(self) -> str:
        if self.keys.get("use_gelu", False):
            return "gelu"
        return "silu" if self.keys.get("use_silu", False) else "quick gelu"

    def run(self, index: int, x: ov.Node, mask: ov.Node | None = None, rotation: CosinesSines | None = None) -> ov.Node:
        """One layer.

        Args:
            mask: added to the scores, [1, patches, patches]; None: all patches see each other.
            rotation: of queries and keys; None: there is none.
        """
        layer = self.layer(f"v.blk.{index}.")
        x = ops.add(x, self._attended(norm(x, layer, "ln1"), layer, mask, rotation))
        return ops.add(x, self._mlp(norm(x, layer, "ln2"), layer))

    def _attended(self, x: ov.Node, layer: Layer, mask: ov.Node | None, rotation: CosinesSines | None) -> ov.Node:
        if "attn_qkv.weight" in layer:  # one matrix for all three
            starts = range(0, 3 * self.hidden, self.hidden)
            mixed = [linear(x, layer, "attn_qkv", slice(start, start + self.hidden)) for start in starts]
        else:
            rows = [*[self._rotated_rows()] * 2, slice(None)]
            mixed = [linear(x, layer, f"attn_{name}", part) for name, part in zip("qkv", rows, strict=True)]
        queries, keys, values = (split_heads(each, self._heads, self.head_size) for each in mixed)
        if rotation is not None:
            queries, keys = (rotate(heads, *rotation, self.head_size) for heads in (queries, keys))
        mask = number(0) if mask is None else mask
        scale = number(1 / math.sqrt(self.head_size))
        arguments = [queries, keys, values, mask, scale]
        attended = NodeFactory("opset13").create("ScaledDotProductAttention", arguments, {"causal": False})
        return linear(join_heads(attended), layer, "attn_out")

    def _rotated_rows(self) -> np.ndarray | slice:
        """The order of the rows of queries and keys in which values of halves are rotated together."""
        pairs = halves_from_pairs(self._heads, self.head_size, self.head_size)
        return pairs if self._rotates_neighbours else slice(None)

    def _mlp(self, x: ov.Node, layer: Layer) -> ov.Node:
        """Of files from llama.cpp's older scripts, the names of the first and the last matrix are interchanged."""
        first, last = "ffn_up", "ffn_down"
        if layer.shape(f"{last}.weight")[0] != self.hidden:
            first, last = last, first
        hidden = linear(x, layer, first)
        if "ffn_gate.weight" in layer:
            return linear(ops.multiply(self._activated(linear(x, layer, "ffn_gate")), hidden), layer, last)
        return linear(self._activated(hidden), layer, last)

    def _activated(self, x: ov.Node) -> ov.Node:
        if self._activation == "quick gelu":  # x * sigmoid(1.702 x)
            return NodeFactory("opset13").create("Swish", [x, number(1.702)])
        return activate(x, self._activation)


def parameter(name: str, shape: list[int], type: type[np.generic] = np.float32) -> ov.op.Parameter:
    """An input of a graph."""
    made = ops.parameter(shape, type, name=name)
    made.output(0).set_names({name})
    return made
