"""Rewrites products whose weights have fractional zero points, so that the runtime can quantize the activations.

A GGUF file's weight is `(integer - zero point) * scale`, with one scale and one fractional zero point for each group of
weights. On processors with VNNI, OpenVINO multiplies 8-bit activations with the integers (dynamic quantization), but
only if zero points are integers too. So the product is split, with any integer `c`:

    x · ((integer - zero point) * scale) = x · ((integer - c) * scale) + group sums of x · ((c - zero point) * scale)

The second product is as many times smaller as a group has weights.
"""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from llm_chatbot.engine.graph.logits import skip
from llm_chatbot.engine.graph.trial import shortest_times, tried_once

# The trial product: its tokens, the weights' shape and group size, and how much faster the split form has to be. With 8
# tokens it is twice as fast where it is faster at all, so that noise doesn't decide.
TRIAL_TOKENS = 8
TRIAL_ROWS, TRIAL_COLUMNS, TRIAL_GROUP = 4096, 2048, 32
MIN_SPLIT_SPEEDUP = 1.1

# Graphs without larger products than this stay as they are: one token of such a model comes no sooner, and its answers
# stay those of the weights' exact zero points.
LEAST_WEIGHTS = 1 << 20

SAMPLED_ROWS = 64  # the whole zero point of a product is the median of so many rows' zero points

LARGEST = {ov.Type.u4: 15, ov.Type.u8: 255}  # by the types of integers that have zero points


@dataclass(frozen=True)
class Product:
    """A matrix product whose weights have fractional zero points.

    Attributes:
        node: the product.
        integers: [rows, groups, weights per group], converted to a float type.
        zero_point, scale: constants [rows, groups, 1].
        largest: the largest integer of the weights' type.
    """

    node: ov.Node
    integers: ov.Output
    zero_point: np.ndarray
    scale: ov.Output
    largest: int

    @property
    def weights(self) -> int:
        """How many weights it has."""
        return math.prod(self.integers.get_shape())


def splitting_pays(model: ov.Model, properties: dict[str, Any]) -> bool:
    """Whether a graph for the CPU has large products of this kind, and this machine is faster if they are split.

    Args:
        model: before products are merged: an answer of a small model depends on its exact weights.
        properties: those that the model is compiled with.
    """
    is_large = any(product.weights > LEAST_WEIGHTS for product in _products(model))
    return is_large and tried_once("split zero points", properties, lambda: split_form_is_faster(properties))


def split_zero_points(model: ov.Model) -> int:
    """Rewrites all such products of a graph in place, and returns how many there were."""
    products = list(_products(model))
    sums: dict[tuple[str, int], ov.Output] = {}  # products of the same activations share their sums
    with ThreadPoolExecutor() as pool:
        splits = list(pool.map(_split_zero_point, products))
    for product, split in zip(products, splits, strict=True):
        activations = product.node.input_value(0)
        key = (activations.node.get_name(), activations.get_index())
        if key not in sums:
            sums[key] = _group_sums(activations, product.zero_point.shape[1])
        _split_product(product, sums[key], *split)
    model.validate_nodes_and_infer_types()
    return len(products)


def _products(model: ov.Model) -> Iterator[Product]:
    """Products with weights of the form: integers → Convert → Subtract → Multiply → (Reshape) → (Convert)."""
    for node in model.get_ops():
        if node.get_type_name() != "MatMul" or not node.get_attributes()["transpose_b"]:
            continue
        scaling = skip(node.input_value(1).node, "Convert", "Reshape")
        shifting = scaling.input_value(0).node if scaling.get_type_name() == "Multiply" else scaling
        if shifting.get_type_name() != "Subtract":
            continue
        integers = skip(shifting.input_value(0).node, "Convert")
        zero_point = skip(shifting.input_value(1).node, "Convert")
        constants = integers.get_type_name() == zero_point.get_type_name() == "Constant"
        if not constants or integers.get_element_type() not in LARGEST or not zero_point.get_element_type().is_real():
            continue
        if len(integers.get_output_shape(0)) == zero_point.data.ndim == 3:
            largest = LARGEST[integers.get_element_type()]
            yield Product(node, shifting.input_value(0), zero_point.data, scaling.input_value(1), largest)


def _group_sums(activations: ov.Output, groups: int) -> ov.Output:
    """The sums of groups of consecutive activations, [..., size] → [..., groups]."""
    leading = [0] * (activations.get_partial_shape().rank.get_length() - 1)  # 0 keeps a dimension
    grouped = ops.reshape(activations, np.array([*leading, groups, -1]), special_zero=True)
    return ops.reduce_sum(grouped, np.array([-1]), keep_dims=False).output(0)


def _split_zero_point(product: Product) -> tuple[int, np.ndarray]:
    """A whole number near the zero points, and what remains of them times the scales, float16 [rows, groups]."""
    zero_point = product.zero_point.astype(np.float32)
    some = zero_point[:: math.ceil(len(zero_point) / SAMPLED_ROWS)]
    centre = int(np.clip(np.rint(np.median(some)), 0, product.largest))
    scale = product.scale.node.data.astype(np.float32, copy=False)
    return centre, ((centre - zero_point) * scale)[..., 0].astype(np.float16)


def _split_product(product: Product, sums: ov.Output, centre: int, offsets: np.ndarray) -> None:
    """Replaces a product by the sum of two."""
    float_type = product.integers.get_element_type()
    whole = ops.convert(ops.constant(np.array([[[centre]]], np.uint8)), float_type)
    weight = ops.multiply(ops.subtract(product.integers, whole), product.scale)
    target = product.node.input(1)
    shape = np.array(list(target.get_partial_shape().to_shape()))
    weight = ops.convert(ops.reshape(weight, shape, special_zero=False), target.get_element_type())

    unpacked = ops.convert(ops.constant(offsets), target.get_element_type())
    unpacked.rt_info["decompression_0"] = ""
    readers = product.node.output(0).get_target_inputs()
    target.replace_source_output(weight.output(0))
    total = ops.add(product.node, ops.matmul(sums, unpacked, transpose_a=False, transpose_b=True))
    for reader in readers:
        reader.replace_source_output(total.output(0))


def split_form_is_faster(properties: dict[str, Any]) -> bool:
    """Whether the split form of a product is faster on this machine's CPU. Takes about 0.1 s.

    Args:
        properties: those that the model is compiled with. Without dynamic quantization, splitting never pays.
    """
    split = _trial_graph()
    split_zero_points(split)
    compiled = ov.Core().compile_model(split, "CPU", properties)
    if compiled.get_property("DYNAMIC_QUANTIZATION_GROUP_SIZE") == 0:
        return False
    as_it_is = ov.Core().compile_model(_trial_graph(), "CPU", properties)
    whole, halves = shortest_times([as_it_is, compiled], TRIAL_TOKENS, TRIAL_COLUMNS)
    return whole > MIN_SPLIT_SPEEDUP * halves


def _trial_graph() -> ov.Model:
    """A product with weights as in a converted GGUF file of type Q4_1."""
    groups = TRIAL_COLUMNS // TRIAL_GROUP
    random = np.random.default_rng(0)
    integers = ov.Tensor(ov.Type.u4, ov.Shape([TRIAL_ROWS, groups, TRIAL_GROUP]))
    integers.data[:] = random.integers(0, 256, integers.data.shape, dtype=np.uint8)
    zero_point = ops.constant(random.uniform(6, 9, (TRIAL_ROWS, groups, 1)).astype(np.float16))
    scale = ops.constant(np.full((TRIAL_ROWS, groups, 1), 0.01, np.float16))
    weight = ops.multiply(ops.subtract(ops.convert(ops.constant(integers), np.float16), zero_point), scale)
    weight = ops.convert(ops.reshape(weight, np.array([TRIAL_ROWS, TRIAL_COLUMNS]), special_zero=False), np.float32)
    activations = ops.parameter([1, -1, TRIAL_COLUMNS], np.float32)
    return ov.Model([ops.matmul(activations, weight, transpose_a=False, transpose_b=True)], [activations])
