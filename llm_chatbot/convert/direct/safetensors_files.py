"""The tensors of a checkpoint, where they lie in its safetensors files."""

from pathlib import Path

from llm_chatbot.convert.checkpoint.weights import files_with_weights
from llm_chatbot.errors import UserError
from llm_chatbot.sources.safetensors_format import StoredTensor, read_header


def stored_tensors(folder: Path) -> dict[str, StoredTensor]:
    """All tensors of a checkpoint by name.

    Raises:
        UserError: weights are missing, damaged, or in other files than safetensors.
    """
    paths = files_with_weights(folder)
    if any(path.suffix != ".safetensors" for path in paths):
        raise UserError("direct.no_safetensors", folder=folder)
    tensors: dict[str, StoredTensor] = {}
    for path in paths:
        tensors |= read_header(path)
    return tensors
