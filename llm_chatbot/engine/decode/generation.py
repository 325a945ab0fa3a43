"""Token ids → the ids that follow: reading a prompt, and decoding one token at a time.

Generators that the caller drives and closes; there is no background thread.
"""

import math
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import numpy as np

from llm_chatbot.engine.cache.pace import Pace
from llm_chatbot.engine.decode.constraints import TokenConstraint
from llm_chatbot.engine.decode.dry import Dry
from llm_chatbot.engine.decode.penalties import Penalties
from llm_chatbot.engine.decode.sampling import Proposal, Sampling, can_choose, choose
from llm_chatbot.engine.errors import NonFiniteError

LOGITS_CHUNK = 32  # the most tokens for which caches give the logits of all at a time


@dataclass(frozen=True)
class Generation(Sampling):
    """The options of an answer.

    Attributes:
        max_new_tokens: the maximum number of tokens to generate; 0: the prompt is only read; None: as many as the
            context has room for.
        seed: makes sampling repeatable; None uses a new random seed.
        stop: strings that end the answer; they are not shown.
        top_logprobs: how many of the most likely tokens `Answer.tokens` lists at each place; None leaves that empty.
        thinking_budget: after this many tokens of reasoning, `</think>` is written and the answer begins; None for no
            limit.
        constraint: limits the tokens of the answer, but not those of reasoning that the prompt begins.
        dry: penalises repetitions; None doesn't.
        ignore_eos: the model can't end the answer: its stop tokens are excluded.
        echo: a text that is continued is repeated before what follows, with `top_logprobs` also its tokens.
        end_ids: tokens that end the answer besides the model's own.

    Raises:
        ValueError: a value is out of range.
    """

    max_new_tokens: int | None = 256
    seed: int | None = None
    stop: Sequence[str] = ()
    top_logprobs: int | None = None
    thinking_budget: int | None = None
    constraint: TokenConstraint | None = None
    dry: Dry | None = None
    ignore_eos: bool = False
    echo: bool = False
    end_ids: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.max_new_tokens is not None and self.max_new_tokens < 0:
            raise ValueError(f"max_new_tokens must be at least 0, not {self.max_new_tokens}")
        if (self.top_logprobs or 0) < 0 or (self.thinking_budget or 0) < 0:
            raise ValueError("top_logprobs and thinking_budget must be >= 0, or None")
        if isinstance(self.stop, str) or "" in self.stop:
            raise ValueError("stop is a sequence of strings that are not empty")

    def without(self, ids: Iterable[int]) -> "Generation":
        """The same options, with which none of these tokens is chosen."""
        return replace(self, logit_bias={**self.logit_bias, **dict.fromkeys(ids, -math.inf)})


class Cache(Protocol):
    """The KV cache of one sequence; see `llm_chatbot.engine.cache.kv_cache.KVCache`."""

    @property
    def ids(self) -> list[int]: ...

    def reset(self) -> None: ...

    def trim_to_prefix(self, ids: Sequence[int]) -> int: ...

    def truncate(self, length: int) -> None: ...

    def feed(self, ids: Sequence[int]) -> np.ndarray: ...

    def feed_all(self, ids: Sequence[int]) -> np.ndarray: ...


@runtime_checkable
class ProposingCache(Protocol):
    """A cache that reads ahead what a draft model proposes; `prompt_lookup.LookupCache` is one."""

    def begin_answer(
        self, sampling: Sampling, random: np.random.Generator, penalties: Penalties, exact: bool
    ) -> None: ...

    @property
    def proposal(self) -> Proposal | None: ...


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
        size = left if left < 1.5 * pace.tokens else whole_pictures(ids, fed, pace.tokens)
        logits = cache.feed(ids[fed : fed + size])
        fed += size
        yield fed, logits if fed == len(ids) else None


def whole_pictures(ids: Sequence[int], start: int, count: int) -> int:
    """`count`, or as many ids as it takes not to cut a picture: some models look at all of it from each place in it.

    Args:
        ids: negative ones are a picture's.
        start: of the `count` ids.
    """
    end = start + count
    while count > 0 and end < len(ids) and ids[end - 1] < 0 and ids[end] < 0:
        end += 1
    return end - start


def prefill_all(cache: Cache, ids: Sequence[int]) -> Generator[tuple[int, np.ndarray], None, None]:
    """Feeds a prompt, and yields after each chunk how many tokens have been fed, and the logits after each of them.

    The logits are float32 [tokens, vocabulary] of the chunk, valid until the next one. Chunks are short: logits take
    memory.

    Raises:
        NonFiniteError: the model's logits are NaN or infinite.
    """
    for start in range(0, len(ids), LOGITS_CHUNK):
        chunk = ids[start : start + LOGITS_CHUNK]
        logits = cache.feed_all(chunk)
        check_logits(logits)
        yield start + len(chunk), logits


def check_logits(logits: np.ndarray) -> None:
    """
    Args:
        logits: float32 [..., vocabulary].

    Raises:
        NonFiniteError: some are NaN, or none of a row is finite. -inf excludes a token.
    """
    if not can_choose(logits):
        raise NonFiniteError


def decode(
    cache: Cache,
    logits: np.ndarray,
    sampling: Sampling,
    stop_ids: set[int],
    seed: int | None = None,
    constraints: Sequence[TokenConstraint] = (),
    exact: bool = True,
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
        constraints: what else limits the choice, in this order. If no token is left, that ends the answer.
        exact: whether the logits that are yielded have to be; False: the best tokens' do, which may be faster.

    Raises:
        NonFiniteError: the model's logits are NaN or infinite.
    """
    random = np.random.default_rng(seed)
    penalties = Penalties(sampling, cache.ids)
    proposing = cache if isinstance(cache, ProposingCache) else None
    if proposing is not None:
        exact = exact or bool(constraints) or penalties.may_raise or not sampling.needs_best_only
        proposing.begin_answer(sampling, random, penalties, exact)
    while True:
        check_logits(logits)
        allowed = _allowed(penalties.applied(logits), constraints)
        if np.isneginf(allowed.max()):
            return
        token = choose(allowed, sampling, random, proposing.proposal if proposing is not None else None)
        penalties.accept(token)
        for constraint in constraints:
            constraint.accept(token)
        if token in stop_ids:
            return
        yield token, logits
        logits = cache.feed([token])


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
