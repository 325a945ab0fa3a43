"""A graph that `decoder` builds → the files of a folder."""

import gc
import tempfile
from collections.abc import Callable
from pathlib import Path

import openvino as ov

from llm_chatbot.convert.export.decompression import mark_decompression
from llm_chatbot.convert.export.saving import WriteGraph
from llm_chatbot.decoder.memory import FileMemory, Memory
from llm_chatbot.folder.manifest import MODEL_XML


def write_built(build: Callable[[Memory], ov.Model], folder: Path, write: WriteGraph) -> None:
    """Builds a graph whose unpacked weights are in a file without a name, and writes it to a folder.

    Args:
        build: makes the graph, and keeps neither it nor the memory.
        write: writes it, or what it makes of it.

    Raises:
        OSError: the disk is full.
    """
    with tempfile.TemporaryFile(dir=folder) as file:
        memory = FileMemory(file)
        graph = build(memory)
        write(graph, folder / MODEL_XML)
        del graph, memory  # before the file that holds the constants is closed
        gc.collect()
    mark_decompression(folder / MODEL_XML)
