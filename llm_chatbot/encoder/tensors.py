"""The tensors of an encoder's checkpoint, from its safetensors files."""

from pathlib import Path

import numpy as np

from llm_chatbot.encoder.settings import EncoderSettings
from llm_chatbot.errors import UserError
from llm_chatbot.sources.safetensors_format import UNSCALED_FLOATS, StoredTensor, read_header
from llm_chatbot.sources.weight_files import SAFETENSORS, weight_files

# What a checkpoint may hold besides the encoder: heads of its training, and what is computed from other settings.
OTHER_TENSORS = ("cls.", "lm_head.", "pooler.")
OTHER_ENDS = (".position_ids", ".token_type_ids")


class EncoderTensors:
    """A checkpoint's tensors by the names that they have below the encoder, "encoder.layer.0.output.dense.weight".

    Args:
        settings: of the checkpoint.
    """

    def __init__(self, settings: EncoderSettings) -> None:
        """
        Raises:
            UserError: there are no safetensors files, or one is damaged.
        """
        self._folder = settings.folder
        tensors = _stored(settings.folder)
        known = [name for name in tensors if name.endswith("embeddings.word_embeddings.weight")]
        if len(known) != 1:
            raise UserError("encoder.tensor", folder=self._folder, name="embeddings.word_embeddings.weight")
        prefix = known[0].removesuffix("embeddings.word_embeddings.weight")
        self._tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
        self._used: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def get(self, name: str, *shape: int) -> np.ndarray:
        """A tensor, float32.

        Args:
            shape: that it has to have; -1 for any size.

        Raises:
            UserError: it is missing or has another shape.
        """
        tensor = self._tensors.get(name)
        fits = tensor is not None and len(tensor.shape) == len(shape)
        if tensor is None or not fits or any(n not in (-1, m) for n, m in zip(shape, tensor.shape, strict=True)):
            raise UserError("encoder.tensor", folder=self._folder, name=name)
        self._used.add(name)
        return tensor.floats()

    def check_all_used(self) -> None:
        """Refuses a checkpoint that has more than the graph: its vectors would be wrong.

        Raises:
            UserError: a tensor was not used.
        """
        for name in sorted(self._tensors.keys() - self._used):
            if not f"{name}.".startswith(OTHER_TENSORS) and not f".{name}".endswith(OTHER_ENDS):
                raise UserError("encoder.not_supported", folder=self._folder, what=name)


def _stored(folder: Path) -> dict[str, StoredTensor]:
    """The checkpoint's tensors of floats."""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    found = weight_files(there, lambda index: folder / index)
    if not found.names or found.missing or not all(name.endswith(".safetensors") for name in found.names):
        raise UserError("encoder.no_weights", folder=folder, files=", ".join(found.missing) or SAFETENSORS)
    stored = (item for name in found.names for item in read_header(folder / name).items())
    return {name: tensor for name, tensor in stored if tensor.type in UNSCALED_FLOATS}
