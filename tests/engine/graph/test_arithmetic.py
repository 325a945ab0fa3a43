"""The arithmetic of products follows the groups of their weights, where that is faster and none was chosen."""

from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from llm_chatbot.engine.graph import arithmetic
from llm_chatbot.engine.graph.arithmetic import (
    GROUP_SIZE,
    LARGEST_GROUP,
    PRECISION,
    SMALLEST_GROUP,
    WeightForm,
    choose_arithmetic,
    common_group,
    compressed_products,
    faster_arithmetic,
)
from llm_chatbot.engine.precisions import EXACT

ROWS, COLUMNS = 8, 768
SYMMETRIC = WeightForm(ov.Type.i8, 128, False)


def weights(group: int, zero_point: np.ndarray | None = None) -> ov.Node:
    """8-bit weights [ROWS, COLUMNS] in groups."""
    dtype = np.int8 if zero_point is None else np.uint8
    weight = ops.convert(ops.constant(np.ones((ROWS, COLUMNS // group, group), dtype)), np.float16)
    if zero_point is not None:
        weight = ops.subtract(weight, ops.convert(ops.constant(zero_point), np.float16))
    weight = ops.multiply(weight, ops.constant(np.full((ROWS, COLUMNS // group, 1), 0.5, np.float16)))
    return ops.convert(ops.reshape(weight, np.array([ROWS, COLUMNS]), special_zero=False), np.float32)


def graph(*matrices: ov.Node) -> ov.Model:
    activations = ops.parameter([-1, 1, COLUMNS], np.float32)
    return ov.Model([ops.matmul(activations, each, False, True) for each in matrices], [activations])


@pytest.fixture(autouse=True)
def small_trials(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arithmetic, "TRIAL_ROWS", 64)
    monkeypatch.setattr(arithmetic, "TRIAL_COLUMNS", 256)


@pytest.fixture
def measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[WeightForm, float], int]]:
    """The trials that were made, in which the new group was faster; small products count too, and nothing is known."""
    trials: list[tuple[dict[WeightForm, float], int]] = []

    def record(shares: dict[WeightForm, float], group: int, properties: dict[str, Any]) -> dict[str, str]:
        trials.append((dict(shares), group))
        return {GROUP_SIZE: str(group)}

    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path))
    monkeypatch.setattr(arithmetic, "LEAST_WEIGHTS", 0)
    monkeypatch.setattr(arithmetic, "choose_arithmetic", record)
    return trials


@pytest.mark.parametrize(
    "sizes, expected",
    [
        ([128], 128),
        ([64, 64], 64),
        ([64, 128], 64),
        ([128, 2048, 5632], 128),
        ([256], 128),
        ([4096], 128),
        ([576, 1536], 64),
        ([32, 128], 32),
        ([16, 32], 16),
        ([16], 16),
        ([96, 128], 32),
        ([8, 128], None),
        ([1, 128], None),
        ([], None),
    ],
)
def test_mixed_groups_have_their_smallest_or_none(sizes: list[int], expected: int | None):
    assert common_group(sizes) == expected


def test_no_group_of_activations_crosses_a_group_of_weights():
    sizes = [2**power * odd for power in range(13) for odd in (1, 3, 5)]
    for pair in ([first, second] for first in sizes for second in sizes):
        if (group := common_group(pair)) is not None:
            assert SMALLEST_GROUP <= group <= min(LARGEST_GROUP, *pair)
            assert all(size % group == 0 for size in pair)


def test_the_forms_of_products_are_read_from_the_graph():
    whole, fractional = np.full((ROWS, 6, 1), 8, np.uint8), np.full((ROWS, 6, 1), 7.5, np.float16)
    found = dict(compressed_products(graph(weights(128), weights(128, whole), weights(256))))
    assert found == dict.fromkeys(
        [SYMMETRIC, WeightForm(ov.Type.u8, 128, True), WeightForm(ov.Type.i8, 256, False)], ROWS * COLUMNS
    )
    assert list(compressed_products(graph(weights(128, fractional)))) == [
        (WeightForm(ov.Type.u8, 1, True), ROWS * COLUMNS)
    ]


def test_weights_that_do_not_lie_in_rows_have_no_groups():
    columns = ops.multiply(
        ops.convert(ops.constant(np.ones((COLUMNS, ROWS), np.int8)), np.float32), np.full((1, ROWS), 0.5, np.float32)
    )
    activations = ops.parameter([-1, 1, COLUMNS], np.float32)
    model = ov.Model([ops.matmul(activations, columns, False, False)], [activations])
    assert [form.group for form, _ in compressed_products(model)] == [1]


def test_each_form_is_tried_with_its_share_of_the_weights(measured):
    model = graph(weights(128), weights(128), weights(256))
    assert faster_arithmetic(model, {}) == {GROUP_SIZE: "128"}
    [(shares, group)] = measured
    assert shares == pytest.approx({SYMMETRIC: 2 / 3, WeightForm(ov.Type.i8, 256, False): 1 / 3}) and group == 128


def test_a_mixture_is_tried_once_on_a_machine(measured):
    for _ in range(2):
        assert faster_arithmetic(graph(weights(128)), {}) == {GROUP_SIZE: "128"}
    assert len(measured) == 1
    faster_arithmetic(graph(weights(128)), {"INFERENCE_NUM_THREADS": 1})
    faster_arithmetic(graph(weights(128), weights(64)), {})
    assert len(measured) == 3


def test_one_product_that_cannot_be_quantized_leaves_all_to_the_runtime(measured):
    assert faster_arithmetic(graph(weights(128), weights(8)), {}) == {}
    assert not measured


@pytest.mark.parametrize(
    "chosen", [EXACT, {GROUP_SIZE: "0"}, {PRECISION: "f32"}, {"EXECUTION_MODE_HINT": "ACCURACY"}], ids=str
)
def test_an_arithmetic_that_was_chosen_stays(chosen: dict[str, str], measured):
    assert faster_arithmetic(graph(weights(128)), chosen) == {}
    assert not measured


def test_a_graph_of_small_products_keeps_its_arithmetic(measured, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arithmetic, "LEAST_WEIGHTS", ROWS * COLUMNS)
    assert faster_arithmetic(graph(weights(128)), {}) == {}
    assert not measured


FORMS = (
    SYMMETRIC,
    WeightForm(ov.Type.u4, 64, True),
    WeightForm(ov.Type.u8, 5632, True),
    WeightForm(ov.Type.i4, 32, False),
)


@pytest.mark.parametrize("form", FORMS, ids=str)
def test_the_group_is_taken_where_it_is_faster(form: WeightForm, monkeypatch: pytest.MonkeyPatch):
    for seconds, expected in (([2.0, 1.0], "16"), ([1.0, 1.0], None)):
        monkeypatch.setattr(arithmetic, "shortest_times", lambda compiled, tokens, columns: seconds)  # noqa: B023
        assert choose_arithmetic({form: 1.0}, 16, {}).get(GROUP_SIZE) == expected


def test_the_form_of_most_weights_decides(monkeypatch: pytest.MonkeyPatch):
    other = FORMS[1]
    for share, expected in ((0.9, "64"), (0.1, None)):
        times = iter([*[[2.0, 1.0]] * len(arithmetic.CALLS), *[[1.0, 2.0]] * len(arithmetic.CALLS)])
        monkeypatch.setattr(arithmetic, "shortest_times", lambda *arguments: next(times))  # noqa: B023
        assert choose_arithmetic({SYMMETRIC: share, other: 1 - share}, 64, {}).get(GROUP_SIZE) == expected


def test_32_bits_are_asked_for_only_where_the_runtime_would_not_quantize(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(arithmetic, "shortest_times", lambda compiled, tokens, columns: [2.0, 1.0])
    monkeypatch.setattr(arithmetic, "_quantizes", lambda graph, properties: False)
    for group in (32, 128):
        assert choose_arithmetic({SYMMETRIC: 1.0}, group, {}) == {GROUP_SIZE: str(group), PRECISION: "f32"}
    monkeypatch.setattr(arithmetic, "_quantizes", lambda graph, properties: True)
    assert choose_arithmetic({SYMMETRIC: 1.0}, 128, {}) == {GROUP_SIZE: "128"}
    assert choose_arithmetic({SYMMETRIC: 1.0}, 32, {}) == {}  # the runtime's own


def test_without_dynamic_quantization_nothing_is_quantized():
    assert not arithmetic._quantizes(arithmetic.trial_graph(SYMMETRIC), EXACT)


def test_a_real_trial_chooses_the_group_or_nothing():
    assert choose_arithmetic({SYMMETRIC: 1.0}, 128, {}).get(GROUP_SIZE) in (None, "128")
