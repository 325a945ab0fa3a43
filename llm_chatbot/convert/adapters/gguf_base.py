"""A GGUF file's weights, for adapters to be added to."""

from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, TensorNameMap, dequantize, get_tensor_name_map
from gguf import GGMLQuantizationType as GGML

from llm_chatbot.adapters.low_rank import Adapter, LowRank
from llm_chatbot.convert.direct.settings import DIRECT_ROWS
from llm_chatbot.decoder.keys import Keys
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.header import GGUFHeader, TensorInfo
from llm_chatbot.sources.safetensors_format import read_header

_EMBEDDINGS, _OUTPUT = "token_embd.weight", "output.weight"
_GGML_TYPES = {"F32": GGML.F32, "F16": GGML.F16, "BF16": GGML.BF16}

# Architectures whose checkpoints have the matrices of their files; whether q and k have their rows in another order.
SORTED_ROWS = {row.architecture: row.halves for row in DIRECT_ROWS.values() if not row.has_experts}


class GGUFBase:
    """See `llm_chatbot.convert.adapters.merging.Base`.

    Args:
        header: of the file.
    """

    def __init__(self, header: GGUFHeader) -> None:
        self.name = header.path.name
        self.tied = frozenset() if _OUTPUT in header.tensors else frozenset({_EMBEDDINGS})
        self._tensors = header.tensors
        self._keys = Keys(header)

    def tensor_of(self, adapter: Adapter, layer: str) -> str | None:
        architecture = self._keys.architecture
        if adapter.is_gguf:
            if adapter.architecture != architecture:
                values = {"there": architecture, "wanted": adapter.architecture}
                raise UserError("adapter.architecture", name=adapter.name, base=self.name, **values)
            tensor: str | None = layer
        else:
            if architecture not in SORTED_ROWS:
                known = ", ".join(sorted(SORTED_ROWS))
                raise UserError("adapter.peft_on_gguf", name=adapter.name, architecture=architecture, known=known)
            end = next((end for end in ("weight", "bias") if layer.endswith(f".{end}")), None)
            known_name = self._names.get_name(layer if end is None else layer.removesuffix(f".{end}"))
            tensor = None if known_name is None else f"{known_name}.{end or 'weight'}"
        if tensor not in self._tensors:
            return None
        if f"{tensor.removesuffix('.weight')}.scale" in self._tensors:
            raise UserError("adapter.scaled", name=self.name)
        return tensor

    @cached_property
    def _names(self) -> TensorNameMap:
        number = next(key for key, name in MODEL_ARCH_NAMES.items() if name == self._keys.architecture)
        return get_tensor_name_map(MODEL_ARCH(number), self._keys.layers)

    def adjusted(self, low_rank: LowRank, tensor: str, adapter: Adapter) -> LowRank:
        kind = tensor.split(".")[-2]
        if adapter.is_gguf or not SORTED_ROWS[self._keys.architecture] or kind not in ("attn_q", "attn_k"):
            return low_rank
        all_queries = self._keys.sizes("attention.head_count")
        heads = all_queries if kind == "attn_q" else self._keys.sizes("attention.head_count_kv", all_queries)
        return low_rank.with_rows(_neighbours(len(low_rank.left), heads[int(tensor.split(".")[1])]))

    def shape(self, tensor: str) -> tuple[int, ...]:
        return self._tensors[tensor].shape

    def type(self, tensor: str) -> str:
        own = self._tensors[tensor].type
        return own.name if own in _GGML_TYPES.values() else "F16"

    def values(self, tensor: str) -> np.ndarray:
        info = self._tensors[tensor]
        blocks = np.memmap(info.path, np.uint8, "r", info.offset, info.size).reshape(*info.shape[:-1], -1)
        try:
            return np.array(dequantize(blocks, info.type), np.float32).reshape(info.shape)
        except NotImplementedError as error:
            raise UserError("adapter.quantized", name=self.name) from error


def with_merged(header: GGUFHeader, path: Path) -> GGUFHeader:
    """A file's header with the tensors of a safetensors file in place of its own."""
    infos = {
        name: TensorInfo(tensor.path, _GGML_TYPES[tensor.type], tensor.shape, tensor.offset, tensor.size)
        for name, tensor in read_header(path).items()
    }
    return replace(header, tensors={**header.tensors, **infos})


def _neighbours(rows: int, heads: int) -> np.ndarray:
    """The order of rows in which the two halves of each head lie by turns, as llama.cpp sorts them."""
    return np.arange(rows).reshape(heads, 2, -1).swapaxes(1, 2).reshape(-1)
