"""The tensors of a safetensors file: where they lie, so that they can be mapped, and how they are written.

The format: https://github.com/huggingface/safetensors#format
"""

import json
import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm_chatbot.errors import UserError

LARGEST_HEADER = 100_000_000  # bytes, as the format has it

# NumPy has no type for BF16 and 8-bit floats: their bits as integers.
TYPES: dict[str, np.dtype[Any]] = {
    "F64": np.dtype("<f8"),
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "BF16": np.dtype("<u2"),
    "F8_E4M3": np.dtype("u1"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "I8": np.dtype("i1"),
    "U64": np.dtype("<u8"),
    "U32": np.dtype("<u4"),
    "U16": np.dtype("<u2"),
    "U8": np.dtype("u1"),
    "BOOL": np.dtype("?"),
}
UNSCALED_FLOATS = ("F64", "F32", "F16", "BF16")


def _e4m3(bits: int) -> float:
    """An 8-bit float's value: 4 bits of exponent, 3 of fraction, no infinity (Micikevicius et al. 2022, 2209.05433)."""
    exponent, fraction = bits >> 3 & 0xF, bits & 7
    if (exponent, fraction) == (0xF, 7):
        return math.nan
    value = math.ldexp(fraction, -9) if exponent == 0 else math.ldexp(8 + fraction, exponent - 10)
    return -value if bits >> 7 else value


E4M3 = np.array([_e4m3(bits) for bits in range(256)], np.float32)


@dataclass(frozen=True)
class StoredTensor:
    """A tensor in a file.

    Attributes:
        type: the format's name for it, such as "BF16".
        offset: its first byte in the file.
    """

    path: Path
    type: str
    shape: tuple[int, ...]
    offset: int

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * TYPES[self.type].itemsize

    def read(self) -> np.ndarray:
        """The values, mapped; those of types that NumPy lacks as integers of their bits."""
        if not math.prod(self.shape):
            return np.empty(self.shape, TYPES[self.type])
        return np.memmap(self.path, TYPES[self.type], "r", self.offset, self.shape or (1,)).reshape(self.shape)

    def floats(self) -> np.ndarray:
        """The values of a tensor of floats, float32; of integers as they are."""
        values = self.read()
        if self.type == "F8_E4M3":
            return E4M3[values]
        if self.type == "BF16":
            return (values.astype(np.uint32) << 16).view(np.float32)
        return values.astype(np.float32) if values.dtype.kind == "f" else np.array(values)


def read_header(path: Path) -> Mapping[str, StoredTensor]:
    """All tensors of a file by name.

    Raises:
        UserError: the file is damaged.
    """
    try:
        with path.open("rb") as file:
            length = struct.unpack("<Q", file.read(8))[0]
            header = json.loads(file.read(min(length, LARGEST_HEADER)))
        size = path.stat().st_size
        return {
            name: _checked(_tensor(path, entry, 8 + length), entry, size - 8 - length)
            for name, entry in header.items()
            if name != "__metadata__"
        }
    except (OSError, struct.error, ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError("checkpoint.weights_damaged", path=path) from error


def _tensor(path: Path, entry: Mapping[str, Any], start: int) -> StoredTensor:
    return StoredTensor(
        path, str(entry["dtype"]), tuple(map(int, entry["shape"])), start + int(entry["data_offsets"][0])
    )


def _checked(tensor: StoredTensor, entry: Mapping[str, Any], available: int) -> StoredTensor:
    """
    Raises:
        ValueError: the tensor does not lie where the header says, or is of a type that no checkpoint has.
    """
    first, end = entry["data_offsets"]
    if tensor.type not in TYPES or min(tensor.shape, default=0) < 0:
        raise ValueError(tensor.type)
    if not 0 <= first <= end <= available or end - first != tensor.size:
        raise ValueError(f"{first} to {end} of {available} bytes for {tensor.size}")
    return tensor


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """The nearest bfloat16 of each float32: their bits, uint16."""
    bits = np.ascontiguousarray(values).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


@dataclass(frozen=True)
class TensorToWrite:
    """A tensor of floats that is made when it is written.

    Attributes:
        type: "F32", "F16" or "BF16".
        values: makes it, float32.
    """

    type: str
    shape: Sequence[int]
    values: Callable[[], np.ndarray]

    @property
    def size(self) -> int:
        """In bytes."""
        return math.prod(self.shape) * TYPES[self.type].itemsize


def write_safetensors(path: Path, tensors: Mapping[str, TensorToWrite]) -> None:
    """Writes a file, one tensor after the other, so that only one of them is in memory.

    Raises:
        OSError: the disk is full.
    """
    header, start = {}, 0
    for name, tensor in tensors.items():
        end = start + tensor.size
        header[name] = {"dtype": tensor.type, "shape": list(tensor.shape), "data_offsets": [start, end]}
        start = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the first tensor begins at a multiple of eight bytes
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            values = tensor.values()
            written = to_bfloat16(values) if tensor.type == "BF16" else values.astype(TYPES[tensor.type])
            file.write(np.ascontiguousarray(written).tobytes())
