"""Prompt lookup decoding: speculative decoding whose draft tokens come from the text itself.

If the last n-gram occurred before, in this conversation or in any other one whose keys and values are still in the
pool, the tokens that followed it there are the draft. One call reads the next token and
the draft; it costs little more than a call with a single token, so accepted draft tokens are almost free. This happens
behind `feed`: the caller samples every token from the model's logits after exactly the tokens before it, so the answer
is the same with and without drafts. The idea is Apoorv Saxena's: https://github.com/apoorvumang/prompt-lookup-decoding
"""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Protocol

import numpy as np

from llm_chatbot.engine.cache.block_pool import common_length
from llm_chatbot.engine.decode.draft_model import DraftCache, Drafter, DraftFigures
from llm_chatbot.engine.decode.penalties import Penalties
from llm_chatbot.engine.decode.sampling import Proposal, Sampling
from llm_chatbot.engine.vision.reader import Picture

# Tokens that must match before a draft is considered.
NGRAM = 3

# The maximum length of a match that is counted.
LONGEST_MATCH = 32

# Allowed draft lengths. Only a few, because a call with another number of tokens than the one before costs extra.
DRAFT_LENGTHS = (3, 7, 15)

# Acceptance rates of the next draft token after matches of 3, 4, 8, 16 and 32 tokens: the prior, its weight in draft
# tokens, and the factor by which each observation decays with the next.
PRIOR = (0.4, 0.6, 0.8, 0.9, 0.95)
PRIOR_WEIGHT = 2
ACCEPTANCE_DECAY = 0.95

# Drafts are used only if they promise this many times the tokens per second of decoding without them.
MARGIN = 1.1


FindSeen = Callable[[Sequence[int]], tuple[list[int], int] | None]


class Acceptance:
    """How many draft tokens are accepted, by the lengths of the matches before them."""

    def __init__(self) -> None:
        self._accepted = [PRIOR_WEIGHT * share for share in PRIOR]
        self._drafted = [float(PRIOR_WEIGHT)] * len(PRIOR)

    def note(self, length: int, accepted: bool) -> None:
        """Records the next token after a match of this length."""
        kind = kind_of(length)
        self._drafted[kind] = self._drafted[kind] * ACCEPTANCE_DECAY + 1
        self._accepted[kind] = self._accepted[kind] * ACCEPTANCE_DECAY + int(accepted)

    def rate(self, length: int) -> float:
        """The expected share."""
        kind = kind_of(length)
        return self._accepted[kind] / self._drafted[kind]


class PromptLookup:
    """Proposes draft tokens for a conversation and tracks how many would be accepted.

    Args:
        find_seen: finds other conversations' texts, see `llm_chatbot.engine.cache.seen_text.SeenText.find`. They are
            used where this conversation has no match.

    Attributes:
        ids: all tokens so far.
    """

    def __init__(self, find_seen: FindSeen = lambda ids: None) -> None:
        self.ids: list[int] = []
        self._find_seen = find_seen
        self._source = self.ids  # the text with the draft
        # Where the last occurrence of each n-gram ends; after `truncate`, that may be past the end of `ids`.
        self._places: dict[tuple[int, ...], int] = {}
        self._draft_start = 0  # the position of the first draft token
        self._match_length = 0  # the length of the match before it; 0: no match
        self._own, self._others = Acceptance(), Acceptance()

    @property
    def _acceptance(self) -> Acceptance:
        return self._own if self._source is self.ids else self._others

    def truncate(self, length: int) -> None:
        """Keeps only the first `length` tokens."""
        if length < len(self.ids):
            del self.ids[length:]
            self._match_length = 0

    def read(self, ids: Sequence[int]) -> None:
        """Appends tokens of a prompt."""
        start = len(self.ids)
        self.ids += ids
        for end in range(max(start + 1, NGRAM), len(self.ids)):
            self._places[tuple(self.ids[end - NGRAM : end])] = end
        self._find()

    def add(self, token: int) -> None:
        """Appends a token of the answer, and records whether it was the next draft token."""
        if self._match_length:
            self._count(self._source[self._draft_start] == token)
        self.ids.append(token)
        self._find()

    def _count(self, accepted: bool) -> None:
        self._acceptance.note(self._match_length, accepted)
        self._draft_start += 1
        is_over = not accepted or (self._source is not self.ids and self._draft_start == len(self._source))
        self._match_length = 0 if is_over else min(self._match_length + 1, LONGEST_MATCH)

    def _find(self) -> None:
        """Finds an earlier occurrence of the last n-gram, unless there is a match already."""
        key = tuple(self.ids[-NGRAM:])
        place = self._places.get(key)
        if len(key) == NGRAM:
            self._places[key] = len(self.ids)
        if self._match_length:
            return
        if place is not None and place < len(self.ids):
            self._match(self.ids, place)
        if not self._match_length and (seen := self._find_seen(self.ids)) is not None and seen[1] < len(seen[0]):
            self._match(*seen)

    def _match(self, source: list[int], place: int) -> None:
        self._source, self._draft_start = source, place
        self._match_length = match_length(self.ids, source[max(place - LONGEST_MATCH, 0) : place])

    def expected_accepted(self, count: int) -> float:
        """The expected number of accepted tokens in a draft of `count`."""
        chance, expected = 1.0, 0.0
        for length in range(self._match_length, self._match_length + count):
            chance *= self._acceptance.rate(length)
            expected += chance
        return expected

    def guesses(self, count: int) -> list[int]:
        """A draft of `count` tokens. Past the end of the text, it continues as if the text repeated itself."""
        following = list(takewhile(is_token, self._source[self._draft_start : self._draft_start + count]))
        while following and len(following) < count:
            following += following[: count - len(following)]
        return following

    def best_count(self, prices: "Prices", others: int, last_rows: int) -> int:
        """The draft length with the highest expected tokens per second; 0 if a draft doesn't pay.

        Args:
            prices: what calls cost.
            others: tokens of other conversations in the same call.
            last_rows: tokens in the previous call.
        """
        if self._match_length == 0:
            return 0
        # A draft changes the number of tokens in this call, and its end changes it back.
        there_and_back = 2 if last_rows == others + 1 else 1

        def rate(count: int) -> float:
            rows, changes = others + 1 + count, 0
            if rows != last_rows:
                changes = there_and_back if count else 1
            return (others + 1 + self.expected_accepted(count)) / (prices.of(rows) + changes * prices.change)

        best = max(DRAFT_LENGTHS, key=rate)
        return best if rate(best) > MARGIN * rate(0) else 0


def is_token(id: int) -> bool:
    """Whether an id is a token's, and not that of a picture's vector."""
    return id >= 0


def match_length(ids: Sequence[int], before: Sequence[int]) -> int:
    """How many of the last tokens are those before a draft; 0 if fewer than an n-gram."""
    count = common_length(before[::-1], ids[-len(before) :][::-1])
    return count if count >= NGRAM else 0


def kind_of(length: int) -> int:
    """The index in `PRIOR` for a match of this length."""
    return min(length.bit_length() - NGRAM.bit_length(), len(PRIOR) - 1)


class Prices:
    """The costs of calls on this machine, in seconds, by their number of tokens.

    Args:
        measured: the cost for at least two numbers of tokens; others are interpolated and extrapolated linearly.
        change: the extra cost of a call with another number of tokens than the one before.
    """

    def __init__(self, measured: Mapping[int, float], change: float) -> None:
        self.measured = dict(sorted(measured.items()))
        self.change = change

    def of(self, rows: int) -> float:
        """The price of a call with `rows` tokens."""
        known = list(self.measured)
        if rows > known[-1]:
            first, last = known[-2:]
            slope = (self.measured[last] - self.measured[first]) / (last - first)
            return self.measured[last] + max(slope, 0.0) * (rows - last)
        return float(np.interp(rows, known, list(self.measured.values())))


class DraftingModel(Protocol):
    """The model that a `LookupCache` needs; see `llm_chatbot.engine.cache.paged_cache.PagedModel`.

    Attributes:
        max_length: the maximum length of a sequence, in tokens.
        prices: what its calls cost; None turns drafts off.
        last_rows: the number of tokens in its last call.
        last_others: the number of other conversations in that call.
    """

    max_length: int
    prices: Prices | None
    last_rows: int
    last_others: int

    def find_seen(self, ids: Sequence[int]) -> tuple[list[int], int] | None: ...


class DraftingCache(DraftCache, Protocol):
    """The cache below a `LookupCache`; see `llm_chatbot.engine.cache.paged_cache.PagedCache`."""

    exact: bool

    def feed_all(self, ids: Sequence[int]) -> np.ndarray: ...

    def show(self, pictures: Sequence[Picture]) -> None: ...

    def use_adapters(self, weights: Sequence[float]) -> None: ...


class LookupCache:
    """A KV cache that reads draft tokens ahead of what it is fed, and truncates those that are rejected.

    Args:
        cache: the cache below it.
        model: that cache's model.
        drafter: a draft model for where lookup finds nothing.
    """

    def __init__(self, cache: DraftingCache, model: DraftingModel, drafter: Drafter | None = None) -> None:
        self._cache = cache
        self._model = model
        self._drafter = drafter
        self._lookup = PromptLookup(model.find_seen)
        self._draft: list[int] = []  # draft tokens that have been read, but not fed yet
        self._proposals: list[Proposal] = []  # for these, if a draft model proposed them
        self._logits: np.ndarray | None = None  # after each of them
        self._vocabulary = 0  # the number of logits

    @property
    def ids(self) -> list[int]:
        """The tokens that were fed, in order, without draft tokens."""
        return self._cache.ids[: len(self._cache.ids) - len(self._draft)]

    @property
    def proposal(self) -> Proposal | None:
        """The next token that a draft model proposes, if that was read ahead."""
        return self._proposals[0] if self._proposals else None

    @property
    def draft_figures(self) -> DraftFigures | None:
        """How the draft model does in this answer; None: there is none."""
        return None if self._drafter is None else self._drafter.figures

    def begin_answer(
        self, sampling: Sampling, random: np.random.Generator, penalties: Penalties, exact: bool = True
    ) -> None:
        """Says how the tokens of the next answer are chosen, for drafts that are likely to be accepted.

        Args:
            exact: whether all of its logits have to be exact; False: those of the best tokens do.
        """
        self._cache.exact = exact
        if self._drafter is not None:
            self._drafter.begin_answer(sampling, random, penalties)

    def show(self, pictures: Sequence[Picture]) -> None:
        """See `PagedCache.show`. A draft model sees none, so it drafts no more in this conversation."""
        self._cache.show(pictures)
        if pictures:
            self._drafter = None

    def make_private(self) -> None:
        """From now on, nothing that is read is kept on the disk."""
        self._cache.make_private()
        if self._drafter is not None:
            self._drafter.make_private()

    def use_adapters(self, weights: Sequence[float]) -> None:
        """See `PagedCache.use_adapters`."""
        self._drop_draft()
        self._cache.use_adapters(weights)

    def reset(self) -> None:
        """Empties the cache."""
        self._drop_draft()
        self._cache.reset()
        self._lookup = PromptLookup(self._model.find_seen)
        if self._drafter is not None:
            self._drafter.reset()

    def release(self) -> None:
        """Frees the memory. The tokens are read again by the next `feed`."""
        self._cache.release()
        if self._drafter is not None:
            self._drafter.release()

    def trim_to_prefix(self, ids: Sequence[int]) -> int:
        """See `PagedCache.trim_to_prefix`."""
        self._draft, self._proposals, self._logits = [], [], None
        self._cache.exact = True
        held = self._cache.trim_to_prefix(ids)
        if self._drafter is not None:
            self._drafter.trim_to_prefix(ids)
        self._lookup.truncate(common_length(self._lookup.ids, self._cache.ids))
        self._lookup.read(self._cache.ids[len(self._lookup.ids) :])
        return held

    def feed(self, ids: Sequence[int]) -> np.ndarray:
        """Appends tokens to the sequence and returns the logits after the last one, float32 [vocabulary].

        Raises:
            UserError: the sequence would exceed what the model or its pool can hold.
        """
        if len(ids) > 1:
            self._drop_draft()
            logits = self._cache.feed(ids)
            self._read_along(ids)
            return logits
        (token,) = ids
        if self._draft and self._logits is not None and self._is_next(token):
            self._lookup.add(token)
            del self._draft[0], self._proposals[:1]
            self._logits = self._logits[1:]
            return self._logits[0]
        self._drop_draft()
        return self._read(token)

    def _is_next(self, token: int) -> bool:
        """Whether the token is the next one of the draft."""
        accepted = self._draft[0] == token
        if self._drafter is not None and self._proposals:
            self._drafter.note_token(accepted)
        return accepted

    def feed_all(self, ids: Sequence[int]) -> np.ndarray:
        """Like `feed`, for a prompt; see `PagedCache.feed_all`."""
        self._drop_draft()
        logits = self._cache.feed_all(ids)
        self._read_along(ids)
        return logits

    def _read_along(self, ids: Sequence[int]) -> None:
        self._lookup.read(ids)
        if self._drafter is not None:
            self._drafter.read(self._cache.ids)

    def truncate(self, length: int) -> None:
        """Truncates the sequence to its first `length` tokens."""
        self._drop_draft()
        self._cache.truncate(length)
        self._lookup.truncate(length)

    def _read(self, token: int) -> np.ndarray:
        self._lookup.add(token)
        draft = self._new_draft(token)
        started = time.perf_counter()
        try:
            self._logits = self._cache.feed_all([token, *draft])
        finally:
            if self._logits is None:
                self._lookup.truncate(len(self._cache.ids))
                self._proposals = []
        if self._drafter is not None and self._drafter.is_answering and len(draft) == len(self._proposals):
            self._drafter.note_call(len(draft), time.perf_counter() - started)
        self._draft, self._vocabulary = draft, self._logits.shape[-1]
        return self._logits[0]

    def _new_draft(self, token: int) -> list[int]:
        if self._model.prices is None:
            return []
        room = self._model.max_length - len(self._cache.ids) - 1
        count = self._lookup.best_count(self._model.prices, self._model.last_others, self._model.last_rows)
        if 0 < count <= room:
            return self._lookup.guesses(count)
        # The first call says how many logits there are.
        if self._drafter is None or not self._drafter.is_answering or not self._vocabulary:
            return []
        count = min(self._drafter.length.next_count(self._model.prices.of), room)
        if count > 0:
            self._proposals = self._drafter.draft([*self._cache.ids, token], count, self._vocabulary)
        return [proposal.token for proposal in self._proposals]

    def _drop_draft(self) -> None:
        if self._draft:
            self._cache.truncate(len(self._cache.ids) - len(self._draft))
        self._draft, self._proposals, self._logits = [], [], None
