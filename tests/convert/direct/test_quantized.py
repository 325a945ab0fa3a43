"""Packed matrices, against what the formats' own code makes of them."""

import numpy as np
import pytest

from llm_chatbot.convert.direct.formats import QuantizationFormat
from llm_chatbot.convert.direct.quantized import QuantizedMatrix, read_awq, read_fp8, read_gptq, unpack
from tests.gguf_files import DATA

STORED = np.load(DATA / "quantized_matrices.npz")
CASES = sorted({name.split("/")[0] for name in STORED.files})


def arrays_of(case: str) -> dict[str, np.ndarray]:
    return {name.split("/")[1]: STORED[name] for name in STORED.files if name.startswith(f"{case}/")}


def read(case: str) -> QuantizedMatrix:
    method, bits = case.split(" ")[:2]
    matrix = QuantizationFormat(case, method, int(bits)).matrix(arrays_of(case))
    assert isinstance(matrix, QuantizedMatrix)
    return matrix


@pytest.mark.parametrize("case", CASES)
def test_the_weights_are_those_of_the_formats_own_code(case: str):
    np.testing.assert_array_equal(read(case).values(), STORED[f"{case}/values"])


def test_only_symmetric_integers_need_no_zero_points():
    symmetric = {case for case in CASES if read(case).is_symmetric}
    assert symmetric == {f"compressed-tensors {bits}" for bits in (3, 4, 8)}


def test_act_order_sorts_the_columns_by_their_groups():
    case = "gptq 4 act-order"
    order = read(case).order
    assert sorted(order) == list(range(64)) and (np.diff(STORED[f"{case}/g_idx"][order]) >= 0).all()
    assert read("gptq 4").order is None


def test_the_second_version_of_gptq_stores_zero_points_as_they_are():
    arrays = arrays_of("gptq 4")
    first, second = read_gptq(arrays, 4).zero_points, read_gptq(arrays, 4, is_first_version=False).zero_points
    np.testing.assert_array_equal(first, second + 1)


def test_a_zero_point_that_wraps_around_is_zero():
    """AutoGPTQ stores 0 - 1. Its two layers read that as 16 and as 0; what was stored was 0."""
    arrays = arrays_of("gptq 4") | {"qzeros": np.full((2, 4), -1, np.int32)}
    assert (read_gptq(arrays, 4).zero_points == 0).all()


def test_the_last_blocks_of_8_bit_floats_may_be_smaller():
    weight, scales = np.ones((3, 5), np.float32), np.arange(6, dtype=np.float32).reshape(2, 3)
    found = read_fp8({"weight": weight, "weight_scale_inv": scales}, (2, 2))
    np.testing.assert_array_equal(found, [[0, 0, 1, 1, 2], [0, 0, 1, 1, 2], [3, 3, 4, 4, 5]])
    with pytest.raises(ValueError, match="scales"):
        read_fp8({"weight": weight, "weight_scale_inv": scales}, (1, 2))
    with pytest.raises(ValueError, match="scales"):
        read_fp8({"weight": weight, "weight_scale": scales[:, 0]})


def test_a_scale_for_each_row_is_the_rows_whatever_its_shape():
    scales = np.array([1, 2, 3], np.float32)
    for shape in ((3,), (3, 1), (1, 3)):
        found = read_fp8({"weight": np.ones((3, 3), np.float32), "weight_scale": scales.reshape(shape)})
        np.testing.assert_array_equal(found[:, 0], scales)


@pytest.mark.parametrize("bits", range(2, 9))
def test_integers_lie_without_gaps(bits: int):
    expected = np.random.default_rng(bits).integers(0, 1 << bits, (3, 40), np.uint8)
    words = np.array([_as_number(row, bits) for row in expected])
    np.testing.assert_array_equal(unpack(words, bits, 40), expected)


def _as_number(integers: np.ndarray, bits: int) -> np.ndarray:
    number = sum(int(value) << bits * place for place, value in enumerate(integers))
    return np.frombuffer(number.to_bytes(4 * bits * 2, "little"), np.int32)


@pytest.mark.parametrize("end", ["qzeros", "scales"])
def test_parts_that_do_not_fit_together_are_refused(end: str):
    arrays = arrays_of("awq 4")
    with pytest.raises(ValueError, match="scales"):
        read_awq(arrays | {end: arrays[end][:, :-1]})


def test_groups_of_different_sizes_are_refused():
    groups = np.array([*[0] * 31, *[1] * 33], np.int32)[::-1]
    with pytest.raises(ValueError, match="sizes"):
        read_gptq(arrays_of("gptq 4") | {"g_idx": groups}, 4)
