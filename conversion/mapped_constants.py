"""OpenVINO constants whose values are in a file that is mapped into memory, not on the heap."""

from collections.abc import Iterable
from typing import IO

import numpy as np
import openvino as ov

ALIGNMENT = 64  # as the heap would have it


class MappedConstants:
    """Makes constants in a part of a file each.

    Values are written, not copied into a mapping: where the disk is full, that is an `OSError` and no crash.

    Args:
        file: open for reading and writing in binary form; stays open as long as the constants are in use.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._mappings: list[np.memmap] = []  # OpenVINO knows only the address

    def make(self, parts: Iterable[np.ndarray], shape: list[int], type: ov.Type, name: str) -> ov.Node:
        """A constant of the bytes of all parts, one after the other."""
        start = self._file.seek(-(-self._file.tell() // ALIGNMENT) * ALIGNMENT)
        size = sum(self._file.write(np.ascontiguousarray(part).view(np.uint8).data) for part in parts)
        self._file.flush()
        mapped = np.memmap(self._file, np.uint8, mode="r", offset=start, shape=size)
        self._mappings.append(mapped)
        tensor = ov.Tensor(mapped, ov.Shape(shape), type)
        return ov.opset13.constant(tensor, name=name, shared_memory=True)
