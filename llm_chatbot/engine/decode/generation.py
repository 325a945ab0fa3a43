"""Token ids → the ids that follow: reading a prompt, and decoding one token at a time.

Generators that the caller drives and closes; there is no background thread.
"""

import math
from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from llm_chatbot.engine.cache.pace import Pace
from llm_chatbot.engine.decode.constraints import TokenConstraint
from llm_chatbot.engine.decode.sampling import Sampling, sample
from llm_chatbot.engine.errors import NonFiniteLogitsError


@dataclass(frozen=True)
class Generation(Sampling):
    """The options of an answer.

    Attributes:
        max_new_tokens: the maximum number of tokens to generate; None: as many as the context has room for.
        seed: makes sampling repeatable; None uses a new random seed.
        stop: strings that end the answer; they are not shown.
        top_logprobs: how many of the most likely tokens `Answer.tokens` lists at each place; None leaves that empty.
        thinking_budget: after this many tokens of reasoning, `</think>` is written and the answer begins; None for no
            limit.
        constraint: limits the tokens of the answer, but not those of reasoning that the prompt begins.

    Raises:
        ValueError: a value is out of range.
    """

    max_new_tokens: int | None = 256
    seed: int | None = None
    stop: Sequence[str] = ()
    top_logprobs: int | None = None
    thinking_budget: int | None = None
    constraint: TokenConstraint | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_new_tokens is not None and self.max_new_tokens < 1:
            raise ValueError(f"max_new_tokens must be at least 1, not {self.max_new_tokens}")
        if (self.top_logprobs or 0) < 0 or (self.thinking_budget or 0) < 0:
            raise ValueError("top_logprobs and thinking_budget must be >= 0, or None")
        if isinstance(self.stop, str) or "" in self.stop:
            raise ValueError("stop is a sequence of strings that are not empty")


class Cache(Protocol):
    """The KV cache of one sequence; see `llm_chatbot.engine.cache.kv_cache.KVCache`."""

    @property
    def ids(self) -> list[int]: ...

    def reset(self) -> None: ...

    def trim_to_prefix(self, ids: Sequence[int]) -> int: ...

    def feed(self, ids: Sequence[int]) -> np.ndarray: ...


def prefill(cache: Cache, ids: Sequence[int], pace: Pace) -> Generator[tuple[int, np.ndarray | None], None, None]:
    """Feeds a prompt in chunks. Yields before the first and after each how many tokens have been fed, and the logits.

    There are logits only after the last chunk; they are valid as long as those that `Cache.feed` returns.

    Args:
        cache: holds the tokens before `ids`.
        ids: at least one token.
        pace: how long the chunks are. A remainder of less than half a chunk is read with the last one.
    """
    fed = 0
    yield fed, None
    while fed < len(ids):
        left = len(ids) - fed
        size = left if left < 1.5 * pace.tokens else pace.tokens
        logits = cache.feed(ids[fed : fed + size])
        fed += size
        yield fed, logits if fed == len(ids) else None


def decode(
    cache: Cache,
    logits: np.ndarray,
    sampling: Sampling,
    stop_ids: set[int],
    seed: int | None = None,
    constraints: Sequence[TokenConstraint] = (),
) -> Generator[tuple[int, np.ndarray], None, None]:
    """Yields the tokens that follow, one at a time, until a stop token, and the model's logits for each.

    Closing the generator ends the work. A yielded token is fed only when the next one is requested, so the cache may
    not hold the last one. The logits are valid until then.

    Args:
        cache: holds the tokens so far.
        logits: after the last of them, float32 [vocabulary].
        sampling: how each token is chosen.
        stop_ids: tokens that end the answer; they are not yielded.
        seed: makes sampling repeatable; None uses a new random seed.
        constraints: what else limits the choice, in this order. If they leave no token, that ends the answer.

    Raises:
        NonFiniteLogitsError: the model's logits are NaN or infinite.
    """
    random = np.random.default_rng(seed)
    seen = np.unique(cache.ids)  # duplicates may be appended below; the penalty applies once
    while True:
        if not math.isfinite(logits.max()):  # also true of a NaN anywhere, which the maximum then is
            raise NonFiniteLogitsError
        allowed = _allowed(logits, constraints)
        if constraints and np.isneginf(allowed.max()):
            return
        token = sample(allowed, seen, sampling, random)
        for constraint in constraints:
            constraint.accept(token)
        if token in stop_ids:
            return
        yield token, logits
        logits = cache.feed([token])
        seen = np.append(seen, token)


def _allowed(logits: np.ndarray, constraints: Sequence[TokenConstraint]) -> np.ndarray:
    """The logits with -inf for what the constraints forbid."""
    if constraints:
        logits = logits.copy()
    for constraint in constraints:
        constraint.mask(logits)
    return logits


def stream_ids(
    cache: Cache, ids: Sequence[int], sampling: Sampling, stop_ids: set[int], seed: int | None = None
) -> Generator[int, None, None]:
    """Feeds `ids`, at least one token, and yields the tokens that follow; see `decode`."""
    for token, _ in decode(cache, cache.feed(ids), sampling, stop_ids, seed):
        yield token
