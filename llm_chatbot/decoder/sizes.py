"""The sizes of each layer's attention, as a file says them."""

import math
from dataclasses import dataclass

import numpy as np

from llm_chatbot.decoder.keys import Keys
from llm_chatbot.decoder.rows import DecoderRow


@dataclass(frozen=True)
class Heads:
    """The sizes of one layer's attention.

    Attributes:
        queries, keys: how many heads there are of queries, and of keys and values.
        key_size, value_size: the size of a head.
        rotated: how many values of a head rotate; 0 for none.
        scale: what products of queries and keys are multiplied by.
        window: how many tokens a token sees, itself included; None for all before it.
        cap: of the scores; None for none.
    """

    queries: int
    keys: int
    key_size: int
    value_size: int
    rotated: int
    scale: float
    window: int | None = None
    cap: float | None = None


def read_heads(keys: Keys, row: DecoderRow, index: int, slides: bool) -> Heads:
    """The sizes of a layer's attention.

    Args:
        slides: whether the layer sees a sliding window only.
    """
    kind = "_swa" if slides and "attention.key_length_swa" in keys else ""
    hidden, all_queries = keys.size("embedding_length"), keys.sizes("attention.head_count")
    queries = all_queries[index]
    size = keys.size(f"attention.key_length{kind}", hidden // queries)
    default = row.fixed_scale or 1 / math.sqrt(hidden // queries if row.scaled_by_width_at == keys.layers else size)
    rotated = keys.size("rope.dimension_count", size)
    heads = Heads(
        queries=queries,
        keys=keys.sizes("attention.head_count_kv", all_queries)[index],
        key_size=size,
        value_size=keys.size(f"attention.value_length{kind}", size),
        rotated=keys.size("rope.dimension_count_swa", rotated) if kind else rotated,
        scale=keys.number("attention.scale", 0.0) or default,
        window=keys.size("attention.sliding_window", row.window) if slides else None,
        cap=keys.number("attn_logit_softcapping", row.scores_cap) if row.scores_cap else None,
    )
    if not heads.keys or heads.queries % heads.keys or (row.rotary and (heads.rotated > size or heads.rotated % 2)):
        raise keys.refusal("gguf.head_sizes")
    return heads


def read_windows(keys: Keys, row: DecoderRow) -> list[bool]:
    """Which layers see a sliding window only."""
    window = keys.get("attention.sliding_window", row.window)
    pattern = keys.get("attention.sliding_window_pattern", row.pattern)
    if row.pattern is None or keys.layers < row.window_layers or not window:
        return [False] * keys.layers
    if isinstance(pattern, list) and len(pattern) >= keys.layers:
        return [bool(value) for value in pattern[: keys.layers]]
    if not isinstance(pattern, int):
        raise keys.refusal("gguf.no_pattern")
    return [pattern == 0 or index % pattern < pattern - 1 for index in range(keys.layers)]


def rotates(keys: Keys, row: DecoderRow) -> bool:
    """Whether any layer rotates queries and keys."""
    return row.rotary is not None and (row.unrotated != "untuned" or bool(keys.get("rope.scaling.finetuned", True)))


def read_slopes(keys: Keys, row: DecoderRow, heads: int) -> np.ndarray | None:
    """ALiBi's slope for each head (Press et al. 2022, arXiv:2108.12409), float32 [heads]; None without ALiBi."""
    largest = keys.number("attention.max_alibi_bias", row.alibi)
    if not largest:
        return None
    power = 2 ** math.floor(math.log2(heads))  # the heads beyond a power of two get slopes between the others'
    slopes = [largest * (i + 1) / power for i in range(power)] + [
        largest * (2 * i + 1) / (2 * power) for i in range(heads - power)
    ]
    return (2 ** -np.array(slopes)).astype(np.float32)
