"""Prompt lookup: where the last tokens occurred before, what followed them is verified instead of generated.

The idea is Apoorv Saxena's (https://github.com/apoorvumang/prompt-lookup-decoding). A call that reads several tokens
costs little more than one that reads a single one, so guesses are free where they are right. They are made behind
`feed`: the caller samples every token from the model's own logits after exactly the tokens before it, with or without
guesses, so the answer is the same.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

from engine.block_pool import common_length

import numpy as np

# Tokens that have to agree before what followed them is looked at.
NGRAM = 3

# How far back it is counted how many agree.
LONGEST_MATCH = 32

# How many tokens may be guessed. A few sizes only: each change of the number of tokens in a call has a price.
GUESSES = (3, 7, 15)

# How likely the next guess is right after 3, 4, 8, 16 and 32 tokens that agree, as long as nothing is known of a text,
# how many guesses that weighs as much as, and by how much each is outweighed by the next.
PRIOR = (0.4, 0.6, 0.8, 0.9, 0.95)
PRIOR_WEIGHT = 2
MEMORY = 0.95

# A call that reads several tokens has to promise so much more than one that reads a single one.
MARGIN = 1.1


class PromptLookup:
    """The tokens of a conversation, and what they say of the next ones.

    Attributes:
        ids: all tokens so far.
    """

    def __init__(self) -> None:
        self.ids: list[int] = []
        self._places: dict[tuple[int, ...], int] = {}  # where each n-gram ended last; may be of tokens since cut off
        self._match = 0  # the place whose token should come next
        self._agreeing = 0  # how many tokens before it agree with the last ones; 0: no match
        self._right = [PRIOR_WEIGHT * share for share in PRIOR]
        self._made = [float(PRIOR_WEIGHT)] * len(PRIOR)

    def truncate(self, length: int) -> None:
        """Forgets all tokens but the first ones."""
        if length < len(self.ids):
            del self.ids[length:]
            self._agreeing = 0

    def read(self, ids: Sequence[int]) -> None:
        """Takes note of tokens of a prompt."""
        start = len(self.ids)
        self.ids += ids
        for end in range(max(start + 1, NGRAM), len(self.ids)):
            self._places[tuple(self.ids[end - NGRAM : end])] = end
        self._find()

    def add(self, token: int) -> None:
        """Takes note of a token of the answer, and of whether it would have been guessed."""
        if self._agreeing:
            self._count(self.ids[self._match] == token)
        self.ids.append(token)
        self._find()

    def _count(self, right: bool) -> None:
        kind = kind_of(self._agreeing)
        self._made[kind] = self._made[kind] * MEMORY + 1
        self._right[kind] = self._right[kind] * MEMORY + right
        self._match += 1
        self._agreeing = min(self._agreeing + 1, LONGEST_MATCH) if right else 0

    def _find(self) -> None:
        """Looks for the last tokens earlier on, unless it is known already where they are."""
        key = tuple(self.ids[-NGRAM:])
        place = self._places.get(key)
        if len(key) == NGRAM:
            self._places[key] = len(self.ids)
        if self._agreeing == 0 and place is not None and place < len(self.ids):
            self._match = place
            self._agreeing = agreeing(self.ids, place)

    def likely(self, count: int) -> float:
        """How many of `count` guesses will be right before the first that is wrong."""
        chance, expected = 1.0, 0.0
        for agreeing in range(self._agreeing, self._agreeing + count):
            kind = kind_of(agreeing)
            chance *= self._right[kind] / self._made[kind]
            expected += chance
        return expected

    def guesses(self, count: int) -> list[int]:
        """What should come next; over the end it goes on as the text would repeat itself."""
        following = self.ids[self._match : self._match + count]
        while following and len(following) < count:
            following += following[: count - len(following)]
        return following

    def best_count(self, prices: "Prices", others: int, last_rows: int) -> int:
        """How many tokens to guess, so that most tokens come out of each second; 0 where guesses don't pay.

        Args:
            prices: what calls cost.
            others: tokens of other conversations in the same call.
            last_rows: tokens in the call before.
        """
        if self._agreeing == 0:
            return 0
        there_and_back = 2 if last_rows == others + 1 else 1

        def rate(count: int) -> float:
            rows = others + 1 + count
            changes = (rows != last_rows) * (there_and_back if count else 1)
            return (others + 1 + self.likely(count)) / (prices.of(rows) + changes * prices.change)

        best = max(GUESSES, key=rate)
        return best if rate(best) > MARGIN * rate(0) else 0


def agreeing(ids: Sequence[int], place: int) -> int:
    """How many tokens before a place agree with the last ones; 0 where they are fewer than an n-gram."""
    length = min(place, LONGEST_MATCH)
    count = common_length(ids[place - length : place][::-1], ids[-length:][::-1])
    return count if count >= NGRAM else 0


def kind_of(agreeing: int) -> int:
    """Which of the kinds of matches that `PRIOR` tells apart."""
    return min(agreeing.bit_length() - NGRAM.bit_length(), len(PRIOR) - 1)


class Prices:
    """What calls with some number of tokens cost on this machine, in seconds.

    Args:
        measured: by the number of tokens, at least two; between and beyond them the price is on a straight line.
        change: what it costs that a call has another number of tokens than the one before.
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


class GuessingModel(Protocol):
    """What a cache with guesses needs of its model: see `engine.paged_cache.PagedModel`.

    Attributes:
        max_length: how many tokens it can hold.
        prices: of its calls; None: it makes no guesses.
        last_rows: how many tokens its last call had.
        last_others: how many conversations beside this one took part in it.
    """

    max_length: int
    prices: Prices | None
    last_rows: int
    last_others: int


class GuessingCache(Protocol):
    """A cache that is guessed for: see `engine.paged_cache.PagedCache`."""

    ids: list[int]

    def feed_all(self, ids: Sequence[int]) -> np.ndarray: ...

    def feed(self, ids: Sequence[int]) -> np.ndarray: ...

    def truncate(self, length: int) -> None: ...

    def trim_to_prefix(self, ids: Sequence[int]) -> int: ...

    def reset(self) -> None: ...

    def release(self) -> None: ...


class LookupCache:
    """A cache that may have read more than it was fed: guesses, which are right or cut off again.

    Args:
        cache: what it reads into.
        model: of that cache.
    """

    def __init__(self, cache: GuessingCache, model: GuessingModel) -> None:
        self._cache = cache
        self._model = model
        self._lookup = PromptLookup()
        self._guesses: list[int] = []  # read already, and not fed yet
        self._logits: np.ndarray | None = None  # after each of them

    @property
    def ids(self) -> list[int]:
        """The tokens that were fed, in order."""
        return self._cache.ids[: len(self._cache.ids) - len(self._guesses)]

    def reset(self) -> None:
        """Forgets the tokens."""
        self._forget_guesses()
        self._cache.reset()
        self._lookup = PromptLookup()

    def release(self) -> None:
        """Gives the memory back; what is needed of it is read again."""
        self._cache.release()

    def trim_to_prefix(self, ids: Sequence[int]) -> int:
        """As in `PagedCache`."""
        self._guesses, self._logits = [], None
        held = self._cache.trim_to_prefix(ids)
        self._lookup.truncate(common_length(self._lookup.ids, self._cache.ids))
        self._lookup.read(self._cache.ids[len(self._lookup.ids) :])
        return held

    def feed(self, ids: Sequence[int]) -> np.ndarray:
        """Appends tokens to the sequence and returns the logits after the last one, float32 [vocabulary].

        Raises:
            UserError: the sequence would be longer than the model or its pool can hold.
        """
        if len(ids) > 1:
            self._forget_guesses()
            logits = self._cache.feed(ids)
            self._lookup.read(ids)
            return logits
        (token,) = ids
        if self._guesses and self._guesses[0] == token and self._logits is not None:
            self._lookup.add(token)
            del self._guesses[0]
            self._logits = self._logits[1:]
            return self._logits[0]
        self._forget_guesses()
        return self._read(token)

    def _read(self, token: int) -> np.ndarray:
        self._lookup.add(token)
        guesses = self._new_guesses()
        try:
            self._logits = self._cache.feed_all([token, *guesses])
        finally:
            if self._logits is None:
                self._lookup.truncate(len(self._cache.ids))
        self._guesses = guesses
        return self._logits[0]

    def _new_guesses(self) -> list[int]:
        if self._model.prices is None:
            return []
        count = self._lookup.best_count(self._model.prices, self._model.last_others, self._model.last_rows)
        room = self._model.max_length - len(self._cache.ids) - 1
        return self._lookup.guesses(count) if count <= room else []

    def _forget_guesses(self) -> None:
        if self._guesses:
            self._cache.truncate(len(self._cache.ids) - len(self._guesses))
        self._guesses, self._logits = [], None
