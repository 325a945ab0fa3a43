"""Where tensors lie in safetensors files, and what is made of damaged ones."""

import json
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from llm_chatbot.convert.direct.safetensors_files import stored_tensors
from llm_chatbot.errors import UserError

TENSORS = {
    "half": torch.arange(6, dtype=torch.float16).reshape(2, 3) / 8,
    "bfloat": torch.arange(-3, 3, dtype=torch.bfloat16).reshape(3, 2) / 8,
    "single": torch.tensor([1e-30, 3.5]),
    "double": torch.tensor([0.25], dtype=torch.float64),
    "integers": torch.tensor([[-7, 7]], dtype=torch.int32),
    "short": torch.tensor([-300, 300], dtype=torch.int16),
    "mask": torch.tensor([[True, False]]),
    "number": torch.tensor(2.5),
    "empty": torch.zeros(0, 4),
}


def write_raw(path: Path, header: object, data: bytes = bytes(16)) -> None:
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def test_tensors_are_read_where_they_lie(tmp_path: Path):
    save_file(TENSORS, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = stored_tensors(tmp_path)
    assert found.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        expected = tensor.float().numpy() if tensor.dtype.is_floating_point else tensor.numpy()
        np.testing.assert_array_equal(found[name].floats(), expected)


def test_each_8_bit_float_has_its_value(tmp_path: Path):
    every = torch.arange(256, dtype=torch.uint8).view(torch.float8_e4m3fn)
    save_file({"every": every}, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(stored_tensors(tmp_path)["every"].floats(), every.float().numpy())


def test_shards_are_read_as_the_index_says(tmp_path: Path):
    names = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]
    save_file({"a": torch.ones(2)}, tmp_path / names[0])
    save_file({"b": torch.ones(3)}, tmp_path / names[1])
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index), encoding="utf-8")
    assert {name: tensor.shape for name, tensor in stored_tensors(tmp_path).items()} == {"a": (2,), "b": (3,)}


@pytest.mark.parametrize(
    "entry",
    [
        {"dtype": "F32", "shape": [4], "data_offsets": [0, 20]},
        {"dtype": "F32", "shape": [4], "data_offsets": [4, 20]},
        {"dtype": "F32", "shape": [4], "data_offsets": [-4, 12]},
        {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]},
        {"dtype": "Q4", "shape": [4], "data_offsets": [0, 16]},
        {"dtype": "F32", "shape": [4]},
        {"dtype": "F32", "shape": "4", "data_offsets": [0, 1]},
        [],
        None,
    ],
)
def test_a_tensor_that_cannot_lie_there_is_a_damaged_file(entry: object, tmp_path: Path):
    write_raw(tmp_path / "model.safetensors", {"a": entry})
    with pytest.raises(UserError, match=r"model\.safetensors"):
        stored_tensors(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\0" * 7, struct.pack("<Q", 10**9), struct.pack("<Q", 4) + b"[1]}"])
def test_a_file_without_a_header_is_damaged(content: bytes, tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(content)
    with pytest.raises(UserError, match=r"model\.safetensors"):
        stored_tensors(tmp_path)


def test_pickles_are_not_read(tmp_path: Path):
    torch.save({"a": torch.ones(2)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match="pickles"):
        stored_tensors(tmp_path)
