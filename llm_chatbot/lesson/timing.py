"""How long the next token takes, with the KV cache and without it."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Feeding(Protocol):
    """The part of a cache that is measured; see `llm_chatbot.engine.cache.kv_cache.KVCache`."""

    def reset(self) -> None: ...

    def feed(self, ids: Sequence[int]) -> np.ndarray: ...


@dataclass(frozen=True)
class TokenSeconds:
    """Seconds for one more token after a text.

    Attributes:
        length: of the text, in tokens.
        cached: with the text's keys and values in the cache.
        without: where the text is read again.
    """

    length: int
    cached: float
    without: float


def measure_token_seconds(cache: Feeding, ids: Sequence[int], lengths: Sequence[int]) -> Iterator[TokenSeconds]:
    """Measures the next token after the first tokens of a text, for each of these lengths.

    Reading a length the first time, the runtime prepares for it; so each is read twice, and the faster one counts.

    Args:
        cache: empty.
        ids: at least as many as the longest of the lengths, and one more.
        lengths: of the text before the new token.
    """
    for length in lengths:
        without = min(_seconds(lambda: _feed(cache, ids[: length + 1])) for _ in range(2))  # noqa: B023
        cached = min(_seconds(lambda: cache.feed(ids[:1])) for _ in range(3))
        yield TokenSeconds(length, cached, without)


def _feed(cache: Feeding, ids: Sequence[int]) -> None:
    cache.reset()
    cache.feed(ids)


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
