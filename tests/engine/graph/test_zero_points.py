"""Fractional zero points, split off from a product: the same result, and only where it is faster."""

from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from llm_chatbot.engine.graph import zero_points
from llm_chatbot.engine.graph.zero_points import split_zero_points, splitting_pays
from llm_chatbot.engine.precisions import EXACT

ROWS, GROUPS, GROUP = 24, 3, 32


def product(zero_point: np.ndarray, dtype: type = np.uint8, rank: int = 3) -> ov.Model:
    """activations · weightsᵀ, with weights as in a converted GGUF file."""
    random = np.random.default_rng(0)
    integers = ops.constant(random.integers(0, 32, (ROWS, GROUPS, GROUP)).astype(dtype))
    scale = ops.constant(random.uniform(0.01, 0.1, (ROWS, GROUPS, 1)).astype(np.float32))
    zero_point = ops.convert(ops.constant(zero_point), np.float32)
    weight = ops.multiply(ops.subtract(ops.convert(integers, np.float32), zero_point), scale)
    weight = ops.reshape(weight, np.array([ROWS, GROUPS * GROUP]), special_zero=False)
    activations = ops.parameter([-1] * (rank - 1) + [GROUPS * GROUP], np.float32)
    first = ops.matmul(activations, weight, transpose_a=False, transpose_b=True)
    second = ops.matmul(activations, weight, transpose_a=False, transpose_b=True)
    return ov.Model([ops.relu(first), second], [activations])


def fractional() -> np.ndarray:
    return np.random.default_rng(1).uniform(-3, 40, (ROWS, GROUPS, 1)).astype(np.float16)


def results(model: ov.Model, activations: np.ndarray) -> list[np.ndarray]:
    return list(ov.Core().compile_model(model, "CPU", EXACT)([activations]).values())


@pytest.mark.parametrize("rank", [2, 3])
def test_the_result_is_the_same(rank: int):
    activations = np.random.default_rng(2).standard_normal([2, 5, GROUPS * GROUP][-rank:]).astype(np.float32)
    model = product(fractional(), rank=rank)
    expected = results(model, activations)
    assert split_zero_points(model) == 2
    for found, wanted in zip(results(model, activations), expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=2e-2)


def test_no_fraction_is_left_in_the_weights():
    model = product(fractional())
    split_zero_points(model)
    assert not list(zero_points._products(model))


def test_whole_zero_points_are_left_alone():
    assert split_zero_points(product(np.full((ROWS, GROUPS, 1), 8, np.uint8))) == 0


def test_symmetric_integers_are_left_alone():
    assert split_zero_points(product(fractional(), dtype=np.int8)) == 0


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path))


def test_without_dynamic_quantization_splitting_does_not_pay(monkeypatch, cache: None):
    monkeypatch.setattr(zero_points, "LEAST_WEIGHTS", 0)
    assert not splitting_pays(product(fractional()), EXACT)


def test_in_a_graph_of_small_products_splitting_does_not_pay(monkeypatch, cache: None):
    monkeypatch.setattr(zero_points, "split_form_is_faster", lambda properties: True)
    assert not splitting_pays(product(fractional()), {})
    monkeypatch.setattr(zero_points, "LEAST_WEIGHTS", 0)
    assert splitting_pays(product(fractional()), {})


def test_whether_splitting_pays_is_tried_once_on_a_machine(monkeypatch, cache: None):
    results = iter([True, False])
    monkeypatch.setattr(zero_points, "split_form_is_faster", lambda properties: next(results))
    monkeypatch.setattr(zero_points, "LEAST_WEIGHTS", 0)
    assert splitting_pays(product(fractional()), {}) and splitting_pays(product(fractional()), {})
    assert not splitting_pays(product(fractional()), {"NUM_STREAMS": "2"})


def test_what_remains_of_zero_points_is_kept_in_16_bits():
    model = product(fractional())
    split_zero_points(model)
    compiled = ov.Core().compile_model(model, "CPU", EXACT)
    kept = [
        (node.get_output_element_type(0), node.get_output_shape(0))
        for node in compiled.get_runtime_model().get_ops()
        if node.get_type_name() == "Constant" or "Const" in str(node.get_rt_info()["layerType"].astype(str))
    ]
    assert [type for type, shape in kept if list(shape) == [ROWS, GROUPS]] == [ov.Type.f16, ov.Type.f16]
