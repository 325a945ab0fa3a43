"""The output layer in two steps, for single tokens of models with large vocabularies.

With 128,256 or 262,144 tokens, the output layer's 8-bit weights are up to half of what a token reads. In two steps it
reads less: a copy in 4 bits gives approximate logits of all tokens; the rows of the best candidates, as they are in the
graph, replace theirs by exact ones.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from llm_chatbot.decoder.memory import Memory
from llm_chatbot.engine.decode.sampling import BEST_TOKENS
from llm_chatbot.engine.graph.arithmetic import GROUP_SIZE, compressed_products
from llm_chatbot.engine.graph.logits import UNPACKING, output_layer

LEAST_OUTPUT_WEIGHTS = 100_000_000  # in a smaller layer there are less than two milliseconds to gain
LEAST_OUTPUT_SHARE = 0.1  # of the bytes that a token reads
ROWS_AT_ONCE = 4096  # are rounded at a time
# Of the integers that a row is rounded to. Its largest weight becomes that: the approximation is much worse where the
# largest ones are clipped.
LARGEST_ROUNDED = 7
HIDDEN_STATES = "hidden_states"  # [L, 1, hidden], the inputs of an output layer for L positions


def two_steps_may_pay(model: ov.Model, properties: Mapping[str, Any]) -> bool:
    """Whether a graph ends in a product with many 8-bit weights, which are a considerable share of all.

    Args:
        properties: those that it is compiled with; not if they ask for exact results.
    """
    if properties.get(GROUP_SIZE) == "0" or "ACCURACY" in str(properties.get("EXECUTION_MODE_HINT")):
        return False
    layer = output_layer(model)
    if layer.get_type_name() != "MatMul" or not layer.get_attributes()["transpose_b"]:
        return False
    integers = _integers(layer.input_value(1).node)
    if integers is None or integers.get_element_type() not in (ov.Type.i8, ov.Type.u8):
        return False
    size = math.prod(integers.get_output_shape(0))
    read = sum(count * form.type.bitwidth / 8 for form, count in compressed_products(model))
    return size >= LEAST_OUTPUT_WEIGHTS and size >= LEAST_OUTPUT_SHARE * read


def separate_output_layer(model: ov.Model) -> ov.Model:
    """Ends a paged graph in hidden states [L, 1, hidden], and returns what is left: hidden states → logits."""
    layer = output_layer(model)
    states = layer.input_value(0)
    shape = ov.PartialShape([-1, 1, states.get_partial_shape()[-1].get_length()])
    parameter = ops.parameter(shape, states.get_element_type(), name=HIDDEN_STATES)
    layer.input(0).replace_source_output(parameter.output(0))
    logits = model.output("logits").node
    model.remove_result(logits)
    model.add_results([ops.result(states)])
    model.validate_nodes_and_infer_types()
    return ov.Model([logits], [parameter])


def in_two_steps(exact: ov.Model, memory: Memory, check: Callable[[], None] = lambda: None) -> ov.Model:
    """An output layer for one position, with 4-bit weights and the exact rows of the candidates.

    Args:
        exact: see `separate_output_layer`; stays as it is.
        memory: holds the 4-bit weights.
        check: is called now and then, and may raise an exception that ends this.
    """
    model = exact.clone()
    model.reshape([1, 1, model.input().get_partial_shape()[-1].get_length()])
    layer = output_layer(model)
    weight, states, readers = layer.input_value(1), layer.input_value(0), layer.output(0).get_target_inputs()
    rows = weight.get_partial_shape()[0].get_length()
    approximate = _product(states, _rounded_weight(weight, memory, check), rows)
    best = ops.topk(approximate, ops.constant(BEST_TOKENS), 0, "max", "none", index_element_type="i32").output(1)
    logits = _product(states, _rows_of(weight.node, rows, best), BEST_TOKENS)
    corrected = ops.scatter_elements_update(approximate, best, logits, ops.constant(0))
    result = ops.reshape(corrected, np.array([1, 1, rows]), special_zero=False)
    for reader in readers:
        reader.replace_source_output(result.output(0))
    model.validate_nodes_and_infer_types()
    return model


def _product(states: ov.Output, weight: ov.Node, rows: int) -> ov.Node:
    """Of a single hidden state, [rows]."""
    product = ops.matmul(states, weight, transpose_a=False, transpose_b=True)
    return ops.reshape(product, np.array([rows]), special_zero=False)


def _rounded_weight(weight: ov.Output, memory: Memory, check: Callable[[], None]) -> ov.Node:
    """The weights [rows, columns] in 4 bits, with a scale for each row."""
    rows, columns = weight.get_partial_shape().to_shape()
    integers, scales = memory.allocate(ov.Type.i4, [rows, columns]), np.empty((rows, 1), np.float16)
    packed = integers.data.reshape(-1).view(np.uint8).reshape(rows, columns // 2)
    for start, pairs, scale in _rounded_rows(weight.node, rows):
        check()
        packed[start : start + len(pairs)] = (pairs & 15) | (pairs >> 4 & 240)
        scales[start : start + len(pairs)] = scale
    scaled = ops.multiply(ops.convert(ops.constant(integers, shared_memory=True), np.float16), ops.constant(scales))
    return ops.convert(scaled, np.float32)


def _rounded_rows(weight: ov.Node, rows: int) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Of some rows after others the first one's number, integers from -7 to 7 and scales [n, 1].

    Two bytes are one little-endian number: uint16 [n, columns / 2].
    """
    ids = ops.parameter([-1], ov.Type.i32)
    values = _rows_of(weight, rows, ids.output(0))
    largest = ops.reduce_max(ops.abs(values), np.array([1]), keep_dims=True)
    scale = ops.maximum(ops.divide(largest, np.float32(LARGEST_ROUNDED)), np.float32(1e-6))
    integers = ops.convert(ops.round(ops.divide(values, scale), "half_to_even"), np.int8)
    graph = ov.Model([integers, ops.convert(scale, np.float32)], [ids])
    request = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"}).create_infer_request()
    for start in range(0, rows, ROWS_AT_ONCE):
        request.infer([np.arange(start, min(start + ROWS_AT_ONCE, rows), dtype=np.int32)])
        yield start, request.get_output_tensor(0).data.view("<u2"), request.get_output_tensor(1).data


def _rows_of(node: ov.Node, rows: int, ids: ov.Output) -> ov.Node:
    """Some of the `rows` of compressed weights, float32: the same operations on what their constants have there."""
    operands = [node.input_value(port).node for port in range(node.get_input_size())]
    match node.get_type_name():
        case "Constant":
            own = ops.gather(node, ids, ops.constant(0)) if node.get_output_shape(0)[:1] == [rows] else node
            return ops.convert(own, np.float32)
        case "Convert":
            return _rows_of(operands[0], rows, ids)
        case "Reshape":
            shape = np.array([-1, *node.get_output_shape(0)[1:]])
            return ops.reshape(_rows_of(operands[0], rows, ids), shape, special_zero=False)
    operation = ops.multiply if node.get_type_name() == "Multiply" else ops.subtract
    return operation(*(_rows_of(operand, rows, ids) for operand in operands))


def _integers(node: ov.Node) -> ov.Node | None:
    """The largest constant that weights are computed from; None: there are operations that `_rows_of` doesn't know."""
    if node.get_type_name() == "Constant":
        return node
    if node.get_type_name() not in UNPACKING:
        return None
    operands = 1 if node.get_type_name() == "Reshape" else node.get_input_size()
    found = [_integers(node.input_value(port).node) for port in range(operands)]
    known = [each for each in found if each is not None]
    return max(known, key=lambda each: math.prod(each.get_output_shape(0))) if len(known) == operands else None
