"""Speculative decoding with a draft model (Leviathan et al. 2023, arXiv:2211.17192).

A smaller model of the same vocabulary writes a few tokens ahead, and one call of the model reads them all. Of each the
caller decides with the model's own distribution whether it stays; see `llm_chatbot.engine.decode.sampling`. So the
answer has the distribution that it has without drafts, and a greedy one is the same.
"""

import statistics
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from llm_chatbot.engine.cache.block_pool import common_length
from llm_chatbot.engine.cache.pace import Pace
from llm_chatbot.engine.decode.penalties import Penalties
from llm_chatbot.engine.decode.sampling import Proposal, Sampling, can_choose, propose

MAX_DRAFT = 8  # tokens
DECAY = 0.95  # by which each token's acceptance decays with the next
PRIOR_ACCEPTANCE, PRIOR_WEIGHT = 0.6, 4.0
ASSUMED_SHARE = 0.2  # of the time of a call of the model that a drafted token takes, before it is measured

# An answer's first calls are without drafts: the first one has another shape than the prompt's, the others are timed,
# until there are some. Of the last ones the median counts.
PLAIN_CALLS, TIMED_CALLS = 2, 3
LAST_TIMES = 9
MIN_ROUNDS = 4  # before drafting may stop
DRAFT_MARGIN = 1.03  # drafts promise this many times the tokens per second of decoding without them
SWITCH = 1.05  # another number of tokens promises this many times those of the present one: a change has a price


class DraftCache(Protocol):
    """The draft model's cache; see `llm_chatbot.engine.cache.paged_cache.PagedCache`."""

    ids: list[int]

    def feed(self, ids: Sequence[int]) -> np.ndarray: ...

    def truncate(self, length: int) -> None: ...

    def trim_to_prefix(self, ids: Sequence[int]) -> int: ...

    def reset(self) -> None: ...

    def make_private(self) -> None: ...

    def release(self) -> None: ...


@dataclass
class DraftFigures:
    """The drafts of an answer.

    Attributes:
        drafted: how many tokens were drafted and read.
        reached: how many of them had their turn: those before them were accepted.
        accepted: how many of them the answer has.
        seconds: that the answer's calls and drafts took.
        plain_seconds: that the same number of tokens would have taken without drafts.
    """

    drafted: int = 0
    reached: int = 0
    accepted: int = 0
    seconds: float = 0.0
    plain_seconds: float = 0.0

    @property
    def gain(self) -> float:
        """The speed as a multiple of that without drafts; 1.0 if it wasn't measured."""
        return self.plain_seconds / self.seconds if self.drafted and self.seconds else 1.0


class DraftLength:
    """How many tokens to draft, by the acceptance and the times so far."""

    def __init__(self) -> None:
        self.count = 0  # that were drafted last
        self._accepted, self._tried = PRIOR_ACCEPTANCE * PRIOR_WEIGHT, PRIOR_WEIGHT
        self._times: dict[int, deque[float]] = {}  # of calls of the model that verify so many tokens
        self._draft_times: deque[float] = deque(maxlen=LAST_TIMES)  # for each token
        self._calls = self._rounds = 0  # in this answer
        self._stopped = False

    @property
    def acceptance(self) -> float:
        """The share of drafted tokens that are accepted, of those whose turn comes."""
        return self._accepted / self._tried

    @property
    def plain_seconds(self) -> float | None:
        """Of a call that verifies nothing; None if too few were timed."""
        return self._median(0) if len(self._times.get(0, ())) >= TIMED_CALLS else None

    def _median(self, count: int) -> float | None:
        times = self._times.get(count)
        return statistics.median(times) if times else None

    @property
    def may_pay(self) -> bool:
        return not self._stopped

    def begin_answer(self) -> None:
        """The next text may be easier to draft, or harder: what is known of the acceptance is halved."""
        half = (self.acceptance + PRIOR_ACCEPTANCE) / 2
        self._accepted, self._tried = half * PRIOR_WEIGHT, PRIOR_WEIGHT
        self._calls = self._rounds = 0
        self._stopped = False

    def note_call(self, count: int, seconds: float) -> None:
        """A call of the model that verified so many tokens took so long."""
        self._calls += 1
        if self._calls > 1:
            self._times.setdefault(count, deque(maxlen=LAST_TIMES)).append(seconds)

    def note_drafts(self, count: int, seconds: float) -> None:
        """To draft so many tokens took so long."""
        self._rounds += 1
        self._draft_times.append(seconds / count)

    def note_token(self, accepted: bool) -> None:
        """A drafted token's turn came."""
        self._accepted = DECAY * self._accepted + accepted
        self._tried = DECAY * self._tried + 1

    def next_count(self, price: Callable[[int], float]) -> int:
        """How many tokens to draft now; 0: none.

        Args:
            price: of a call with a number of tokens, in any unit.
        """
        plain = self.plain_seconds
        if self._stopped or self._calls < PLAIN_CALLS or plain is None:
            return 0
        share = statistics.median(self._draft_times) if self._draft_times else ASSUMED_SHARE * plain

        def rate(count: int) -> float:
            """The expected tokens per second."""
            of_call = self._median(count) or plain * price(count + 1) / price(1)
            return sum(self.acceptance**length for length in range(count + 1)) / (of_call + count * share)

        best = max(range(1, MAX_DRAFT + 1), key=rate)
        if self.count and rate(best) < SWITCH * rate(self.count):
            best = self.count
        self._stopped = self._rounds >= MIN_ROUNDS and rate(best) < DRAFT_MARGIN / plain
        self.count = 0 if self._stopped else best
        return self.count


class Drafter:
    """Drafts the tokens of one conversation.

    Args:
        cache: of the draft model.
        vocabulary: how many ids the draft model has.
        max_length: the maximum length of its sequences, in tokens.
        pace: how many tokens of a prompt to read at once.

    Attributes:
        is_answering: whether an answer has begun, and not only its prompt.
        length: how many tokens to draft.
        figures: how the drafts of this answer do.
    """

    def __init__(self, cache: DraftCache, vocabulary: int, max_length: int, pace: Pace) -> None:
        self.is_answering = False
        self.length = DraftLength()
        self.figures = DraftFigures()
        self._cache, self._vocabulary, self._max_length, self._pace = cache, vocabulary, max_length, pace
        self._sampling, self._random = Sampling(), np.random.default_rng(0)
        self._penalties: Penalties | None = None

    def begin_answer(self, sampling: Sampling, random: np.random.Generator, penalties: Penalties) -> None:
        """The next drafts are for an answer whose tokens are chosen so."""
        self.is_answering = True
        self.length.begin_answer()
        self.figures = DraftFigures()
        self._sampling, self._random, self._penalties = sampling, random, penalties

    def reset(self) -> None:
        """Forgets the conversation."""
        self._cache.reset()
        self.length = DraftLength()

    def make_private(self) -> None:
        self._cache.make_private()

    def release(self) -> None:
        self._cache.release()

    def trim_to_prefix(self, ids: Sequence[int]) -> None:
        """Begins a prompt; see `PagedCache.trim_to_prefix`."""
        self.is_answering = False
        self._cache.trim_to_prefix(ids)

    def read(self, ids: Sequence[int]) -> None:
        """Reads a conversation up to here, where drafts may pay."""
        if self.length.may_pay and self._can_read(ids):
            self._catch_up(ids)

    def _can_read(self, ids: Sequence[int]) -> bool:
        return len(ids) <= self._max_length and max(ids, default=0) < self._vocabulary

    def _catch_up(self, ids: Sequence[int]) -> None:
        known = common_length(self._cache.ids, ids)
        if known < len(ids):
            self._cache.truncate(known)
        while (start := len(self._cache.ids)) < len(ids):
            left = len(ids) - start
            self._cache.feed(ids[start : start + (left if left < 1.5 * self._pace.tokens else self._pace.tokens)])

    def draft(self, ids: Sequence[int], count: int, vocabulary: int) -> list[Proposal]:
        """The tokens that may follow; none if the draft model can't read the text, and none after logits that are NaN.

        All its calls but those that catch up have one token: a change of their shape has a price.

        Args:
            ids: the conversation, at least one token.
            count: at least 1.
            vocabulary: how many ids the model has.
        """
        if not self._can_read(ids) or len(ids) + count > self._max_length:
            return []
        started = time.perf_counter()
        if len(ids) - common_length(self._cache.ids, ids) > 2:
            self._catch_up(ids[:-2])
        self._cache.truncate(min(common_length(self._cache.ids, ids), len(ids) - 1))
        for token in ids[len(self._cache.ids) :]:
            logits = self._cache.feed([token])
        penalties = self._penalties.copy() if self._penalties is not None else None
        proposals: list[Proposal] = []
        while can_choose(logits[:vocabulary]):
            proposals.append(self._propose(logits[:vocabulary], penalties))
            if len(proposals) == count:
                break
            logits = self._cache.feed([proposals[-1].token])
        else:
            self.length.note_token(accepted=False)  # so that drafts which never come end soon
        self.length.note_drafts(len(proposals) or 1, time.perf_counter() - started)
        self.figures.seconds += time.perf_counter() - started
        return proposals

    def _propose(self, logits: np.ndarray, penalties: Penalties | None) -> Proposal:
        if penalties is not None:
            logits = penalties.applied(logits)
        proposal = propose(logits, self._sampling, self._random)
        if penalties is not None:
            penalties.accept(proposal.token)
        return proposal

    def note_call(self, count: int, seconds: float) -> None:
        """A call of the model that verified so many of these tokens took so long."""
        self.length.note_call(count, seconds)
        self.figures.drafted += count
        self.figures.seconds += seconds
        self.figures.plain_seconds += self.length.plain_seconds or seconds

    def note_token(self, accepted: bool) -> None:
        """A drafted token's turn came."""
        self.length.note_token(accepted)
        self.figures.reached += 1
        if accepted:
            self.figures.accepted += 1
            self.figures.plain_seconds += self.length.plain_seconds or 0.0
