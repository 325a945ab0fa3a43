"""A GGUF file, read once for all that want something of it."""

from functools import lru_cache
from pathlib import Path

from config import UserError

import numpy as np
from gguf import GGUFReader


def open_gguf(path: Path) -> GGUFReader:
    """What a GGUF file says, and its tensors, which are mapped and not read.

    A file that was opened last is not parsed again: that takes seconds where the vocabulary is large.

    Raises:
        UserError: the file is damaged or not a GGUF file.
    """
    status = path.stat()
    try:
        return _parsed(path.resolve(), status.st_size, status.st_mtime_ns)
    except (ValueError, IndexError, KeyError) as error:
        raise UserError(f"{path} is damaged or not a GGUF file; download it again.") from error


@lru_cache(maxsize=1)
def _parsed(path: Path, size: int, changed: int) -> GGUFReader:
    return _Reader(path)


class _Reader(GGUFReader):
    """Slices of a `numpy.memmap`, of which parsing takes a million, cost several times those of a plain array."""

    @property
    def data(self) -> np.ndarray:  # type: ignore[override]
        return self._data

    @data.setter
    def data(self, mapped: np.memmap) -> None:
        self._data = np.asarray(mapped)
