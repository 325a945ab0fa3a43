"""Adapters, added to the parameters of a Transformers model."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from transformers import PreTrainedModel

from llm_chatbot.catalogue.adapter_names import AdapterSource
from llm_chatbot.convert.adapters.checkpoint_base import NamedWeights
from llm_chatbot.convert.adapters.merging import write_merged
from llm_chatbot.convert.checkpoint.weights import read_safetensors

_TYPES = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


class TorchBase(NamedWeights):
    """The parameters of a Transformers model.

    Args:
        name: the model's.
        parameters: by name; those that are tied under each of their names.
    """

    def __init__(self, name: str, parameters: dict[str, torch.nn.Parameter]) -> None:
        uses = Counter(map(id, parameters.values()))
        tied = frozenset(key for key, parameter in parameters.items() if uses[id(parameter)] > 1)
        super().__init__(name, parameters, tied)
        self._parameters = parameters

    def shape(self, tensor: str) -> tuple[int, ...]:
        return tuple(self._parameters[tensor].shape)

    def type(self, tensor: str) -> str:
        return _TYPES[self._parameters[tensor].dtype]

    def values(self, tensor: str) -> np.ndarray:
        return self._parameters[tensor].detach().float().clone().numpy()


def add_adapters(model: PreTrainedModel, name: str, adapters: Sequence[AdapterSource], folder: Path) -> None:
    """Adds adapters to a model's parameters, which are mapped from a file afterwards.

    Args:
        name: the model's, for messages.
        folder: gets the file, which must be there as long as the model is.

    Raises:
        UserError: see `write_merged`.
    """
    parameters = dict(model.named_parameters(remove_duplicate=False))
    for key, values in read_safetensors(write_merged(adapters, TorchBase(name, parameters), folder)).items():
        parameters[key].data = values
