"""A GGUF file, read once for all that want something of it."""

from collections import Counter
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

from config import GGUFWheel, ModelConfig, UserError

import numpy as np
from gguf import GGUFReader

# What `conversion.gguf_tensors` and `conversion.exporter` know of the inside of these.
KNOWN_VERSIONS = {"transformers": "5.5.", "optimum-intel": "2.2."}

FLOAT_TYPES = ("F32", "F16", "BF16")


def kept_blocks(config: ModelConfig, precision: str) -> str | None:
    """The type of the blocks that a model in a precision keeps as they are in its GGUF file.

    That is what "INT4" means for a GGUF file whose weights are quantized, or "INT8" if they are Q8_0.

    Returns:
        ggml's name for the type of most of the weights, such as "Q4_K", or None if it keeps none.
    """
    if isinstance(config.checkpoint, GGUFWheel):
        blocks = config.checkpoint.blocks
    elif config.checkpoint and config.checkpoint.suffix == ".gguf":
        blocks = _most_used_type(config.checkpoint)
    else:
        return None
    if blocks in FLOAT_TYPES or precision != ("INT8" if blocks == "Q8_0" else "INT4"):
        return None
    if unknown := [name for name, known in KNOWN_VERSIONS.items() if not version(name).startswith(known)]:
        print(f"This version of {unknown[0]} is not known here, so the weights are compressed anew.")
        return None
    return blocks


def _most_used_type(path: Path) -> str:
    sizes: Counter[str] = Counter()
    for tensor in open_gguf(path).tensors:
        sizes[tensor.tensor_type.name] += int(tensor.n_elements)
    return sizes.most_common(1)[0][0] if sizes else "F32"


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

    @property  # type: ignore[override]
    def data(self) -> np.ndarray:
        return self._data

    @data.setter
    def data(self, mapped: np.memmap) -> None:
        self._data = np.asarray(mapped)
