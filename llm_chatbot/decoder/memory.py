"""Where the weights of a graph are kept: on the heap, or in files that are mapped into memory."""

import math
import mmap
import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import IO, Protocol

import numpy as np
import openvino as ov

from llm_chatbot.machine.memory import released_meanwhile


class Memory(Protocol):
    """Holds the values of constants."""

    def allocate(self, type: ov.Type, shape: Sequence[int]) -> ov.Tensor:
        """A tensor without values."""

    def adopt(self, values: np.ndarray, type: ov.Type, shape: Sequence[int]) -> ov.Tensor:
        """A tensor with the bytes of a mapped file, uint8."""


class HeapMemory:
    """Tensors that own their memory: a graph, and what is compiled from it, keeps them alive."""

    def allocate(self, type: ov.Type, shape: Sequence[int]) -> ov.Tensor:
        return ov.Tensor(type, ov.Shape(list(shape)))

    def adopt(self, values: np.ndarray, type: ov.Type, shape: Sequence[int]) -> ov.Tensor:
        tensor = self.allocate(type, shape)
        tensor.data.reshape(-1).view(np.uint8)[:] = values.reshape(-1)
        return tensor


class FileMemory:
    """Tensors in files, which the system can take out of memory again. They live as long as this object: a graph, and
    what is compiled from it, needs it all its life.

    What need not be unpacked stays where it is, in the GGUF file. Space on the disk is reserved before it is mapped, so
    a full disk raises an `OSError` instead of crashing.

    Args:
        file: for what is unpacked, open for reading and writing in binary mode.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._end = 0
        self._maps: list[mmap.mmap] = []
        self._arrays: list[np.ndarray] = []  # keeps them alive: OpenVINO only has the address

    def allocate(self, type: ov.Type, shape: Sequence[int]) -> ov.Tensor:
        size = math.ceil(math.prod(shape) * type.bitwidth / 8)
        start = math.ceil(self._end / mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        self._end = start + size
        _reserve(self._file, start, size)
        mapped = mmap.mmap(self._file.fileno(), size, offset=start)
        self._maps.append(mapped)
        return self.adopt(np.frombuffer(mapped, np.uint8), type, shape)

    def adopt(self, values: np.ndarray, type: ov.Type, shape: Sequence[int]) -> ov.Tensor:
        self._arrays.append(values)
        return ov.Tensor(values, ov.Shape(list(shape)), type)

    def released_meanwhile(self) -> AbstractContextManager[None]:
        """Takes what is unpacked out of memory again and again."""
        return released_meanwhile(self._maps)


def _reserve(file: IO[bytes], start: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), start, size)
        return
    file.seek(start)
    file.write(bytes(size))
    file.flush()
