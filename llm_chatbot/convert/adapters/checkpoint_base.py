"""The tensors of a checkpoint's files, for adapters to be added to."""

from collections.abc import Container, Mapping

import numpy as np

from llm_chatbot.adapters.low_rank import Adapter, LowRank
from llm_chatbot.errors import UserError
from llm_chatbot.sources.safetensors_format import StoredTensor


class NamedWeights:
    """The weights of a model that have PEFT's names for them; see `llm_chatbot.convert.adapters.merging.Base`.

    Args:
        name: the model's.
        names: of its weights.
        tied: those that are the input's and the output's table at once.
    """

    def __init__(self, name: str, names: Container[str], tied: frozenset[str]) -> None:
        self.name, self.tied = name, tied
        self._names = names

    def tensor_of(self, adapter: Adapter, layer: str) -> str | None:
        if adapter.is_gguf:
            raise UserError("adapter.gguf_on_checkpoint", name=adapter.name)
        return next((name for name in (layer, f"{layer}.weight") if name in self._names), None)

    def adjusted(self, low_rank: LowRank, tensor: str, adapter: Adapter) -> LowRank:
        return low_rank


class CheckpointBase(NamedWeights):
    """The tensors of a checkpoint's files.

    Args:
        name, tied: see `NamedWeights`.
        tensors: the checkpoint's.
    """

    def __init__(self, name: str, tensors: Mapping[str, StoredTensor], tied: frozenset[str]) -> None:
        super().__init__(name, tensors, tied)
        self._tensors = tensors

    def shape(self, tensor: str) -> tuple[int, ...]:
        return self._tensors[tensor].shape

    def type(self, tensor: str) -> str:
        return self._tensors[tensor].type

    def values(self, tensor: str) -> np.ndarray:
        return self._tensors[tensor].floats()
