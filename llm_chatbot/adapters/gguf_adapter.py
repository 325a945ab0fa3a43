"""An adapter in a GGUF file, as llama.cpp's `convert_lora_to_gguf.py` writes it.

https://github.com/ggml-org/llama.cpp/blob/master/src/llama-adapter.cpp says what is computed with it.
"""

from pathlib import Path

import numpy as np
from gguf import dequantize
from gguf.constants import GGUFType, Keys

from llm_chatbot.adapters.low_rank import Adapter, LowRank
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.header import GGUFHeader, read_gguf_header

_ENDS = (".lora_a", ".lora_b")
_EMBEDDINGS = "token_embd.weight"  # whose two matrices are the other way round


def read_gguf_adapter(path: Path, weight: float, name: str) -> Adapter:
    """Reads an adapter.

    Args:
        weight: what its change is multiplied by.
        name: for messages.

    Raises:
        UserError: the file is damaged, holds something else, or has a part that is not supported.
    """
    header = read_gguf_header(path)
    fields = header.fields
    kind = fields.text(Keys.Adapter.TYPE)
    if fields.text(Keys.General.TYPE) != GGUFType.ADAPTER or kind != "lora":
        raise UserError("adapter.kind", name=name, kind=repr(kind or fields.text(Keys.General.TYPE)))
    if Keys.Adapter.ALORA_INVOCATION_TOKENS in fields:
        key = Keys.Adapter.ALORA_INVOCATION_TOKENS
        raise UserError("adapter.setting", name=name, key=key, value=f"{fields[key]!r:.80}")
    if wrong := [tensor for tensor in header.tensors if not tensor.endswith(_ENDS)]:
        raise UserError("adapter.tensor", name=name, tensor=f"{wrong[0]:.120}")
    alpha = fields.get(Keys.Adapter.LORA_ALPHA, 0.0)
    layers = dict.fromkeys(tensor[: -len(_ENDS[0])] for tensor in header.tensors)
    low_rank = {layer: _low_rank(header, layer, alpha, weight, name) for layer in layers}
    return Adapter(name, low_rank, is_gguf=True, architecture=fields.text(Keys.General.ARCHITECTURE))


def _low_rank(header: GGUFHeader, layer: str, alpha: float, weight: float, name: str) -> LowRank:
    """
    Raises:
        UserError: a part is missing, or the two don't fit together.
    """
    missing = [layer + end for end in _ENDS if layer + end not in header.tensors]
    if missing:
        raise UserError("gguf.weights_missing", path=header.path, name=missing[0])
    a, b = (_values(header, layer + end) for end in _ENDS)
    left, right = (a, b.T) if layer == _EMBEDDINGS else (b, a)
    if a.ndim != 2 or b.ndim != 2 or left.shape[1] != len(right):
        raise UserError("adapter.ranks", name=name, layer=f"{layer:.120}", a=list(a.shape), b=list(b.shape))
    rank = len(right)
    return LowRank(left, right, weight * (alpha / rank if alpha else 1.0))


def _values(header: GGUFHeader, tensor: str) -> np.ndarray:
    info = header.tensors[tensor]
    blocks = np.memmap(info.path, np.uint8, "r", info.offset, info.size)
    try:
        values = dequantize(blocks.reshape(*info.shape[:-1], -1), info.type)
    except NotImplementedError as error:
        raise UserError("gguf.block_type", path=info.path, type=info.type.name, known="F32, F16, BF16, Q8_0") from error
    return values.astype(np.float32).reshape(info.shape)
