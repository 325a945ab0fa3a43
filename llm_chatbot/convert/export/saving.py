"""`ov.save_model` with a progress bar."""

from collections.abc import Callable
from pathlib import Path

import openvino as ov

from llm_chatbot.machine.progress import watching

# Writes a graph to the path of its .xml, and its weights beside it.
WriteGraph = Callable[[ov.Model, Path], None]


def save(model: ov.Model, path: Path, compress_to_fp16: bool = False) -> None:
    """Writes a graph to `path` (.xml) and the .bin beside it."""
    # By address: constants that share memory are written once.
    constants = {op.data.ctypes.data: op.get_byte_size() for op in model.get_ops() if op.get_type_name() == "Constant"}
    weights = path.with_suffix(".bin")
    with watching("Saving", sum(constants.values()), lambda: weights.stat().st_size if weights.is_file() else 0):
        ov.save_model(model, path, compress_to_fp16=compress_to_fp16)
