"""The attention of a layer: queries, keys and values, normalised and rotated as the file has it."""

from dataclasses import dataclass

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from llm_chatbot.decoder.attention import Inputs, LayerCache, attend, split_heads
from llm_chatbot.decoder.blocks import Layer, linear, norm, rms_norm
from llm_chatbot.decoder.constants import constant, number
from llm_chatbot.decoder.keys import Keys
from llm_chatbot.decoder.rotary import angles, axes_of_pairs, halves_from_pairs, original_context, read_rotation, rotate
from llm_chatbot.decoder.rows import DecoderRow
from llm_chatbot.decoder.sizes import Heads, read_heads, read_slopes, read_windows, rotates
from llm_chatbot.decoder.tensors import ALL, Rows, Tensors


@dataclass(frozen=True)
class Projection:
    """A matrix that makes queries, keys or values of a layer's input.

    Attributes:
        name: of the matrix.
        start: its first row, where one matrix makes all three.
        heads, size: how many heads it makes, and their size.
        rotated: how many values of a head rotate; 0 for none.
        norm: the name of the norm of these heads.
    """

    name: str
    start: int
    heads: int
    size: int
    rotated: int
    norm: str

    def order(self, pairs: bool) -> np.ndarray | None:
        """The order of rows in which the halves of a head rotate together; None for the file's."""
        return halves_from_pairs(self.heads, self.size, self.rotated) if pairs and self.rotated else None


class SelfAttention:
    """The attention of all layers of one model.

    Args:
        keys, tensors, row: see `decoder.DecoderGraph`.
        inputs: of the graph.
        context: see `build_decoder`.

    Attributes:
        cache: the keys and values in the graph's state.
    """

    def __init__(self, keys: Keys, tensors: Tensors, row: DecoderRow, inputs: Inputs, context: int) -> None:
        self._keys, self._tensors, self._row, self._inputs = keys, tensors, row, inputs
        self._context = context
        self._slides = read_windows(keys, row)
        self._angles: dict[tuple[int, float, bool], tuple[ov.Node, ov.Node]] = {}
        self._shared: dict[int, tuple[ov.Node, ov.Node]] = {}
        self._with_own = keys.layers - int(keys.number("attention.shared_kv_layers", 0))
        self.cache = LayerCache(inputs)

    def attend(self, index: int, layer: Layer, x: ov.Node) -> ov.Node:
        """The attention's output, [batch, tokens, hidden size]."""
        heads = read_heads(self._keys, self._row, index, self._slides[index])
        projections = self._projections(layer, heads)
        queries = self._turned(self._project(x, layer, projections[0]), index, layer, projections[0])
        if index < self._with_own:
            keys = self._turned(self._project(x, layer, projections[1]), index, layer, projections[1])
            values = self._project(x, layer, projections[2])
            if self._row.values_normalised:
                values = rms_norm(values, layer.epsilon)
            keys = self.cache.append(f"{index}.key", keys)
            self._shared[index] = keys, self.cache.append(f"{index}.value", values)
        keys, values = self._shared[self._source(index)]
        return self.mixed(queries, keys, values, heads, layer)

    def mixed(self, queries: ov.Node, keys: ov.Node, values: ov.Node, heads: Heads, layer: Layer) -> ov.Node:
        """Attention itself, and the product with its output matrix."""
        sinks = layer.vector("attn_sinks.weight") if "attn_sinks.weight" in layer else None
        mask = self._inputs.mask(heads.window, read_slopes(self._keys, self._row, heads.queries))
        return linear(attend(self._tempered(queries), keys, values, heads, mask, sinks), layer, "attn_output")

    def rotation(self, index: int, size: int) -> tuple[ov.Node, ov.Node]:
        """Cosines and sines for a layer, the same nodes for layers that rotate alike."""
        base, window_base = self._bases()
        scaled = True
        if self._slides[index]:
            base, scaled = window_base, self._row.scaled_windows
        if (alpha := self._keys.number("rope.scaling.alpha", 0.0)) > 0:
            base *= alpha ** (size / (size - 2))
        key = size, base, scaled
        if key not in self._angles:
            rotation = read_rotation(self._keys, self._tensors, *key, self._context, self._row.latent)
            axes = axes_of_pairs(self._keys, size, self._row.axes_by_turns) if self._inputs.on_axes else None
            self._angles[key] = angles(rotation, self._inputs.position_ids, axes)
        return self._angles[key]

    def _bases(self) -> tuple[float, float]:
        """The rotary base of layers that see everything, and of those with a window. Ollama has names of its own."""
        base = self._keys.number("rope.freq_base", self._keys.number("rope.global.freq_base", 10000.0))
        local = self._keys.number("rope.local.freq_base", self._row.rotary_base_of_windows or base)
        return base, self._keys.number("rope.freq_base_swa", local)

    def _source(self, index: int) -> int:
        """The layer whose keys and values a layer reads: its own, or the last one of the same kind that has some."""
        return index if index < self._with_own else self._with_own - (2 if self._slides[index] else 1)

    def _projections(self, layer: Layer, heads: Heads) -> list[Projection]:
        queries, keys = heads.queries * heads.key_size, heads.keys * heads.key_size
        if "attn_qkv.weight" in layer:
            names, starts = ["attn_qkv"] * 3, [0, queries, queries + keys]
        else:
            # Where keys and values are the same, the file has one matrix for both.
            names, starts = ["attn_q", "attn_k", "attn_v" if "attn_v.weight" in layer else "attn_k"], [0, 0, 0]
        rotated = heads.rotated if rotates(self._keys, self._row) else 0
        return [
            Projection(names[0], starts[0], heads.queries, heads.key_size, rotated, "attn_q_norm"),
            Projection(names[1], starts[1], heads.keys, heads.key_size, rotated, "attn_k_norm"),
            Projection(names[2], starts[2], heads.keys, heads.value_size, 0, ""),
        ]

    def _project(self, x: ov.Node, layer: Layer, to: Projection) -> ov.Node:
        """Queries, keys or values, [batch, heads, tokens, size]; normalised if one norm holds for all heads of a
        token."""
        rows: Rows = slice(to.start, to.start + to.heads * to.size)
        order = to.order(self._row.rotary == "pairs")
        projected = linear(x, layer, to.name, rows if order is None else to.start + order)
        if limit := self._keys.number("attention.clamp_kqv", 0.0):
            projected = ops.clamp(projected, -limit, limit)
        if self._norm_shape(layer, to) == (to.heads * to.size,) and to.heads > 1:
            projected = norm(projected, layer, to.norm, ALL if order is None else order)
        return split_heads(projected, to.heads, to.size)

    def _norm_shape(self, layer: Layer, to: Projection) -> tuple[int, ...] | None:
        return layer.shape(f"{to.norm}.weight") if f"{to.norm}.weight" in layer else None

    def _turned(self, x: ov.Node, index: int, layer: Layer, to: Projection) -> ov.Node:
        """Queries or keys, normalised and rotated."""
        if not self._row.norm_after_rotary:
            x = self._normalised(x, layer, to)
        if to.rotated and self._rotates(index):
            x = rotate(x, *self.rotation(index, to.rotated), to.rotated)
        return self._normalised(x, layer, to) if self._row.norm_after_rotary else x

    def _normalised(self, x: ov.Node, layer: Layer, to: Projection) -> ov.Node:
        """Heads with their norm, if each head has one, or all have the same."""
        shape = self._norm_shape(layer, to)
        if shape is None or (len(shape) == 1 and to.heads > 1 and shape != (to.size,)):
            return x
        order = Projection("", 0, 1, to.size, to.rotated, "").order(self._row.rotary == "pairs")
        weight = layer.vector(f"{to.norm}.weight").reshape(1, -1, 1, to.size)
        return ops.multiply(layer.normalised(x), constant(weight if order is None else weight[..., order]))

    def _rotates(self, index: int) -> bool:
        if self._row.unrotated == "fourth":
            return index % 4 != 3
        return self._row.unrotated != "global" or self._slides[index] or not any(self._slides)

    def _tempered(self, queries: ov.Node) -> ov.Node:
        """Queries grow with their positions where the file says so: scale * ln(⌊position / length⌋ + 1) + 1."""
        scale = self._keys.number("attention.temperature_scale", 0.0)
        if not scale:
            return queries
        length = self._keys.size("attention.temperature_length", original_context(self._keys))
        positions = ops.reshape(ops.convert(self._inputs.position_ids, "f32"), constant([0, 1, -1, 1]), True)
        steps = ops.log(ops.add(ops.floor(ops.divide(positions, number(length))), number(1)))
        return ops.multiply(queries, ops.add(ops.multiply(steps, number(scale)), number(1)))
