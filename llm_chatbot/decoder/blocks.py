"""The building blocks of a decoder: norms, matrix products, the MLP and its experts.

Activations are float32 [batch, tokens, size] unless said otherwise. A block takes its weights by name from one layer.
"""

from dataclasses import dataclass

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino.utils.node_factory import NodeFactory

from llm_chatbot.decoder.constants import constant, number
from llm_chatbot.decoder.tensors import ALL, Rows, Tensors


@dataclass(frozen=True)
class Layer:
    """The tensors of one layer, "blk.3.attn_q.weight" by the name "attn_q.weight".

    Attributes:
        tensors: of the whole file.
        prefix: "blk.3." for the fourth layer, nothing for what is outside of all layers.
        epsilon: what norms add to the variance.
        norm: the kind of norms, see `rows.Architecture`.
    """

    tensors: Tensors
    prefix: str
    epsilon: float
    norm: str

    def __contains__(self, name: str) -> bool:
        return self.prefix + name in self.tensors

    def vector(self, name: str) -> np.ndarray:
        return self.tensors.vector(self.prefix + name)

    def matrix(self, name: str, rows: Rows = ALL) -> ov.Node:
        return self.tensors.matrix(self.prefix + name, rows)

    def interleaved(self, *names: str) -> ov.Node:
        """The rows of several matrices by turns."""
        return self.tensors.interleaved([self.prefix + name for name in names])

    def shape(self, name: str) -> tuple[int, ...]:
        return self.tensors.shape(self.prefix + name)

    def normalised(self, x: ov.Node) -> ov.Node:
        """The last axis normalised, without a weight."""
        return rms_norm(x, self.epsilon) if self.norm == "rms" else layer_norm(x, self.epsilon)


def scaled(x: ov.Node, factor: float) -> ov.Node:
    return x if factor == 1 else ops.multiply(x, number(factor))


def linear(x: ov.Node, layer: Layer, name: str, rows: Rows = ALL) -> ov.Node:
    """The product with a matrix [outputs, inputs] of the layer, times its scale, plus its bias, if there are any."""
    matrix = layer.matrix(f"{name}.weight", rows)
    if f"{name}.order" in layer:  # its columns are sorted by their groups
        x = ops.gather(x, constant(layer.vector(f"{name}.order")), constant(2))
    product = ops.matmul(x, matrix, False, True)
    if f"{name}.scale" in layer:  # of the whole matrix, beside the scales of its blocks
        product = ops.multiply(product, constant(layer.vector(f"{name}.scale")))
    if f"{name}.bias" not in layer:
        return product
    return ops.add(product, constant(layer.vector(f"{name}.bias")[rows]))


def norm(x: ov.Node, layer: Layer, name: str, order: Rows = ALL) -> ov.Node:
    """Normalises the last axis, then multiplies by the weight of this name and adds its bias, as far as they exist.

    Args:
        order: of the weight's values.
    """
    x = layer.normalised(x)
    for kind, apply in ("weight", ops.multiply), ("bias", ops.add):
        if f"{name}.{kind}" in layer:
            x = apply(x, constant(layer.vector(f"{name}.{kind}")[order]))
    return x


def part(x: ov.Node, start: int, end: int) -> ov.Node:
    """A part of the last axis."""
    return ops.slice(x, *(constant([value]) for value in (start, end, 1, -1)))


def rms_norm(x: ov.Node, epsilon: float) -> ov.Node:
    """x / √(mean of x² + ε) (Zhang, Sennrich 2019, arXiv:1910.07467)."""
    squares = ops.reduce_mean(ops.power(x, number(2)), constant([-1]), True)
    return ops.multiply(x, ops.divide(number(1), ops.sqrt(ops.add(squares, number(epsilon)))))


def layer_norm(x: ov.Node, epsilon: float) -> ov.Node:
    """(x - mean) / √(variance + ε) (Ba et al. 2016, arXiv:1607.06450)."""
    return ops.mvn(x, constant([-1]), True, epsilon, "inside_sqrt")


def soft_cap(x: ov.Node, cap: float) -> ov.Node:
    """Bends values into (-cap, cap): cap * tanh(x / cap)."""
    return ops.multiply(ops.tanh(ops.multiply(x, number(1 / cap))), number(cap))


def activate(x: ov.Node, kind: str) -> ov.Node:
    if kind == "squared relu":
        return ops.power(ops.relu(x), number(2))
    return ops.gelu(x, "tanh") if kind == "gelu" else silu(x)


def silu(x: ov.Node) -> ov.Node:
    """x * sigmoid(x). The opset's function adds an input, with which the CPU plugin does not recognise experts."""
    return NodeFactory("opset13").create("Swish", [x])


def mlp(x: ov.Node, layer: Layer, activation: str, suffix: str = "") -> ov.Node:
    """down(activation(gate(x)) * up(x)), or down(activation(up(x))) without a gate.

    Some files have gate and up in one matrix, which has then twice as many rows as down has columns.

    Args:
        suffix: "_shexp" for the expert that all tokens share.
    """
    gate, up, down = f"ffn_gate{suffix}", f"ffn_up{suffix}", f"ffn_down{suffix}"
    size = layer.shape(f"{down}.weight")[-1]
    if f"{gate}.weight" in layer:
        hidden = ops.multiply(activate(linear(x, layer, gate), activation), linear(x, layer, up))
    elif layer.shape(f"{up}.weight")[0] == 2 * size:
        gates, ups = linear(x, layer, up, slice(0, size)), linear(x, layer, up, slice(size, 2 * size))
        hidden = ops.multiply(activate(gates, activation), ups)
    else:
        hidden = activate(linear(x, layer, up), activation)
    return linear(hidden, layer, down)
