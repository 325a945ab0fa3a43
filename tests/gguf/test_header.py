import random
import struct
import time
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest

from llm_chatbot.errors import UserError
from llm_chatbot.gguf.header import GGUFHeader, read_gguf_header
from llm_chatbot.gguf.tokenizer import read_gguf_tokenizer
from tests.vocabularies import byte_level_tokens, learn_merges

SIZE = 64


def write_model(path: Path, split_max_tensors: int = 0) -> Path:
    """A small file with a vocabulary, and tensors in several block types."""
    writer = gguf.GGUFWriter(path, "llama", split_max_tensors=split_max_tensors)
    writer.add_context_length(2048)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", 1e-5)
    writer.add_bool("tokenizer.ggml.add_bos_token", False)
    merges = learn_merges(270)
    tokens = [*byte_level_tokens(merges), "<|end|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types([1] * (len(tokens) - 1) + [3])
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_eos_token_id(len(tokens) - 1)
    for name, shape, kind in (
        ("token_embd.weight", (len(tokens), SIZE), gguf.GGMLQuantizationType.Q8_0),
        ("blk.0.attn_q.weight", (SIZE, SIZE), gguf.GGMLQuantizationType.Q4_0),
        ("blk.0.attn_norm.weight", (SIZE,), gguf.GGMLQuantizationType.F32),
    ):
        data = gguf.quants.quantize(np.random.default_rng(0).normal(size=shape).astype(np.float32), kind)
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("gguf") / "small.gguf")


def written(
    path: Path,
    fields: bytes = b"",
    tensors: bytes = b"",
    field_count: int | None = None,
    tensor_count: int | None = None,
) -> Path:
    """A file with this header, and 4 KB behind it. Counts that are not given are 1 where there is anything."""
    counts = (
        bool(part) if count is None else count for part, count in ((tensors, tensor_count), (fields, field_count))
    )
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, *counts) + fields + tensors + bytes(4096))
    return path


def string(text: str) -> bytes:
    return struct.pack("<Q", len(text)) + text.encode()


def tensor(name: str = "a", shape: tuple[int, ...] = (32,), type: int = 0, offset: int = 0) -> bytes:
    return string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, type, offset)


def test_header_agrees_with_the_gguf_package(model: Path):
    header, reader = read_gguf_header(model), gguf.GGUFReader(model)
    expected = {name: field.contents() for name, field in reader.fields.items() if not name.startswith("GGUF.")}
    assert {
        key: list(value) if isinstance(value, np.ndarray) else value for key, value in header.fields.items()
    } == expected
    for their in reader.tensors:
        ours = header.tensors[their.name]
        assert (ours.type, ours.offset, ours.size) == (their.tensor_type, their.data_offset, their.n_bytes)
        assert ours.shape == tuple(reversed(their.shape.tolist()))
    assert header.size == model.stat().st_size


def test_values_are_checked_for_the_type_that_is_needed(model: Path):
    fields = read_gguf_header(model).fields
    assert fields.text("general.architecture") == "llama" and fields.integer("llama.context_length") == 2048
    assert fields.flag("tokenizer.ggml.add_bos_token") is False and fields.text("no.such.key") is None
    for read, key in (
        (fields.text, "llama.context_length"),
        (fields.integer, "tokenizer.ggml.add_bos_token"),
        (fields.flag, "llama.context_length"),
        (fields.texts, "tokenizer.ggml.token_type"),
        (fields.numbers, "tokenizer.ggml.tokens"),
    ):
        with pytest.raises(UserError, match=r"is damaged .*download it again"):
            read(key)


HUGE = 2**62
FIELD = string("k") + struct.pack("<II", 4, 1)
LIES: dict[str, dict[str, Any]] = {
    "many fields": {"field_count": HUGE},
    "many tensors": {"tensor_count": 2**32},
    "a long string": {"fields": string("k") + struct.pack("<IQ", 8, HUGE)},
    "a long array": {"fields": string("k") + struct.pack("<IIQ", 9, 4, HUGE)},
    "many strings": {"fields": string("k") + struct.pack("<IIQ", 9, 8, HUGE)},
    "as many strings as are allowed": {"fields": string("k") + struct.pack("<IIQ", 9, 8, 2**23)},
    "an array of arrays": {"fields": string("k") + struct.pack("<IIQ", 9, 9, 1)},
    "an unknown value type": {"fields": string("k") + struct.pack("<I", 77)},
    "a key that is not UTF-8": {"fields": struct.pack("<Q", 1) + b"\xff" + struct.pack("<II", 4, 1)},
    "a key twice": {"fields": 2 * FIELD, "field_count": 2},
    "an alignment of 3": {"fields": string("general.alignment") + struct.pack("<II", 4, 3)},
    "an alignment of 0": {"fields": string("general.alignment") + struct.pack("<II", 4, 0)},
    "an alignment in words": {"fields": string("general.alignment") + struct.pack("<I", 8) + string("x")},
    "many dimensions": {"tensors": tensor(shape=(1,) * 9)},
    "no dimensions": {"tensors": tensor(shape=())},
    "an empty dimension": {"tensors": tensor(shape=(32, 0))},
    "a large tensor": {"tensors": tensor(shape=(2**63, 2**63))},
    "half a block": {"tensors": tensor(shape=(16,), type=2)},
    "an unknown type": {"tensors": tensor(type=31)},
    "an offset behind the end": {"tensors": tensor(offset=2**40)},
    "an offset beside the alignment": {"tensors": tensor(offset=1)},
    "a tensor twice": {"tensors": tensor() + tensor(offset=1024), "tensor_count": 2},
    "tensors in each other": {"tensors": tensor() + tensor("b", offset=64), "tensor_count": 2},
}


@pytest.mark.parametrize("kind", LIES)
def test_a_header_that_lies_is_refused_at_once(kind: str, tmp_path: Path):
    path = written(tmp_path / "x.gguf", **LIES[kind])
    started = time.thread_time()
    with pytest.raises(UserError, match=r"download (it|the file) again"):
        read_gguf_header(path)
    assert time.thread_time() - started < 1


def test_the_headers_that_lie_would_be_read_if_they_did_not(tmp_path: Path):
    path = written(tmp_path / "x.gguf", FIELD, tensor() + tensor("b", offset=128), tensor_count=2)
    header = read_gguf_header(path)
    assert dict(header.fields) == {"k": 1} and list(header.tensors) == ["a", "b"]


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        (b"", "download it again"),
        (b"GGUF", "not a GGUF file"),
        (b"PK\3\4" + bytes(99), "not a GGUF file"),
        (b"GGUF" + struct.pack("<IQQ", 1, 0, 0), "of version 1"),
        (b"GGUF" + struct.pack(">IQQ", 3, 0, 0), "big-endian"),
    ],
)
def test_what_is_no_gguf_file_of_today_is_refused(body: bytes, sentence: str, tmp_path: Path):
    (tmp_path / "x.gguf").write_bytes(body)
    with pytest.raises(UserError, match=sentence):
        read_gguf_header(tmp_path / "x.gguf")


def test_a_folder_or_a_missing_file_is_refused(tmp_path: Path):
    for path in (tmp_path, tmp_path / "no.gguf"):
        with pytest.raises(UserError, match="can't be read"):
            read_gguf_header(path)


def damaged(body: bytes, rng: random.Random) -> bytes:
    """A copy with flipped bits, a length field that lies, or an end that is missing; nearly all of it in the header."""
    changed = bytearray(body)
    how = rng.randrange(4)
    end = len(body) if rng.random() < 0.1 else 9000
    if how == 0:
        return bytes(changed[: rng.randrange(len(body))])
    if how == 1:
        position = rng.randrange(end - 8)
        changed[position : position + 8] = struct.pack("<Q", rng.choice([0, 1, 2**16, 2**31, 2**40, 2**63, 2**64 - 1]))
    else:
        for _ in range(rng.choice([1, 1, 3, 20])):
            changed[rng.randrange(24 if how == 2 and rng.random() < 0.3 else end)] ^= 1 << rng.randrange(8)
    return bytes(changed)


@pytest.mark.parametrize("seed", range(300))
def test_a_damaged_file_reads_or_gives_a_sentence(seed: int, model: Path, tmp_path: Path):
    path = tmp_path / "x.gguf"
    path.write_bytes(damaged(model.read_bytes(), random.Random(seed)))
    started = time.thread_time()
    try:
        header = read_gguf_header(path)
        assert all(tensor.offset + tensor.size <= path.stat().st_size for tensor in header.tensors.values())
        read_gguf_tokenizer(path).backend.encode("Hello, world!")
    except UserError as error:
        assert str(error).endswith(".") and "\n" not in str(error)
    assert time.thread_time() - started < 2


def split_model(folder: Path) -> list[Path]:
    write_model(folder / "model.gguf", split_max_tensors=1)
    return sorted(folder.iterdir())


def test_a_split_model_is_read_through_its_first_part(model: Path, tmp_path: Path):
    parts = split_model(tmp_path)
    assert len(parts) == 3

    def contents(header: GGUFHeader) -> dict[str, bytes]:
        return {
            name: tensor.path.read_bytes()[tensor.offset : tensor.offset + tensor.size]
            for name, tensor in header.tensors.items()
        }

    header = read_gguf_header(parts[0])
    assert contents(header) == contents(read_gguf_header(model))
    assert header.fields.text("general.architecture") == "llama"
    assert header.size == sum(part.stat().st_size for part in parts)
    with pytest.raises(UserError, match=r"use its first part instead, model-00001-of-00003\.gguf"):
        read_gguf_header(parts[1])


def test_a_split_model_that_lacks_a_part_is_refused_by_its_name(tmp_path: Path):
    parts = split_model(tmp_path)
    parts[1].unlink()
    with pytest.raises(UserError, match=r"lacks model-00002-of-00003\.gguf of this model"):
        read_gguf_header(parts[0])
    parts[1].write_bytes(parts[2].read_bytes())
    with pytest.raises(UserError, match="not part 2"):
        read_gguf_header(parts[0])
    with pytest.raises(UserError, match="restore the original names"):
        read_gguf_header(parts[0].rename(tmp_path / "renamed.gguf"))
