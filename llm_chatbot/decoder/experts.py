"""A mixture of experts: each token is read by a few of many MLPs (Shazeer et al. 2017, arXiv:1701.06538).

The graph says that all experts read all tokens. In this form, the CPU plugin recognises it and computes the chosen
experts alone.
"""

from dataclasses import dataclass

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from llm_chatbot.decoder.blocks import Layer, activate, mlp, scaled
from llm_chatbot.decoder.constants import constant, number

SMALLEST_SUM = 2.0**-14  # of the weights of experts, the smallest normal float16: none is divided by zero

# The gated activation of gpt-oss: (up + 1) * gate * sigmoid(1.702 * gate), both limited.
GPT_OSS_SLOPE, GPT_OSS_LIMIT = 1.702, 7.0

LAST = np.iinfo(np.int64).max  # the end of an axis


@dataclass(frozen=True)
class Routing:
    """How a token's experts are chosen and weighted.

    Attributes:
        used: how many experts read a token.
        kind: "softmax" and "sigmoid" weigh all experts, "chosen" is a softmax over the chosen ones.
        normalised: whether the weights of the chosen ones are divided by their sum.
        scale: what the weights are multiplied by.
        groups, used_groups: experts are chosen from the best groups of neighbours only (DeepSeek V3); 1 for no groups.
    """

    used: int
    kind: str
    normalised: bool
    scale: float
    groups: int = 1
    used_groups: int = 1


def mixture(x: ov.Node, layer: Layer, routing: Routing, activation: str, scores_of: ov.Node | None = None) -> ov.Node:
    """The weighted sum of the experts' outputs, plus that of the expert that all tokens share, if there is one.

    Args:
        scores_of: what the router reads, if not what the experts read.
    """
    whole = experts(x, layer, routing, activation, x if scores_of is None else scores_of)
    if "ffn_down_shexp.weight" not in layer:
        return whole
    shared = mlp(x, layer, activation, "_shexp")
    if "ffn_gate_inp_shexp.weight" in layer:
        gate = constant(layer.vector("ffn_gate_inp_shexp.weight").reshape(1, -1))
        shared = ops.multiply(shared, ops.sigmoid(ops.matmul(x, gate, False, True)))
    return ops.add(whole, shared)


def experts(x: ov.Node, layer: Layer, routing: Routing, activation: str, scores_of: ov.Node) -> ov.Node:
    """The weighted sum of the outputs of a token's experts, [batch, tokens, hidden size]."""
    count, hidden = layer.shape("ffn_down_exps.weight")[:2]
    indices, weights = route(_flat(scores_of), layer, routing)
    everywhere = ops.reshape(ops.tile(_flat(x), constant([count, 1])), constant([count, -1, hidden]), False)
    outputs = _multiply(_hidden(everywhere, layer, activation), layer, "ffn_down_exps")

    outputs = ops.reshape(outputs, constant([count, 0, hidden]), True)
    nothing = ops.broadcast(number(0), ops.concat([_rows(indices), constant([count])], 0))
    weights = ops.scatter_elements_update(nothing, indices, weights, constant(1))
    weights = ops.reshape(ops.transpose(weights, constant([1, 0])), constant([count, 0]), True)
    weighted = ops.multiply(outputs, ops.unsqueeze(weights, constant(-1)))
    return ops.reshape(ops.reduce_sum(weighted, constant([0]), False), ops.shape_of(x), False)


def _hidden(x: ov.Node, layer: Layer, activation: str) -> ov.Node:
    """Each expert's values for each token before its last product: [experts, tokens, ...]."""
    if activation == "gpt-oss":
        return _gpt_oss(x, layer)
    if "ffn_gate_up_exps.weight" in layer:
        both = _multiply(x, layer, "ffn_gate_up_exps")
        gates, ups = ops.split(both, constant(-1), 2).outputs()
    else:
        gates, ups = (_multiply(x, layer, f"ffn_{name}_exps") for name in ("gate", "up"))
    return ops.multiply(activate(gates, activation), ups)


def _gpt_oss(x: ov.Node, layer: Layer) -> ov.Node:
    both = ops.matmul(x, layer.interleaved("ffn_gate_exps.weight", "ffn_up_exps.weight"), False, True)
    biases = [layer.vector(f"ffn_{name}_exps.bias") for name in ("gate", "up")]  # [experts, size] each
    both = ops.add(both, constant(np.stack(biases, axis=-1).reshape(len(biases[0]), 1, -1)))
    gates, ups = (ops.slice(both, *(constant([n]) for n in (start, LAST, 2, 2))) for start in (0, 1))
    gates = ops.swish(ops.minimum(gates, number(GPT_OSS_LIMIT)), number(GPT_OSS_SLOPE))
    return ops.multiply(ops.add(ops.clamp(ups, -GPT_OSS_LIMIT, GPT_OSS_LIMIT), number(1)), gates)


def _multiply(x: ov.Node, layer: Layer, name: str) -> ov.Node:
    product = ops.matmul(x, layer.matrix(f"{name}.weight"), False, True)
    if f"{name}.scale" in layer:
        product = ops.multiply(product, constant(layer.vector(f"{name}.scale").reshape(-1, 1, 1)))
    return ops.add(product, constant(layer.vector(f"{name}.bias")[:, None])) if f"{name}.bias" in layer else product


def route(x: ov.Node, layer: Layer, routing: Routing) -> tuple[ov.Output, ov.Node]:
    """Chooses experts for tokens [tokens, hidden size]: their indices and weights, [tokens, experts used]."""
    scores = ops.matmul(x, layer.matrix("ffn_gate_inp.weight"), False, True)
    if "ffn_gate_inp.bias" in layer:
        scores = ops.add(scores, constant(layer.vector("ffn_gate_inp.bias")))
    shares = preferred = _shares(scores, routing.kind)
    if "exp_probs_b.bias" in layer:  # balances the choice, and has no part in the weights
        preferred = ops.add(shares, constant(layer.vector("exp_probs_b.bias")))
    if routing.groups > 1:
        preferred = _best_groups(preferred, layer.shape("ffn_down_exps.weight")[0], routing)
    indices = _top(preferred, routing.used, -1).output(1)
    weights = ops.gather_elements(shares, indices, 1)
    if routing.kind == "chosen":
        weights = ops.softmax(weights, -1)
    if routing.normalised:
        total = ops.maximum(ops.reduce_sum(weights, constant([1]), True), number(SMALLEST_SUM))
        weights = ops.divide(weights, total)
    return indices, scaled(weights, routing.scale)


def _shares(scores: ov.Node, kind: str) -> ov.Node:
    """The weight of each expert, as far as it is known before the choice."""
    if kind == "chosen":
        return scores
    return ops.sigmoid(scores) if kind == "sigmoid" else ops.softmax(scores, -1)


def _best_groups(preferred: ov.Node, count: int, routing: Routing) -> ov.Node:
    """Leaves the scores of the best groups alone, by the sum of their two best experts: [tokens, experts]."""
    grouped = ops.reshape(preferred, constant([-1, routing.groups, count // routing.groups]), False)
    totals = ops.reduce_sum(_top(grouped, 2, -1).output(0), constant([2]), False)
    worst = ops.reduce_min(_top(totals, routing.used_groups, -1).output(0), constant([1]), True)
    best = ops.unsqueeze(ops.greater_equal(totals, worst), constant(2))
    return ops.reshape(ops.select(best, grouped, number(-np.inf)), constant([-1, count]), False)


def _top(x: ov.Node, count: int, axis: int) -> ov.Node:
    """The largest values and their indices."""
    return ops.topk(x, constant(count), axis, "max", "value", "i64")


def _flat(x: ov.Node) -> ov.Node:
    """[batch, tokens, size] → [batch * tokens, size]."""
    return ops.reshape(x, constant([-1, x.get_output_partial_shape(0)[2].get_length()]), False)


def _rows(x: ov.Output) -> ov.Node:
    return ops.gather(ops.shape_of(x), constant([0]), constant(0))
