"""The weights that the CPU runtime multiplies with, compared with `gguf`'s reference; `pytest -s` prints the errors."""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from gguf import GGML_QUANT_SIZES, GGUFWriter, dequantize
from gguf import GGMLQuantizationType as GGML
from openvino import opset13 as ops

from llm_chatbot.decoder.tensors import FLOATS, Tensors
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.blocks import FORMS
from llm_chatbot.gguf.header import read_gguf_header
from tests.gguf_files import HALVES, random_rows

COLUMNS = 768
EDGES = {  # of the minima and scales of the first rows' blocks
    "no minimum": (0.02, 0.0),
    "no scale": (0.0, 0.7),
    "nothing": (0.0, 0.0),
    "a minimum out of 16-bit zero points' reach": (1e-7, 1.5),
    "negative": (-0.02, -0.3),
}


def weight_of(rows: np.ndarray, type: GGML, path: Path) -> ov.Node:
    """The operations for rows of blocks, which are written to a GGUF file and read from it."""
    writer = GGUFWriter(path, "llama")
    writer.add_tensor("weight", rows, raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with Tensors(read_gguf_header(path)) as tensors:
        node = tensors.matrix("weight")
        tensors.finish()
        return node


def multiplied(weight: ov.Node) -> tuple[np.ndarray, int]:
    """The weight as the CPU runtime's matrix product has it, float32 [rows, columns], and the bits that it keeps."""
    x = ops.parameter([-1, COLUMNS], np.float32)
    model = ov.Core().compile_model(ov.Model([ops.matmul(x, weight, False, True)], [x]), "CPU", EXACT)
    assert "FullyConnected" in map(kind, model.get_runtime_model().get_ops())
    return model(np.eye(COLUMNS, dtype=np.float32))[0].T, kept_bits(model)


def looked_up(weight: ov.Node, rows: int) -> tuple[np.ndarray, int]:
    """The same of its table of embeddings."""
    ids = ops.parameter([-1], np.int64)
    model = ov.Core().compile_model(ov.Model([ops.gather(weight, ids, np.int64(0))], [ids]), "CPU", EXACT)
    return model(np.arange(rows))[0], kept_bits(model)


def kind(node: ov.Node) -> str:
    return node.get_rt_info()["layerType"].astype(str)


def kept_bits(model: ov.CompiledModel) -> int:
    """Size of the largest constant that the runtime keeps, in bits."""
    nodes = [node for node in model.get_runtime_model().get_ops() if kind(node) == "Const"]
    return max(node.get_output_element_type(0).bitwidth * int(np.prod(node.get_output_shape(0))) for node in nodes)


@pytest.mark.parametrize("type", [*FLOATS, *FORMS], ids=lambda type: type.name)
def test_what_is_multiplied_with_is_what_the_reference_makes_of_the_blocks(type: GGML, tmp_path: Path):
    rows = random_rows(type, (96, COLUMNS), np.random.default_rng(0))
    if type in FORMS and FORMS[type].has_minimum:
        with_edges(rows, type)
    expected = dequantize(rows, type)
    weight = weight_of(rows, type, tmp_path / "x.gguf")
    found, bits = multiplied(weight)
    in_table, bits_in_table = looked_up(weight, len(rows))
    np.testing.assert_array_equal(in_table, found)
    if type in FORMS:
        assert bits == bits_in_table == expected.size * getattr(ov.Type, FORMS[type].integer_type).bitwidth

    error = np.abs(found - expected)
    print(f"\n{type.name}: largest error {error.max():.2g}, largest weight {np.abs(expected).max():.2g}")
    if type in FORMS and FORMS[type].has_minimum:
        assert (error <= rounding_of_zero_points(rows, type) + np.abs(expected) * 2**-23).all()
    else:
        assert (error == 0).all()


@pytest.mark.parametrize("type", [GGML.Q8_0, GGML.Q4_K], ids=lambda type: type.name)
def test_a_scale_that_is_no_number_is_an_error(type: GGML, tmp_path: Path):
    rows = random_rows(type, (4, COLUMNS), np.random.default_rng(0))
    blocks(rows, type)[2, 1, :2] = np.array([np.nan], np.float16).view(np.uint8)
    with pytest.raises(UserError, match=r"blocks of weight are damaged .*; download the file again"):
        weight_of(rows, type, tmp_path / "x.gguf")


def blocks(rows: np.ndarray, type: GGML) -> np.ndarray:
    """A view of rows as uint8 [rows, blocks, bytes of a block]."""
    return rows.reshape(len(rows), -1, GGML_QUANT_SIZES[type][1])


def with_edges(rows: np.ndarray, type: GGML) -> None:
    """Gives the blocks of the first rows scales and minima for which zero points are special."""
    for row, values in zip(blocks(rows, type), EDGES.values(), strict=False):
        for offset, value in zip(HALVES[type], values, strict=True):
            row[:, offset : offset + 2] = np.array([value], np.float16).view(np.uint8)


def rounding_of_zero_points(rows: np.ndarray, type: GGML) -> np.ndarray:
    """The worth of half a step of a 16-bit zero point: 2^-11 of a group's minimum; float64 [rows, columns].

    Very small zero points have fewer bits, which is worth 2^-25 of the scale.
    """
    _, scale, minimum = FORMS[type].unpack(blocks(rows, type).reshape(-1, GGML_QUANT_SIZES[type][1]))
    assert minimum is not None
    bound = np.abs(minimum.astype(np.float64)) * 2**-11 + np.abs(scale.astype(np.float64)) * 2**-25
    return np.repeat(bound.reshape(len(rows), -1), FORMS[type].group, axis=1)
