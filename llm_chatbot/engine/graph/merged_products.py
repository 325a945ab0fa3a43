"""Merges the products for query, key and value, so that the runtime computes them in one go.

Each product has an overhead: threads wait for each other at its end, and 8-bit activations are quantized anew. In small
models that is a good part of the time. So the rows of the weights are stacked, and the result is split; its values stay
the same.

The two halves of a gated MLP stay apart: the runtime applies the activation function within the product, in 32 bits,
and merging them gained nothing.
"""

import math
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from llm_chatbot.engine.graph.logits import UNPACKING

# Stacked weights are a copy in memory; with more of them than this, the overhead doesn't matter.
MOST_WEIGHTS = 1 << 22

ProductForm = tuple[str | int, ...]  # see `_product_form`


def merge_products(model: ov.Model) -> int:
    """Merges small products with compressed weights in place, and returns how many merged products there are."""
    alike: dict[tuple[str, int], list[ov.Node]] = defaultdict(list)
    for node in model.get_ordered_ops():
        if node.get_type_name() == "MatMul" and node.get_attributes()["transpose_b"]:
            activations = node.input_value(0)
            alike[activations.node.get_name(), activations.get_index()].append(node)
    merged = [products for products in alike.values() if _is_worth_it(products)]
    for products in merged:
        _merge(products)
    if merged:
        model.validate_nodes_and_infer_types()
    return len(merged)


def _is_worth_it(products: Sequence[ov.Node]) -> bool:
    """Whether these products of the same activations are to be merged."""
    weights = [product.input_value(1) for product in products]
    if len(weights) != 3 or any(not value.get_partial_shape().is_static for value in weights):
        return False
    shapes = [value.get_shape() for value in weights]
    are_matrices = all(len(shape) == 2 for shape in shapes)  # the weights of experts have an axis more
    if not are_matrices or sum(map(math.prod, shapes)) > MOST_WEIGHTS:
        return False
    form, *others = map(_product_form, weights)
    is_compressed = form is not None and "Multiply" in form  # 16-bit weights have no scale
    return is_compressed and all(other == form for other in others)


def _product_form(weights: ov.Output) -> ProductForm | None:
    """The form that stackable weights share: operations, types, and shapes but for the rows. None: not stackable."""
    if not weights.get_partial_shape().is_static or not list(weights.get_shape()):
        return None
    node, kind, (rows, *shape) = weights.node, weights.node.get_type_name(), weights.get_shape()
    form: ProductForm = (kind, weights.get_element_type().get_type_name(), *shape)
    if kind == "Constant":
        bits = math.prod([rows, *shape]) * weights.get_element_type().bitwidth
        return form if bits % 8 == 0 else None
    if kind not in UNPACKING:
        return None
    for value in _weights_of(node):
        inner = _product_form(value)
        if inner is None or value.get_shape()[0] != rows:
            return None
        form += inner
    return form


def _weights_of(node: ov.Node) -> list[ov.Output]:
    """The inputs of an operation on weights, without the target shape of a reshape."""
    return node.input_values()[:1] if node.get_type_name() == "Reshape" else node.input_values()


def _merge(products: Sequence[ov.Node]) -> None:
    weights = [product.input_value(1) for product in products]
    merged = ops.matmul(products[0].input_value(0), _stack(weights), transpose_a=False, transpose_b=True)
    parts = ops.variadic_split(merged, -1, [value.get_shape()[0] for value in weights])
    for product, part in zip(products, parts.outputs(), strict=True):
        for reader in product.output(0).get_target_inputs():
            reader.replace_source_output(part)


def _stack(weights: Sequence[ov.Output]) -> ov.Node:
    """The rows of weights of the same form, one below the other."""
    first, kind, element_type = weights[0], weights[0].node.get_type_name(), weights[0].get_element_type()
    shape = [sum(value.get_shape()[0] for value in weights), *first.get_shape()[1:]]
    if kind == "Constant":
        stacked = ov.Tensor(element_type, ov.Shape(shape))
        stacked.data.reshape(-1)[:] = np.concatenate([value.node.data.reshape(-1) for value in weights])
        return ops.constant(stacked)
    inputs = [_stack(values) for values in zip(*(_weights_of(value.node) for value in weights), strict=True)]
    if kind == "Convert":
        return ops.convert(inputs[0], element_type)
    if kind == "Reshape":
        return ops.reshape(inputs[0], np.array(shape), special_zero=False)
    return ops.subtract(*inputs) if kind == "Subtract" else ops.multiply(*inputs)
