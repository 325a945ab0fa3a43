"""OpenVINO constants whose values lie in a memory-mapped file instead of on the heap."""

import math
from collections.abc import Iterable, Sequence
from typing import IO

import numpy as np
import openvino as ov

CONSTANT_ALIGNMENT = 64  # bytes, as for constants on the heap


class MappedConstants:
    """Creates constants in a file.

    Values are written to the file before it is mapped, so a full disk raises an `OSError` instead of crashing.

    Args:
        file: open for reading and writing in binary mode, for as long as the constants are in use.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._mappings: list[np.memmap] = []  # keeps them alive: OpenVINO only has the address

    def make(self, parts: Iterable[np.ndarray], shape: Sequence[int], type: ov.Type, name: str | None) -> ov.Node:
        """Creates a constant from the concatenated bytes of all parts."""
        start = self._file.seek(math.ceil(self._file.tell() / CONSTANT_ALIGNMENT) * CONSTANT_ALIGNMENT)
        size = sum(self._file.write(np.ascontiguousarray(part).view(np.uint8).data) for part in parts)
        self._file.flush()
        mapped = np.memmap(self._file, np.uint8, mode="r", offset=start, shape=size)
        self._mappings.append(mapped)
        tensor = ov.Tensor(mapped, ov.Shape(shape), type)
        return ov.opset13.constant(tensor, name=name, shared_memory=True)
