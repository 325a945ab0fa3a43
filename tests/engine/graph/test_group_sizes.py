"""Groups of 4-bit weights that OpenVINO's CPU plugin multiplies wrongly, and the same weights in smaller ones."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from llm_chatbot.engine.graph.group_sizes import smaller_group, split_groups
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.folder.group_sizes import is_multiplied_rightly

FOLDER = Path("some-folder")
ROWS, GROUPS = 20, 8


def packed(values: np.ndarray, element_type: ov.Type) -> ov.Node:
    tensor = ov.Tensor(element_type, ov.Shape(values.shape))
    halves = (values.reshape(-1) & 15).astype(np.uint8)
    tensor.data.reshape(-1)[:] = halves[0::2] | halves[1::2] << 4
    return ops.constant(tensor)


def product(size: int, kind: str, experts: int = 0) -> tuple[ov.Model, np.ndarray]:
    """activations · weightsᵀ with groups of a size, and the weights.

    Args:
        kind: "i4", "u4" with zero points of 4 bits, "fraction" with those of GGUF files, or "one" for all groups.
        experts: how many matrices there are, one below the other; 0 for a plain one.
    """
    random = np.random.default_rng(size)
    leading = (experts, ROWS) if experts else (ROWS,)
    integers = random.integers(0, 16, (*leading, GROUPS, size))
    scale = random.uniform(0.01, 0.02, (*leading, GROUPS, 1)).astype(np.float16)
    zero_point = random.integers(5, 11, (*leading, GROUPS, 1))
    if kind == "i4":
        integers, zero_point = integers - 8, np.zeros_like(zero_point)
    elif kind == "one":
        zero_point = np.full([1] * integers.ndim, 8)
    weight = ops.convert(packed(integers, ov.Type.i4 if kind == "i4" else ov.Type.u4), np.float16)
    if kind != "i4":
        fractions = ops.constant(zero_point.astype(np.float16))
        whole = None if kind == "one" else packed(zero_point, ov.Type.u4)
        weight = ops.subtract(weight, ops.convert(whole, np.float16) if kind == "u4" and whole else fractions)
    weight = ops.multiply(weight, ops.constant(scale))
    weight = ops.reshape(weight, np.array([*leading, GROUPS * size]), special_zero=False)
    activations = ops.parameter([*([experts] if experts else []), -1, GROUPS * size], np.float32)
    result = ops.matmul(activations, ops.convert(weight, np.float32), transpose_a=False, transpose_b=True)
    values = ((integers - zero_point) * scale.astype(np.float32)).reshape(*leading, GROUPS * size)
    return ov.Model([result], [activations]), values


def largest_error(model: ov.Model, weights: np.ndarray, numbers_of_rows: Sequence[int]) -> float:
    """The largest error of products with so many rows of activations, relative to the largest value in each."""
    compiled = ov.Core().compile_model(model, "CPU", EXACT)
    errors = []
    for rows in numbers_of_rows:
        activations = np.random.default_rng(rows).standard_normal((*weights.shape[:-2], rows, weights.shape[-1]))
        expected = activations @ np.swapaxes(weights, -1, -2)
        found = compiled([activations.astype(np.float32)])[0]
        errors.append(np.abs(found - expected).max() / np.abs(expected).max())
    return float(np.max(errors))  # also where one is no number


@pytest.mark.parametrize("kind", ["i4", "u4", "fraction", "one"])
@pytest.mark.parametrize("size", [36, 40, 48, 62, 72, 96, 112, 144, 192, 288, 384, 576, 768])
def test_groups_are_split_and_every_product_is_right(size: int, kind: str):
    model, weights = product(size, kind)
    assert split_groups(model, FOLDER) == 1
    assert largest_error(model, weights, (1, 2, 3, 4, 5, 8)) < 1e-3
    assert split_groups(model, FOLDER) == 0


@pytest.mark.parametrize("size", [48, 72, 144])
def test_groups_of_experts_are_split_too(size: int):
    model, weights = product(size, "u4", experts=3)
    assert split_groups(model, FOLDER) == 1
    assert largest_error(model, weights, (1, 4, 8)) < 1e-3


@pytest.mark.parametrize("size", [8, 16, 24, 32, 64, 128, 512])
def test_groups_that_are_multiplied_rightly_stay(size: int):
    model, weights = product(size, "u4")
    before = [node.get_friendly_name() for node in model.get_ordered_ops()]
    assert split_groups(model, FOLDER) == 0
    assert [node.get_friendly_name() for node in model.get_ordered_ops()] == before
    assert largest_error(model, weights, (1, 4, 8)) < 1e-3


@pytest.mark.parametrize("size", [5, 25, 37, 75])
def test_odd_groups_are_refused_with_the_folders_name(size: int):
    model, _ = product(size, "u4")
    with pytest.raises(UserError, match=rf"^some-folder has 4-bit weights in groups of {size}, .*; convert the model"):
        split_groups(model, FOLDER)


def test_a_group_is_split_into_the_largest_even_part():
    assert [smaller_group(size) for size in (48, 72, 96, 144, 40, 62, 37)] == [24, 24, 32, 24, 20, 2, None]
    assert [size for size in range(-1, 130) if is_multiplied_rightly(size)] == [-1, *range(0, 33, 2), 64, 128]
