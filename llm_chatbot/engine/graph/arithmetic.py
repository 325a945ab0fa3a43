"""Chooses the arithmetic of products with compressed weights: how many activations are quantized together, and whether.

On processors with VNNI, OpenVINO multiplies integer weights with activations in 8 bits, a group of which shares a scale
(dynamic quantization). By default a group has 32 activations, whatever the weights have; larger groups take fewer
steps. A group above the weights' own turns dynamic quantization off for that product, silently; so the default does in
products with weights in groups of 16.

On processors with AMX the default is bfloat16 without dynamic quantization, and each call unpacks all weights: one with
few tokens takes up to three times as long. Asking for 32 bits brings dynamic quantization back.
"""

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from statistics import median_high
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from llm_chatbot.engine.graph.logits import skip
from llm_chatbot.engine.graph.trial import shortest_times, tried_once
from llm_chatbot.engine.graph.zero_points import LEAST_WEIGHTS

GROUP_SIZE, PRECISION = "DYNAMIC_QUANTIZATION_GROUP_SIZE", "INFERENCE_PRECISION_HINT"

# Whoever sets one of these has chosen the arithmetic.
CHOICES = (GROUP_SIZE, PRECISION, "EXECUTION_MODE_HINT")

DEFAULT_GROUP = 32  # OpenVINO's
SMALLEST_GROUP = 16  # that its kernels have
LARGEST_GROUP = 128  # the weights of whole rows would allow more, at a precision that was not measured

# The calls that are compared: how many there are of each number of tokens. A prompt is read in one of them; an answer
# is written alone, and beside others.
CALLS = {256: 1, 8: 32, 1: 32}
TRIAL_ROWS, TRIAL_COLUMNS = 4096, 2048  # the shape of the product's weights
MIN_SPEEDUP = 1.1

INTEGERS = (ov.Type.i4, ov.Type.u4, ov.Type.i8, ov.Type.u8)


@dataclass(frozen=True)
class WeightForm:
    """How the weights of a product are compressed.

    Attributes:
        type: of the integers.
        group: how many consecutive weights of a row share a scale; 1 where activations can't be quantized.
        has_zero_point: whether their scale has a zero point beside it.
    """

    type: ov.Type
    group: int
    has_zero_point: bool


def faster_arithmetic(model: ov.Model, properties: dict[str, Any]) -> dict[str, str]:
    """The runtime properties for the fastest arithmetic on this machine's CPU; empty: the runtime's own.

    Measured once on this machine for each mixture of weights.

    Args:
        model: with the products as they are compiled.
        properties: the others that it is compiled with. The arithmetic that they choose stays, and so does that of a
            graph of small products.
    """
    if any(name in properties for name in CHOICES):
        return {}
    products = list(compressed_products(model))
    group = common_group(form.group for form, _ in products)
    if group is None or median_high(count for _, count in products) <= LEAST_WEIGHTS:
        return {}
    shares: dict[WeightForm, float] = defaultdict(float)
    for form, count in products:
        shares[form] += count / sum(count for _, count in products)
    forms = {str(form): round(share, 2) for form, share in shares.items()}
    return tried_once(str(forms), properties, lambda: choose_arithmetic(shares, group, properties))


def common_group(sizes: Iterable[int]) -> int | None:
    """The largest group of activations that lies within a group of weights in every product.

    Args:
        sizes: of the groups of weights in a graph.

    Returns:
        A power of two from `SMALLEST_GROUP` to `LARGEST_GROUP`; None: there is none.
    """
    known = list(sizes)
    largest = math.gcd(LARGEST_GROUP, *known)
    return largest if known and largest >= SMALLEST_GROUP else None


def compressed_products(model: ov.Model) -> Iterator[tuple[WeightForm, int]]:
    """The form and the number of weights of each product: integers → Convert → (Subtract) → Multiply → (Reshape)."""
    for node in model.get_ops():
        if node.get_type_name() != "MatMul":
            continue
        scaling = skip(node.input_value(1).node, "Convert", "Reshape", "Transpose")
        if scaling.get_type_name() != "Multiply":
            continue
        shifting = skip(scaling.input_value(0).node, "Convert")
        has_zero_point = shifting.get_type_name() == "Subtract"
        integers = skip(shifting.input_value(0).node, "Convert") if has_zero_point else shifting
        if integers.get_type_name() != "Constant" or integers.get_element_type() not in INTEGERS:
            continue
        shape, scales = list(integers.get_output_shape(0)), list(scaling.input_value(1).get_shape())
        in_rows = node.get_attributes()["transpose_b"] and scales == [*shape[:-1], 1]
        is_whole = not has_zero_point or skip(shifting.input_value(1).node, "Convert").get_element_type() in INTEGERS
        group = shape[-1] if in_rows and is_whole else 1
        yield WeightForm(integers.get_element_type(), group, has_zero_point), math.prod(shape)


def choose_arithmetic(shares: Mapping[WeightForm, float], group: int, properties: dict[str, Any]) -> dict[str, str]:
    """The arithmetic for products with weights of some forms, by a trial of a second or two for each form.

    32 bits are asked for only where the runtime's own precision doesn't quantize activations.

    Args:
        shares: of the weights that have each form.
        group: how many activations are quantized together.
        properties: see `faster_arithmetic`.
    """
    graphs = {form: trial_graph(form) for form in shares}
    choice = {GROUP_SIZE: str(group)}
    if not any(_quantizes(graph, properties) for graph in graphs.values()):
        choice[PRECISION] = "f32"
    elif group == DEFAULT_GROUP:
        return {}
    own, chosen = 0.0, 0.0
    for form, graph in graphs.items():
        compiled = [ov.Core().compile_model(graph, "CPU", {**properties, **each}) for each in ({}, choice)]
        for tokens, count in CALLS.items():
            seconds = shortest_times(compiled, tokens, TRIAL_COLUMNS)
            own += shares[form] * count * seconds[0]
            chosen += shares[form] * count * seconds[1]
    return choice if own > MIN_SPEEDUP * chosen else {}


def _quantizes(graph: ov.Model, properties: dict[str, Any]) -> bool:
    """Whether the runtime quantizes activations by itself: the result is another one without that."""
    activations = np.random.default_rng(0).standard_normal((1, 8, TRIAL_COLUMNS)).astype(np.float32)
    results = [
        ov.Core().compile_model(graph, "CPU", {**properties, **each})([activations], share_outputs=False)[0]
        for each in ({}, {GROUP_SIZE: "0"})
    ]
    return not np.array_equal(*results)


def trial_graph(form: WeightForm) -> ov.Model:
    """A product with `TRIAL_ROWS` rows of weights of a form; groups of whole rows are as long as the trial's rows."""
    size = min(form.group, TRIAL_COLUMNS)
    shape, per_group = [TRIAL_ROWS, TRIAL_COLUMNS // size, size], [TRIAL_ROWS, TRIAL_COLUMNS // size, 1]
    weight = ops.convert(_random_integers(form.type, shape), np.float16)
    if form.has_zero_point:
        weight = ops.subtract(weight, ops.convert(_random_integers(form.type, per_group), np.float16))
    weight = ops.multiply(weight, ops.constant(np.full(per_group, 0.01, np.float16)))
    weight = ops.convert(ops.reshape(weight, np.array([TRIAL_ROWS, TRIAL_COLUMNS]), special_zero=False), np.float32)
    activations = ops.parameter([1, -1, TRIAL_COLUMNS], np.float32)
    return ov.Model([ops.matmul(activations, weight, transpose_a=False, transpose_b=True)], [activations])


def _random_integers(type: ov.Type, shape: list[int]) -> ov.Node:
    tensor = ov.Tensor(type, ov.Shape(shape))
    values = tensor.data.reshape(-1).view(np.uint8)
    values[:] = np.random.default_rng(0).integers(0, 256, values.size, dtype=np.uint8)
    return ops.constant(tensor)
