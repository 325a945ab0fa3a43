"""The products for query, key and value, merged: the same results, and only where it pays."""

from collections.abc import Sequence

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from llm_chatbot.engine.graph import merged_products
from llm_chatbot.engine.graph.merged_products import merge_products
from llm_chatbot.engine.precisions import EXACT

GROUPS, GROUP = 3, 32
ROWS = (24, 8, 8)  # of query, key and value

INT4, INT8, FP16 = ov.Type.u4, ov.Type.u8, ov.Type.f16


def weights(rows: int, element_type: ov.Type, random: np.random.Generator) -> ov.Node:
    """[rows, GROUPS * GROUP], as in a converted folder: groups for INT4, a scale for each row for INT8."""
    if element_type == FP16:
        return ops.convert(ops.constant(random.standard_normal((rows, GROUPS * GROUP)).astype(np.float16)), np.float32)
    shape = [rows, GROUPS, GROUP] if element_type == INT4 else [rows, GROUPS * GROUP]
    integers, zero_point = (ov.Tensor(element_type, ov.Shape(size)) for size in (shape, [*shape[:-1], 1]))
    for tensor in (integers, zero_point):
        tensor.data[:] = random.integers(0, 256, tensor.data.shape, dtype=np.uint8)
    scale = ops.constant(random.uniform(0.01, 0.1, [*shape[:-1], 1]).astype(np.float32))
    shift = ops.convert(ops.constant(zero_point), np.float32)
    weight = ops.multiply(ops.subtract(ops.convert(ops.constant(integers), np.float32), shift), scale)
    return ops.reshape(weight, np.array([rows, GROUPS * GROUP]), special_zero=False)


def products(*element_types: ov.Type, rows: Sequence[int] = ROWS) -> ov.Model:
    """Products of the same activations, with weights of these types."""
    random = np.random.default_rng(0)
    activations = ops.parameter([1, -1, GROUPS * GROUP], np.float32)
    matrices = [weights(count, kind, random) for count, kind in zip(rows, element_types, strict=True)]
    results = [ops.matmul(activations, matrix, transpose_a=False, transpose_b=True) for matrix in matrices]
    return ov.Model(results, [activations])


def results(model: ov.Model) -> list[np.ndarray]:
    activations = np.random.default_rng(1).standard_normal((1, 5, GROUPS * GROUP)).astype(np.float32)
    return list(ov.Core().compile_model(model, "CPU", EXACT)([activations]).values())


@pytest.mark.parametrize("element_type", [INT4, INT8], ids=["INT4", "INT8"])
def test_the_results_are_the_same(element_type: ov.Type):
    model = products(*[element_type] * 3)
    expected = results(model)
    assert merge_products(model) == 1
    assert sum(node.get_type_name() == "MatMul" for node in model.get_ops()) == 1
    for found, wanted in zip(results(model), expected, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("element_types", "rows"),
    [((FP16,) * 3, ROWS), ((INT4, INT8, INT4), ROWS), ((INT4,) * 2, (8, 8)), ((INT4,) * 3, (3, 3, 3))],
    ids=["16 bits", "several types", "the halves of an MLP", "rows that end within a byte"],
)
def test_others_stay_apart(element_types: Sequence[ov.Type], rows: Sequence[int]):
    assert merge_products(products(*element_types, rows=rows)) == 0


def test_experts_stay_apart():
    random = np.random.default_rng(0)
    activations = ops.parameter([2, -1, GROUP], np.float32)
    matrices = [ops.constant(random.standard_normal((2, 8, GROUP)).astype(np.float32)) for _ in range(3)]
    scaled = [ops.multiply(matrix, ops.constant(np.ones((2, 8, 1), np.float32))) for matrix in matrices]
    outputs = [ops.matmul(activations, matrix, transpose_a=False, transpose_b=True) for matrix in scaled]
    assert merge_products(ov.Model(outputs, [activations])) == 0


def test_large_products_stay_apart(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(merged_products, "MOST_WEIGHTS", sum(ROWS) * GROUPS * GROUP - 1)
    assert merge_products(products(INT4, INT4, INT4)) == 0
