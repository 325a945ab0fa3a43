"""Opens a GGUF file, parsed only once, and decides whether its quantized blocks are kept."""

from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np
from gguf import GGUFReader

from llm_chatbot.catalogue.row import GGUFWheel
from llm_chatbot.folder.variant import Variant, keeping_precision
from llm_chatbot.gguf.header import read_gguf_header

# The versions whose internals `llm_chatbot.convert.gguf.tensors` and `llm_chatbot.convert.export.exporter` rely on.
KNOWN_VERSIONS = {"transformers": "5.5.", "optimum-intel": "2.2."}


def kept_blocks(variant: Variant) -> str | None:
    """The block type of a variant that keeps a GGUF file's quantized blocks.

    For a quantized GGUF file, "INT4" means to keep its blocks; if they are Q8_0, "INT8" does.

    Returns:
        ggml's name for the type of most of the weights, such as "Q4_K"; None if the blocks are not kept.
    """
    blocks = _block_type(variant)
    if variant.precision != keeping_precision(blocks):
        return None
    if unknown := [name for name, known in KNOWN_VERSIONS.items() if not version(name).startswith(known)]:
        print(f"This version of {unknown[0]} is untested, so the weights are dequantized and compressed again.")
        return None
    return blocks


def _block_type(variant: Variant) -> str:
    if isinstance(variant.config.checkpoint, GGUFWheel):
        return variant.config.checkpoint.blocks
    from llm_chatbot.sources.gguf_files import gguf_path  # here, because it imports huggingface_hub

    return read_gguf_header(gguf_path(variant.config)).main_type


def open_gguf(path: Path) -> GGUFReader:
    """A GGUF file's metadata and its memory-mapped tensors.

    The file opened last is cached, because parsing a large vocabulary takes seconds.

    Raises:
        UserError: the file is damaged or not a GGUF file.
    """
    header = read_gguf_header(path)  # `GGUFReader` does not check the file
    parts = sorted({path, *(tensor.path for tensor in header.tensors.values())})
    status = path.stat()
    return _parsed(tuple(parts), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=1)
def _parsed(parts: tuple[Path, ...], size: int, changed: int) -> GGUFReader:
    reader = _Reader(parts[0])
    for part in parts[1:]:
        reader.tensors += _Reader(part).tensors
    return reader


class _Reader(GGUFReader):
    """A faster reader. Parsing takes a million slices, and slicing a `numpy.memmap` is several times slower."""

    @property  # type: ignore[override]
    def data(self) -> np.ndarray:
        return self._data

    @data.setter
    def data(self, mapped: np.memmap) -> None:
        self._data = np.asarray(mapped)
