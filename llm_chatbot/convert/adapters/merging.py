"""Adds adapters to the weights of a model. The result is a file with the changed weights."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from llm_chatbot.adapters.low_rank import Adapter, LowRank
from llm_chatbot.adapters.opening import open_adapter
from llm_chatbot.catalogue.adapter_names import AdapterSource
from llm_chatbot.errors import UserError
from llm_chatbot.sources.safetensors_format import TensorToWrite, write_safetensors

_MERGED = "merged.safetensors"


class Base(Protocol):
    """The weights of the model that adapters are added to.

    Attributes:
        name: for messages.
        tied: the weights that are the input's and the output's table at once.
    """

    name: str
    tied: frozenset[str]

    def tensor_of(self, adapter: Adapter, layer: str) -> str | None:
        """The weight that a layer of an adapter changes; None if there is none of this name.

        Raises:
            UserError: the adapter is of a form that this model can't have.
        """

    def adjusted(self, low_rank: LowRank, tensor: str, adapter: Adapter) -> LowRank:
        """An adapter's change of a weight, with the rows in the order that they have here."""

    def shape(self, tensor: str) -> tuple[int, ...]:
        """Of a weight."""

    def type(self, tensor: str) -> str:
        """In which a changed weight is written: "F32", "F16" or "BF16"."""

    def values(self, tensor: str) -> np.ndarray:
        """A weight's values, float32, for the caller to change."""


Changes = dict[str, list[np.ndarray | LowRank]]


def write_merged(adapters: Sequence[AdapterSource], base: Base, folder: Path) -> Path:
    """Writes the weights that adapters change, with the changes of all of them, by the names that they have in `base`.

    Each weight is computed with 32 bits and rounded once. Only one is in memory at a time.

    Args:
        folder: gets the file.

    Raises:
        UserError: an adapter can't be had or read, or belongs to another model.
    """
    changes: Changes = {}
    for source in adapters:
        _collect(open_adapter(source), base, changes)
    tensors = {
        tensor: TensorToWrite(base.type(tensor), base.shape(tensor), partial(_changed, base, tensor, steps))
        for tensor, steps in changes.items()
    }
    write_safetensors(folder / _MERGED, tensors)
    return folder / _MERGED


def _collect(adapter: Adapter, base: Base, changes: Changes) -> None:
    """Adds an adapter's changes to those of others.

    Raises:
        UserError: it belongs to another model, or two bring the same weight.
    """
    for layer, values in adapter.replaced.items():
        tensor = _tensor(adapter, base, layer, values.shape)
        if tensor in changes:
            raise UserError("adapter.twice", name=adapter.name, tensor=tensor)
        changes[tensor] = [values]
    for layer, low_rank in adapter.low_rank.items():
        tensor = _tensor(adapter, base, layer, low_rank.shape)
        changes.setdefault(tensor, []).append(base.adjusted(low_rank, tensor, adapter))


def _tensor(adapter: Adapter, base: Base, layer: str, shape: tuple[int, ...]) -> str:
    """The weight that a layer of an adapter belongs to.

    Raises:
        UserError: there is none, it has another shape, or it is one for the input and the output.
    """
    tensor = base.tensor_of(adapter, layer)
    if tensor is None:
        raise UserError("adapter.no_layer", name=adapter.name, layer=f"{layer:.120}", base=base.name)
    if base.shape(tensor) != shape:
        values = {"layer": f"{layer:.120}", "wanted": list(shape), "there": list(base.shape(tensor))}
        raise UserError("adapter.shape", name=adapter.name, base=base.name, **values)
    if tensor in base.tied:
        raise UserError("adapter.tied", name=adapter.name, layer=f"{layer:.120}", base=base.name)
    return tensor


def _changed(base: Base, tensor: str, steps: Sequence[np.ndarray | LowRank]) -> np.ndarray:
    values = None if isinstance(steps[0], np.ndarray) else base.values(tensor)
    for step in steps:
        if isinstance(step, np.ndarray):
            values = np.array(step, np.float32)
        else:
            assert values is not None
            step.add_to(values)
    assert values is not None
    return values
