"""The fingerprint of a compiled model: whatever its keys and values depend on besides the tokens."""

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import openvino as ov

from llm_chatbot import __version__
from llm_chatbot.engine.cache.paged_runner import cache_ports

# Of a large file, the beginning is read, where a GGUF file has its metadata, and samples: to read all weights takes as
# long as to load the model. Size and time tell the rest.
BEGINNING = 16_000_000  # bytes
SAMPLES, SAMPLE_BYTES = 64, 4096

# Properties of a compiled model that change what it computes; the runtime chooses those that nobody sets.
ARITHMETIC = ("INFERENCE_PRECISION_HINT", "KV_CACHE_PRECISION", "DYNAMIC_QUANTIZATION_GROUP_SIZE")


def fingerprint(files: Iterable[Path], compiled: ov.CompiledModel, facts: Mapping[str, Any]) -> bytes:
    """32 bytes that are others if a file, the runtime, the processor, the graph or the layout of a block is.

    Args:
        files: of the model.
        compiled: its paged graph.
        facts: what else its graph was compiled with.

    Raises:
        OSError: a file can't be read.
    """
    layout = [(port.any_name, port.element_type.to_string(), str(port.partial_shape)) for port in cache_ports(compiled)]
    processor = ov.Core().get_property("CPU", "FULL_DEVICE_NAME")
    arithmetic = [str(compiled.get_property(name)) for name in ARITHMETIC]
    known = [__version__, ov.get_version(), processor, arithmetic, sorted(layout), sorted(facts.items())]
    return hashlib.sha256(repr([*known, *map(file_digest, files)]).encode()).digest()


def file_digest(path: Path) -> str:
    """A digest of a file's size, time and content, all of it or samples."""
    stat = path.stat()
    digest = hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    with path.open("rb") as file:
        digest.update(file.read(BEGINNING))
        for sample in range(SAMPLES if stat.st_size > BEGINNING else 0):
            file.seek((stat.st_size - SAMPLE_BYTES) * sample // (SAMPLES - 1), os.SEEK_SET)
            digest.update(file.read(SAMPLE_BYTES))
    return digest.hexdigest()
