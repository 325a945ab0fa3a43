"""Matrices of GGUF files in the form that the CPU multiplies compressed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest
from gguf import GGMLQuantizationType as GGML
from gguf import GGUFReader, GGUFWriter, dequantize

from llm_chatbot.decoder.build import build_decoder
from llm_chatbot.decoder.memory import FileMemory, HeapMemory
from llm_chatbot.decoder.tensors import FLOATS, Tensors, bytes_in_openvino
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.blocks import FORMS
from llm_chatbot.gguf.header import read_gguf_header
from tests.decoder.running import logits_of
from tests.decoder.small_decoders import IDS, SMALL, write
from tests.gguf_files import random_rows

ROWS, COLUMNS = 24, 512


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with two matrices and one of three experts of each type."""
    path, rng = tmp_path_factory.mktemp("tensors") / "a.gguf", np.random.default_rng(0)
    writer = GGUFWriter(path, "llama")
    for type in (*FLOATS, *FORMS):
        for name in ("one", "two"):
            writer.add_tensor(f"{type.name}.{name}", random_rows(type, (ROWS, COLUMNS), rng), raw_dtype=type)
        writer.add_tensor(f"{type.name}.experts", random_rows(type, (3, ROWS, COLUMNS), rng), raw_dtype=type)
    writer.add_tensor("IQ1_S.one", np.zeros((2, 50), np.uint8), raw_dtype=GGML.IQ1_S)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def unpacked(path: Path, make: Callable[[Tensors], ov.Node]) -> ov.Node:
    with Tensors(read_gguf_header(path)) as tensors:
        node = make(tensors)
        tensors.finish()
        return node


def value(node: ov.Node) -> np.ndarray:
    result = ops.result(node)
    request = ov.Core().compile_model(ov.Model([result], []), "CPU", EXACT).create_infer_request()
    request.infer()
    return request.get_output_tensor().data.copy()


def expected(path: Path, name: str) -> np.ndarray:
    tensor = next(tensor for tensor in GGUFReader(path).tensors if tensor.name == name)
    return dequantize(tensor.data, tensor.tensor_type).reshape(tensor.shape[::-1])


def assert_same(found: np.ndarray, wanted: np.ndarray, type: GGML) -> None:
    rounded = type in FORMS and FORMS[type].has_minimum  # whose zero points have 16 bits
    np.testing.assert_allclose(found, wanted, rtol=0, atol=(4e-3 if rounded else 1e-6) * np.abs(wanted).max())


@pytest.mark.parametrize("type", [*FLOATS, *FORMS])
@pytest.mark.parametrize("name", ["one", "experts"])
def test_a_matrix_has_the_values_of_its_blocks(type: GGML, name: str, path: Path):
    node = unpacked(path, lambda tensors: tensors.matrix(f"{type.name}.{name}"))
    assert_same(value(node), expected(path, f"{type.name}.{name}"), type)


@pytest.mark.parametrize("type", [GGML.F32, GGML.F16, GGML.Q8_0, GGML.Q4_K])
@pytest.mark.parametrize("rows", [slice(4, 9), np.array([3, 1, 20])], ids=["run", "order"])
def test_some_rows_of_a_matrix(type: GGML, rows: slice | np.ndarray, path: Path):
    node = unpacked(path, lambda tensors: tensors.matrix(f"{type.name}.one", rows))
    assert_same(value(node), expected(path, f"{type.name}.one")[rows], type)


@pytest.mark.parametrize("type", [GGML.F32, GGML.F16, GGML.Q8_0, GGML.MXFP4])
def test_rows_of_two_matrices_by_turns(type: GGML, path: Path):
    node = unpacked(path, lambda tensors: tensors.interleaved([f"{type.name}.one", f"{type.name}.two"]))
    both = [expected(path, f"{type.name}.{name}") for name in ("one", "two")]
    assert_same(value(node), np.stack(both, axis=1).reshape(-1, COLUMNS), type)


def test_a_matrix_is_made_once(path: Path):
    tensors = Tensors(read_gguf_header(path))
    assert tensors.matrix("Q8_0.one") is tensors.matrix("Q8_0.one", slice(0, ROWS))
    assert "Q8_0.one" not in tensors.unused()
    assert "Q8_0.two" in tensors.unused()


def test_a_type_without_a_form_is_refused_by_name(path: Path):
    with pytest.raises(UserError, match=r"type IQ1_S, which are not supported; choose a file with F32, F16"):
        Tensors(read_gguf_header(path)).matrix("IQ1_S.one")


def test_damaged_blocks_are_refused_by_name(tmp_path: Path):
    write(tmp_path / "a.gguf", replace(SMALL["llama"], type=GGML.Q8_0))
    header = read_gguf_header(tmp_path / "a.gguf")
    with (tmp_path / "a.gguf").open("r+b") as file:
        file.seek(header.tensors["blk.1.ffn_up.weight"].offset)
        file.write(np.array([np.inf], np.float16).tobytes())
    with pytest.raises(UserError, match=r"blk\.1\.ffn_up\.weight are damaged"):
        build_decoder(tmp_path / "a.gguf")


@pytest.mark.parametrize("type", [GGML.F32, GGML.F16, GGML.Q8_0])
def test_memory_in_a_file_holds_the_same_values(type: GGML, tmp_path: Path):
    write(tmp_path / "a.gguf", replace(SMALL["llama"], type=type))
    with (tmp_path / "weights").open("w+b") as file:
        memory = FileMemory(file)
        found = logits_of(build_decoder(tmp_path / "a.gguf", memory), IDS)
    np.testing.assert_array_equal(found, logits_of(build_decoder(tmp_path / "a.gguf", HeapMemory()), IDS))


def test_the_size_of_the_constants_is_known_before(path: Path):
    infos = read_gguf_header(path).tensors
    for type in (GGML.F16, GGML.Q4_0, GGML.Q4_K, GGML.Q6_K):
        node = unpacked(path, lambda tensors: tensors.matrix(f"{type.name}.one"))  # noqa: B023 -- is called at once
        graph = ov.Model([ops.result(node)], [])
        size = sum(op.get_byte_size() for op in graph.get_ops() if op.get_type_name() == "Constant")
        assert 0 <= size - bytes_in_openvino([infos[f"{type.name}.one"]]) <= 64  # the shape of a Reshape
