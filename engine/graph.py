"""Inputs that are added to a model's graph after it was read: nothing in the folder changes."""

import math

import numpy as np
import openvino as ov
import openvino.opset13 as ops

# The name that Transformers has for it, as an argument of `forward` and here of the graph too.
LOGITS_TO_KEEP = "logits_to_keep"

# The input that says by how much the rotary base of a Qwen v1 is scaled. The original's own word.
NTK_ALPHA = "ntk_alpha"


def add_logits_to_keep(model: ov.Model) -> None:
    """Gives the graph an input that says for how many of the last positions logits are computed; 0: for all.

    The output layer is a fifth of the work in a small model, and a prompt needs only the last position's. Where the
    graph does not end in a matrix product, it is left as it is.
    """
    node = model.output("logits").node.input_value(0).node
    while node.get_type_name() in ("Add", "Convert", "Divide", "Multiply", "Tanh"):
        node = node.input_value(0).node
    if node.get_type_name() != "MatMul" or any(LOGITS_TO_KEEP in port.names for port in model.inputs):
        return
    keep = ops.parameter([-1], np.int64, name=LOGITS_TO_KEEP)  # one for each sequence, as Optimum's beam search expects
    keep.output(0).set_names({LOGITS_TO_KEEP})
    start = ops.negative(ops.reduce_max(keep, [0], keep_dims=True))
    to_the_end, one = ops.constant([np.iinfo(np.int64).max]), ops.constant([1])
    last = ops.slice(node.input_value(0), start, to_the_end, one, one)  # axis 1 of [batch, tokens, hidden]
    node.input(0).replace_source_output(last.output(0))
    model.add_parameters([keep])
    model.validate_nodes_and_infer_types()


def ntk_alpha(prompt_length: int, seq_length: int) -> float:
    """Qwen v1's scale for the rotary base: 1 up to `seq_length`, 3 up to twice that, 7 up to four times and so on.

    The prompt decides it, and it holds while the answer is generated.
    """
    if prompt_length <= seq_length:
        return 1.0
    return 2.0 ** math.ceil(math.log2(prompt_length / seq_length) + 1) - 1


def add_qwen_scaling(model: ov.Model, seq_length: int) -> None:
    """Gives a Qwen2 what Qwen v1 has beyond `seq_length`: an input that scales the rotary base, and larger queries.

    With base' = base · alpha^(d/(d-2)), a pair's frequency base'^(-2i/d) is the one that the graph has times
    alpha^(-2i/(d-2)). A query at the 1-based position p is multiplied by max(1, ln p / ln seq_length).
    """
    nodes = model.get_ordered_ops()
    positions = model.input("position_ids").node
    turn = next(
        node for node in nodes if node.get_type_name() == "MatMul" and node.input(0).get_partial_shape()[0] == 1
    )
    pairs = turn.input(0).get_shape()[1]  # frequencies [1, pairs, 1] times positions [batch, 1, tokens]
    alpha = ops.parameter([-1], np.float32, name=NTK_ALPHA)  # one for each sequence, as `logits_to_keep` is
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
