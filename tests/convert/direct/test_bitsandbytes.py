"""Matrices of bitsandbytes, against what the library makes of them."""

import json

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from llm_chatbot.convert.direct.bitsandbytes import NF4, QUANT_STATE, NF4Matrix, read_fp4, read_int8, read_nf4
from llm_chatbot.convert.direct.formats import QuantizationFormat
from tests.gguf_files import DATA

STORED = np.load(DATA / "bitsandbytes_matrices.npz")
CASES = sorted({name.split("/")[0] for name in STORED.files})


def arrays_of(case: str) -> dict[str, np.ndarray]:
    return {name.split("/")[1]: STORED[name] for name in STORED.files if name.startswith(f"{case}/")}


@pytest.mark.parametrize("case", CASES)
def test_the_weights_are_the_librarys(case: str):
    method, bits = case.split(" ")[:2]
    matrix = QuantizationFormat(case, method, int(bits)).matrix(arrays_of(case))
    found, expected = matrix if isinstance(matrix, np.ndarray) else matrix.values(), STORED[f"{case}/values"]
    assert found.dtype == expected.dtype
    if method == "llm.int8":  # whose scale is divided by 127 first here, and last there
        np.testing.assert_allclose(found, expected, rtol=2e-7)
    else:
        np.testing.assert_array_equal(found, expected)


def test_openvino_has_the_same_table():
    tensor = ov.Tensor(ov.Type.nf4, ov.Shape([16]))
    tensor.data.reshape(-1).view(np.uint8)[:] = np.arange(0, 16, 2) | np.arange(1, 17, 2) << 4
    graph = ov.Model([ops.convert(ops.constant(tensor), "f32")], [])
    found = ov.Core().compile_model(graph, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})([])[0]
    np.testing.assert_array_equal(found, NF4)


def test_a_block_goes_on_in_the_next_row():
    """The library's own processor code does not follow that (findings/bitsandbytes-rows.sh), so this is by hand."""
    state = {"shape": [2, 96], "blocksize": 64, "quant_type": "nf4", "dtype": "float32"}
    arrays = {
        "weight": np.full((96, 1), 0xFF, np.uint8),
        "weight.absmax": np.array([1, 2, 3], np.float32),
        "weight.quant_map": NF4,
        f"{QUANT_STATE}nf4": np.frombuffer(json.dumps(state).encode(), np.uint8),
    }
    matrix = read_nf4(arrays)
    assert isinstance(matrix, NF4Matrix) and matrix.scales.tolist() == [[1, 1, 2], [2, 3, 3]]
    np.testing.assert_array_equal(matrix.values(), np.repeat([1, 2, 3], 64).reshape(2, 96))


def changed(case: str, **changes: object) -> dict[str, np.ndarray]:
    """A case's arrays with changes in the document of its state."""
    arrays, name = arrays_of(case), f"{QUANT_STATE}{case[:3]}"
    state = json.loads(arrays[name].tobytes()) | changes
    return arrays | {name: np.frombuffer(json.dumps(state).encode(), np.uint8)}


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        (changed("nf4 4", shape=[32, 64]), r"2048 bytes"),
        (changed("nf4 4", shape=None), "shape and blocks"),
        (changed("nf4 4", blocksize=0), "shape and blocks"),
        (changed("nf4 4", shape=[512, 8]), "rows of 8 in blocks of 64"),
        (changed("nf4 4 double", nested_blocksize=32), "64 scales in blocks of 32"),
        (arrays_of("nf4 4") | {"weight.quant_map": NF4[::-1]}, "another table"),
        (arrays_of("nf4 4") | {"weight.absmax": np.full(64, np.nan, np.float32)}, "not a finite number"),
        (arrays_of("nf4 4") | {f"{QUANT_STATE}nf4": np.frombuffer(b"[", np.uint8)}, "Expecting value"),
    ],
)
def test_parts_that_do_not_fit_together_are_refused(arrays: dict[str, np.ndarray], reason: str):
    with pytest.raises(ValueError, match=reason):
        read_nf4(arrays)


def test_a_missing_part_is_named():
    arrays = arrays_of("fp4 4")
    del arrays["weight.absmax"]
    with pytest.raises(KeyError, match=r"weight\.absmax"):
        read_fp4(arrays)


@pytest.mark.parametrize(
    ("part", "value"), [("weight_format", np.uint8(2)), ("SCB", np.ones(31, np.float32)), ("SCB", np.full(32, np.inf))]
)
def test_integers_in_another_order_or_with_other_scales_are_refused(part: str, value: np.ndarray):
    with pytest.raises(ValueError, match=r"rows|scales"):
        read_int8(arrays_of("llm.int8 8") | {part: value})
