"""A model's weights in the file they are read from, which needs no memory for what has been read."""

import mmap
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np
import openvino as ov

from llm_chatbot.machine.memory import released_meanwhile


class MappedWeights:
    """The weights of a graph, mapped into memory. A model that is compiled with them needs this object all its life.

    The runtime copies nearly all weights into its own layout, but keeps the file in memory too. `released_meanwhile`
    gives that memory back while the model is compiled, so that there is never more than one copy.
    """

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        self._bytes = np.frombuffer(self._map, np.uint8)

    def read_graph(self, path: Path) -> ov.Model:
        """The graph in an XML file, with these weights."""
        return ov.Core().read_model(path.read_bytes(), ov.Tensor(self._bytes, self._bytes.shape, ov.Type.u8))

    @property
    def maps(self) -> list[mmap.mmap]:
        return [self._map]

    def released_meanwhile(self) -> AbstractContextManager[None]:
        """Gives back what has been read, again and again."""
        return released_meanwhile(self.maps)


class AllWeights:
    """The weights of a graph that was made of several."""

    def __init__(self, parts: Sequence[MappedWeights]) -> None:
        self._parts = parts

    def released_meanwhile(self) -> AbstractContextManager[None]:
        """As `MappedWeights.released_meanwhile`."""
        return released_meanwhile([each for part in self._parts for each in part.maps])
