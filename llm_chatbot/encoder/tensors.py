"""The tensors of an encoder's checkpoint, from its safetensors files."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, deserialize, safe_open

from llm_chatbot.encoder.settings import EncoderSettings
from llm_chatbot.errors import UserError
from llm_chatbot.sources.weight_files import SAFETENSORS, weight_files

# What a checkpoint may hold besides the encoder: heads of its training, and what is computed from other settings.
OTHER_TENSORS = ("cls.", "lm_head.", "pooler.")
OTHER_ENDS = (".position_ids", ".token_type_ids")
NUMPY_FLOATS = {"F64", "F32", "F16"}  # numpy has these


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
        tensors = dict(_read_all(settings.folder))
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
        return tensor.astype(np.float32, copy=False)

    def check_all_used(self) -> None:
        """Refuses a checkpoint that has more than the graph: its vectors would be wrong.

        Raises:
            UserError: a tensor was not used.
        """
        for name in sorted(self._tensors.keys() - self._used):
            if not f"{name}.".startswith(OTHER_TENSORS) and not f".{name}".endswith(OTHER_ENDS):
                raise UserError("encoder.not_supported", folder=self._folder, what=name)


def _read_all(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    found = weight_files(there, lambda index: folder / index)
    if not found.names or found.missing or not all(name.endswith(".safetensors") for name in found.names):
        missing = ", ".join(found.missing) or SAFETENSORS
        raise UserError("encoder.no_weights", folder=folder, files=missing)
    for name in found.names:
        try:
            yield from _read_file(folder / name)
        except (SafetensorError, OSError) as error:
            raise UserError("checkpoint.weights_damaged", path=folder / name) from error


def _read_file(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    with safe_open(path, framework="numpy") as file:
        kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118, it is not a dict
        if "BF16" not in kinds.values():
            yield from ((name, file.get_tensor(name)) for name, kind in kinds.items() if kind in NUMPY_FLOATS)
            return
    for name, view in deserialize(path.read_bytes()):  # numpy has no BF16, the upper half of a float32
        if view["dtype"] == "BF16":
            wide = np.frombuffer(view["data"], np.uint16).astype(np.uint32) << 16
            yield name, wide.view(np.float32).reshape(view["shape"])
        elif view["dtype"] in NUMPY_FLOATS:
            yield name, np.frombuffer(view["data"], f"f{int(view['dtype'][1:]) // 8}").reshape(view["shape"])
