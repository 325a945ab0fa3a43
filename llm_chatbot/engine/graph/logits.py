"""Checks and changes a model's graph in memory; the files in the folder stay as they are."""

from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from llm_chatbot.errors import UserError

# The graph input, named like the argument of `forward` in Transformers.
LOGITS_TO_KEEP = "logits_to_keep"

# Elementwise operations that may follow the output layer.
AFTER_OUTPUT_LAYER = ("Add", "Convert", "Divide", "Multiply", "Tanh")

# Operations between a constant of weights and the product that it is for.
UNPACKING = ("Convert", "Reshape", "Multiply", "Subtract")


def skip(node: ov.Node, *types: str) -> ov.Node:
    """The node, or the nearest one before it, along first inputs, that has none of these types."""
    while node.get_type_name() in types:
        node = node.input_value(0).node
    return node


def output_layer(model: ov.Model) -> ov.Node:
    """The operation that computes the logits, usually a MatMul, before elementwise ones such as a soft cap."""
    return skip(model.output("logits").node.input_value(0).node, *AFTER_OUTPUT_LAYER)


def add_logits_to_keep(model: ov.Model) -> None:
    """Adds an input for the number of last positions to compute logits for; 0 means all.

    The output layer is a fifth of the work in a small model, and a prompt only needs the logits of the last position.
    A graph that does not end in a matrix product is left as it is.
    """
    node = output_layer(model)
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


def check_state(graph: ov.Model, model_dir: Path) -> None:
    """Refuses a graph without keys and values in its state: a conversation on it could not be continued.

    Raises:
        UserError: it is a state-space model, or has no state.
    """
    growing = [_grows(variable) for variable in graph.get_variables()]
    if not growing:
        raise UserError("engine.no_cache", folder=model_dir)
    if not any(growing):
        raise UserError("engine.state_space", folder=model_dir)


def check_growing(graph: ov.Model, model_dir: Path) -> None:
    """Refuses a graph that has recurrent states beside keys and values, which only the paged graph can cut back.

    Raises:
        UserError: it has.
    """
    if not all(_grows(variable) for variable in graph.get_variables()):
        raise UserError("engine.hybrid", folder=model_dir)


def _grows(variable: ov.op.util.Variable) -> bool:
    """Whether a state grows with the sequence."""
    return any(size.is_dynamic for size in list(variable.info.data_shape)[1:])
