"""Parses and checks the header of a GGUF file, which is untrusted input.

`gguf.GGUFReader` trusts the counts, lengths and offsets in a file. This parser checks the bounds of every read and
never allocates more than the file holds.

The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

import math
import mmap
import re
import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from gguf import (
    GGML_QUANT_SIZES,
    GGUF_DEFAULT_ALIGNMENT,
    GGUF_MAGIC,
    GGMLQuantizationType,
    GGUFValueType,
    LlamaFileType,
)

from llm_chatbot.errors import UserError
from llm_chatbot.texts import Text

VERSIONS = (2, 3)
MAX_DIMENSIONS = 4  # GGML_MAX_DIMS

# Far more than any model has, and few enough to parse in seconds.
MAX_ENTRIES = 2**18
MAX_STRINGS = 2**23

SCALARS = {
    GGUFValueType.UINT8: "<u1",
    GGUFValueType.INT8: "<i1",
    GGUFValueType.UINT16: "<u2",
    GGUFValueType.INT16: "<i2",
    GGUFValueType.UINT32: "<u4",
    GGUFValueType.INT32: "<i4",
    GGUFValueType.FLOAT32: "<f4",
    GGUFValueType.BOOL: "?",
    GGUFValueType.UINT64: "<u8",
    GGUFValueType.INT64: "<i8",
    GGUFValueType.FLOAT64: "<f8",
}

SPLIT_NAME = re.compile(r"(.*)-(\d{5})-of-(\d{5})\.gguf")


@dataclass(frozen=True)
class TensorInfo:
    """The location and type of a tensor.

    Attributes:
        path: the file that holds it; a split model has several.
        type: the type of its blocks.
        shape: in NumPy's order, the last dimension contiguous.
        offset: its first byte in the file.
        size: in bytes.
    """

    path: Path
    type: GGMLQuantizationType
    shape: tuple[int, ...]
    offset: int
    size: int


@dataclass(frozen=True)
class GGUFHeader:
    """A GGUF file's metadata and tensor index.

    Attributes:
        path: the file, or the first one of a split model.
        fields: metadata values by key, read on demand. Scalars and strings have Python's types, arrays of strings are
            lists, other arrays are NumPy's.
        tensors: by name, in the order of the file.
    """

    path: Path
    fields: "Fields"
    tensors: dict[str, TensorInfo]

    @property
    def size(self) -> int:
        """The size of all files of the model, in bytes."""
        return sum(path.stat().st_size for path in {self.path, *(tensor.path for tensor in self.tensors.values())})

    @property
    def main_type(self) -> str:
        """ggml's name for the type of most of the weights, such as "Q4_K"."""
        weights: Counter[str] = Counter()
        for tensor in self.tensors.values():
            weights[tensor.type.name] += math.prod(tensor.shape)
        return weights.most_common(1)[0][0] if weights else "F32"

    @property
    def quantization(self) -> str:
        """The name that the file has for how it is quantized, such as "Q4_K_M"; otherwise `main_type`."""
        file_type = _enum_member(LlamaFileType, self.fields.integer("general.file_type"))
        return self.main_type if file_type is None else file_type.name.removeprefix("MOSTLY_").removeprefix("ALL_")


class Fields(Mapping[str, Any]):
    """The key-value pairs of a GGUF file. Values are read on demand.

    `text`, `flag`, `integer`, `texts` and `numbers` return None for a key that the file does not have, and raise a
    `UserError` for a value of another type.
    """

    def __init__(self, path: Path, places: dict[str, tuple[GGUFValueType, int]]) -> None:
        self.path = path
        self._places = places

    def __getitem__(self, key: str) -> Any:
        type, offset = self._places[key]
        with _mapped(self.path) as data:
            return _Parser(self.path, data, offset).value(type)

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def text(self, key: str) -> str | None:
        return self._typed(key, str, "gguf.type.string")

    def flag(self, key: str) -> bool | None:
        return self._typed(key, bool, "gguf.type.boolean")

    def integer(self, key: str) -> int | None:
        return self._typed(key, int, "gguf.type.integer")

    def texts(self, key: str) -> list[str] | None:
        return self._typed(key, list, "gguf.type.strings")

    def numbers(self, key: str) -> list[Any] | None:
        array = self._typed(key, np.ndarray, "gguf.type.numbers")
        return None if array is None else array.tolist()

    def _typed(self, key: str, kind: type, name_key: str) -> Any:
        """The value of a key; None if the file does not have it.

        Raises:
            UserError: the value has another type.
        """
        value = self.get(key)
        if value is None or (isinstance(value, kind) and (kind is bool or not isinstance(value, bool))):
            return value
        raise self.damaged("gguf.wrong_type", key=key, type=Text(name_key))

    def damaged(self, fault_key: str, **values: Any) -> UserError:
        """The error to raise for an invalid value."""
        return _damaged(self.path, fault_key, **values)


def read_gguf_header(path: Path) -> GGUFHeader:
    """Reads the header of a GGUF file, or of all files of a split model, given its first.

    Raises:
        UserError: the file is not GGUF, damaged or incomplete, or has tensors of an unknown type.
    """
    header = _read_one(path)
    count = header.fields.integer("split.count") or 1
    if count == 1:
        return header
    match = SPLIT_NAME.fullmatch(path.name)
    if not match or int(match[3]) != count:
        raise UserError("gguf.part_name", path=path, count=count, of=f"{count:05}")
    parts = [path.with_name(f"{match[1]}-{number:05}-of-{match[3]}.gguf") for number in range(1, count + 1)]
    if path != parts[0]:
        raise UserError("gguf.later_part", path=path, first=parts[0].name)
    if missing := [part.name for part in parts if not part.is_file()]:
        values = {"folder": path.parent, "name": missing[0], "parts": count}
        if missing[1:]:
            raise UserError("gguf.parts_missing", more=len(missing) - 1, **values)
        raise UserError("gguf.part_missing", **values)
    tensors = dict(header.tensors)
    for number, part in enumerate(parts[1:], start=1):
        other = _read_one(part)
        if other.fields.integer("split.no") != number or tensors.keys() & other.tensors.keys():
            raise _damaged(part, "gguf.not_the_part", part=number + 1, name=path.name)
        tensors |= other.tensors
    return GGUFHeader(path, header.fields, tensors)


def _read_one(path: Path) -> GGUFHeader:
    with _mapped(path) as data:
        parser = _Parser(path, data)
        tensor_count, field_count = parser.start()
        places = parser.fields(field_count)
        fields = Fields(path, places)
        tensors = parser.tensors(tensor_count, _alignment(path, fields))
    return GGUFHeader(path, fields, tensors)


def _alignment(path: Path, fields: Fields) -> int:
    found = fields.integer("general.alignment")
    alignment = GGUF_DEFAULT_ALIGNMENT if found is None else found
    if alignment < 1 or alignment & (alignment - 1):
        raise _damaged(path, "gguf.alignment")
    return alignment


@contextmanager
def _mapped(path: Path) -> Iterator[mmap.mmap]:
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            yield data
    except OSError as error:
        raise UserError("gguf.unreadable", path=path, reason=error.strerror or error) from error
    except ValueError as error:  # mmap's error for an empty file
        if isinstance(error, UserError):
            raise
        raise _damaged(path, "gguf.empty") from error


def _damaged(path: Path, fault_key: str, **values: Any) -> UserError:
    return UserError("gguf.damaged", path=path, fault=Text(fault_key, **values))


class _Parser:
    """Reads values sequentially and checks each read against the end of the file."""

    def __init__(self, path: Path, data: mmap.mmap, offset: int = 0) -> None:
        self._path, self._data, self._at = path, data, offset
        self._end = len(data)
        self._strings = 0

    def start(self) -> tuple[int, int]:
        """Checks magic and version; returns the counts of tensors and of fields."""
        if self._end < 24 or self._unsigned(4) != GGUF_MAGIC:
            raise UserError("gguf.not_gguf", path=self._path)
        version = self._unsigned(4)
        if version not in VERSIONS:
            if version & 0xFFFF == 0:
                raise UserError("gguf.big_endian", path=self._path)
            raise UserError("gguf.version", path=self._path, version=version)
        tensors, fields = self._unsigned(8), self._unsigned(8)
        if max(tensors, fields) > MAX_ENTRIES:
            raise self._wrong("gguf.too_many_entries")
        return tensors, fields

    def fields(self, count: int) -> dict[str, tuple[GGUFValueType, int]]:
        """Type and offset of each value, by key."""
        places: dict[str, tuple[GGUFValueType, int]] = {}
        for _ in range(count):
            key, type = self._text(), self._value_type()
            if key in places:
                raise self._wrong("gguf.key_twice", key=f"{key!r:.80}")
            places[key] = (type, self._at)
            self._skip(type)
        return places

    def tensors(self, count: int, alignment: int) -> dict[str, TensorInfo]:
        """Reads the tensor index. Checks that tensors lie in the file, have whole blocks per row and don't overlap."""
        infos: dict[str, TensorInfo] = {}
        for _ in range(count):
            name = self._text()
            if name in infos:
                raise self._wrong("gguf.tensor_twice", name=f"{name!r:.80}")
            infos[name] = self._tensor(name, alignment)
        start = end = math.ceil(self._at / alignment) * alignment
        infos = {name: replace(info, offset=start + info.offset) for name, info in infos.items()}
        for name, info in sorted(infos.items(), key=lambda item: item[1].offset):
            if info.offset < end:
                raise self._wrong("gguf.overlap", name=f"{name!r:.80}")
            end = info.offset + info.size
            if end > self._end:
                raise self._wrong("gguf.past_the_end", name=f"{name!r:.80}")
        return infos

    def _tensor(self, name: str, alignment: int) -> TensorInfo:
        """Reads one entry of the tensor index; its offset is relative to the end of the header."""
        dimensions = self._unsigned(4)
        if not 1 <= dimensions <= MAX_DIMENSIONS:
            raise self._wrong("gguf.dimensions", name=f"{name!r:.80}", dimensions=dimensions)
        shape = tuple(self._unsigned(8) for _ in range(dimensions))
        number, offset = self._unsigned(4), self._unsigned(8)
        type = _enum_member(GGMLQuantizationType, number)
        if type not in GGML_QUANT_SIZES:
            raise UserError("gguf.tensor_type", path=self._path, number=number)
        block, block_size = GGML_QUANT_SIZES[type]
        if 0 in shape or shape[0] % block or offset % alignment:
            raise self._wrong("gguf.shape", name=f"{name!r:.80}")
        return TensorInfo(self._path, type, shape[::-1], offset, math.prod(shape) // block * block_size)

    def value(self, type: GGUFValueType) -> Any:
        if type == GGUFValueType.STRING:
            return self._text()
        if type != GGUFValueType.ARRAY:
            return self._array(type, 1)[0].item()
        type, count = self._value_type(), self._unsigned(8)
        if type == GGUFValueType.STRING:
            return self._texts(self._string_count(count))
        return self._array(type, count)

    def _skip(self, type: GGUFValueType) -> None:
        if type == GGUFValueType.STRING:
            self._take(self._unsigned(8))
        elif type == GGUFValueType.ARRAY:
            type, count = self._value_type(), self._unsigned(8)
            if type == GGUFValueType.STRING:
                self._skip_strings(self._string_count(count))
            else:
                self._take(count * self._item_size(type))
        else:
            self._take(self._item_size(type))

    def _skip_strings(self, count: int) -> None:
        """Like `_take(_unsigned(8))` for each string, but fast: 50 ms for a vocabulary of 200,000 tokens."""
        data, at, last, unpack = self._data, self._at, self._end - 8, struct.Struct("<Q").unpack_from
        for _ in range(count):
            if at > last:
                raise self._wrong("gguf.cut_short")
            at += 8 + unpack(data, at)[0]
        self._at = at
        self._take(0)

    def _texts(self, count: int) -> list[str]:
        """As `_text` for each string, but fast: 0.1 s for a vocabulary of 262,144 tokens."""
        data, at, last, unpack = self._data, self._at, self._end - 8, struct.Struct("<Q").unpack_from
        texts = []
        try:
            for _ in range(count):
                if at > last:
                    raise self._wrong("gguf.cut_short")
                end = at + 8 + unpack(data, at)[0]
                texts.append(data[at + 8 : end].decode("utf-8"))
                at = end
        except UnicodeDecodeError as error:
            raise self._wrong("gguf.not_utf8") from error
        self._at = at
        self._take(0)
        return texts

    def _string_count(self, count: int) -> int:
        self._strings += count
        if self._strings > MAX_STRINGS:
            raise self._wrong("gguf.too_many_strings")
        return count

    def _array(self, type: GGUFValueType, count: int) -> np.ndarray:
        size = count * self._item_size(type)
        start = self._take(size)
        return np.frombuffer(self._data[start : start + size], SCALARS[type])

    def _item_size(self, type: GGUFValueType) -> int:
        if type not in SCALARS:
            raise self._wrong("gguf.array_of_arrays")
        return np.dtype(SCALARS[type]).itemsize

    def _value_type(self) -> GGUFValueType:
        number = self._unsigned(4)
        type = _enum_member(GGUFValueType, number)
        if type is None:
            raise self._wrong("gguf.unknown_type", number=number)
        return type

    def _text(self) -> str:
        size = self._unsigned(8)
        start = self._take(size)
        try:
            return self._data[start : start + size].decode("utf-8")
        except UnicodeDecodeError as error:
            raise self._wrong("gguf.not_utf8") from error

    def _unsigned(self, size: int) -> int:
        start = self._take(size)
        return int.from_bytes(self._data[start : start + size], "little")

    def _take(self, size: int) -> int:
        """Advances by `size` bytes and returns their offset."""
        start, self._at = self._at, self._at + size
        if self._at > self._end:
            raise self._wrong("gguf.cut_short")
        return start

    def _wrong(self, fault_key: str, **values: Any) -> UserError:
        return _damaged(self._path, fault_key, **values)


def _enum_member(kind: Any, number: int | None) -> Any:
    try:
        return kind(number)
    except ValueError:
        return None
