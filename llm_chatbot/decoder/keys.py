"""Reads what the header of a GGUF file says about its model, and notices what nobody has read."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from llm_chatbot.errors import UserError
from llm_chatbot.gguf.header import GGUFHeader
from llm_chatbot.texts import Text

# What a header may say without any effect on the computation.
HARMLESS = {
    "context_length",
    "vocab_size",
    "feed_forward_length",
    "expert_feed_forward_length",
    "expert_shared_feed_forward_length",
    "expert_count",
    "expert_shared_count",
    "leading_dense_block_count",
    "shortconv.l_cache",
    "interleave_moe_layer_step",
    "attention.q_lora_rank",
    "tensor_data_layout",
    "rope.scaling.finetuned",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
}

# The beginnings of keys of other parts of the model.
OTHER_KEYS = ("vision.", "audio.", "mm.")


class Keys:
    """The values of an architecture's keys, by the end of their names: "block_count" is "llama.block_count"."""

    def __init__(self, header: GGUFHeader) -> None:
        self.architecture = header.fields.text("general.architecture") or ""
        self._path = header.path
        self._fields: Mapping[str, Any] = header.fields
        self._read: dict[str, Any] = {}

    def __contains__(self, key: str) -> bool:
        return f"{self.architecture}.{key}" in self._fields

    @property
    def layers(self) -> int:
        """The number of layers, without those that predict further tokens."""
        return self.size("block_count") - int(self.number("nextn_predict_layers", 0))

    def get(self, key: str, default: Any = None) -> Any:
        """A key's value; arrays are lists."""
        if key not in self._read:
            value = self._fields.get(f"{self.architecture}.{key}")
            self._read[key] = value.tolist() if isinstance(value, np.ndarray) else value
        return default if self._read[key] is None else self._read[key]

    def number(self, key: str, default: float | None = None) -> Any:
        """A key's number.

        Raises:
            UserError: the file lacks it and there is no default, or it is no number.
        """
        value = self.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise self.refusal("gguf.no_number", key=f"{self.architecture}.{key}")
        return value

    def size(self, key: str, default: int | None = None) -> int:
        """A key's positive integer.

        Raises:
            UserError: as for `number`.
        """
        value = self.number(key, default)
        if not isinstance(value, int) or value < 1:
            raise self.refusal("gguf.no_size", key=f"{self.architecture}.{key}")
        return value

    def sizes(self, key: str, default: list[int] | None = None) -> list[int]:
        """A key's positive integer for each layer: the file has one for all or an array, where 0 stands for a layer
        that needs none.

        Raises:
            UserError: the file lacks it and there is no default, or it is something else.
        """
        value = self.get(key, default)
        values = value[: self.layers] if isinstance(value, list) else [self.size(key)] * self.layers
        are_sizes = all(isinstance(value, int) and value >= 0 for value in values)
        if len(values) < self.layers or not are_sizes or not any(values):
            raise self.refusal("gguf.no_sizes", key=f"{self.architecture}.{key}")
        return values

    def unread(self, unused: tuple[str, ...] = (), other_parts: tuple[str, ...] = OTHER_KEYS) -> list[str]:
        """The names of the architecture's keys that nobody has read and that may have an effect.

        Args:
            unused: beginnings of keys that have none for this architecture.
            other_parts: beginnings of keys of other parts of the model.
        """
        start = f"{self.architecture}."
        keys = [name.removeprefix(start) for name in self._fields if name.startswith(start)]
        return [
            key for key in keys if key not in self._read.keys() | HARMLESS and not key.startswith(other_parts + unused)
        ]

    def refusal(self, fault_key: str, **values: Any) -> UserError:
        """The error to raise for a file whose model can't be built."""
        return UserError("gguf.refused", path=self._path, fault=Text(fault_key, **values))
