"""DRY: a penalty on tokens that would continue a repetition of the text so far.

By p-e-w: https://github.com/oobabooga/text-generation-webui/pull/5677. This is llama.cpp's definition, with its limits:
https://github.com/ggml-org/llama.cpp/blob/master/src/llama-sampling.cpp (`llama_sampler_dry_apply`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from llm_chatbot.engine.decode.logprobs import token_bytes
from llm_chatbot.engine.text.tokenizer import ChatTokenizer

# llama.cpp's defaults.
BREAKERS = ("\n", ":", '"', "*")

# The natural logarithm of the largest float32, which bounds the exponent.
LOG_OF_LARGEST = 88.7228391

# The most tokens of a breaker after its first, as in llama.cpp.
LONGEST_REST = 20

# What ends a repetition: for each token that begins a breaker, the rests that may follow; none for a whole breaker.
Breakers = Mapping[int, Sequence[Sequence[int]]]


@dataclass(frozen=True)
class Dry:
    """
    Attributes:
        multiplier: of the penalty.
        base: the penalty of a repetition of n tokens is multiplier * base ** (n - allowed_length).
        allowed_length: the longest repetition without a penalty, in tokens.
        last_n: how many of the last tokens are looked at; -1 all, 0 none.
        breakers: texts over which a repetition is not followed.

    Raises:
        ValueError: a value is out of range.
    """

    multiplier: float
    base: float = 1.75
    allowed_length: int = 2
    last_n: int = -1
    breakers: tuple[str, ...] = BREAKERS

    def __post_init__(self) -> None:
        in_range = 0 <= self.multiplier < math.inf and 1 <= self.base < math.inf
        if not (in_range and self.allowed_length >= 0 and self.last_n >= -1):
            raise ValueError(f"multiplier, allowed_length >= 0, base >= 1, last_n >= -1: {self}")

    @property
    def longest(self) -> float:
        """The length from which on a longer repetition has no higher penalty."""
        log = math.log(self.base)
        return self.allowed_length + (int(LOG_OF_LARGEST / log) if log > 1e-6 else 0)


class DryPenalty:
    """The penalty for one answer; an `llm_chatbot.engine.decode.constraints.TokenConstraint`.

    Args:
        dry: how high it is.
        ids: the tokens before the answer.
        breakers: see `token_breakers`.
    """

    def __init__(self, dry: Dry, ids: Sequence[int], breakers: Breakers) -> None:
        self._dry, self._breakers = dry, breakers
        self._ids = np.array(ids, dtype=np.int64)
        self._heads = np.fromiter(breakers.keys(), dtype=np.int64)
        self._whole = {head for head, rests in breakers.items() if not all(rests)}

    def mask(self, logits: np.ndarray) -> None:
        """Lowers the logits of tokens that would continue a repetition, in place; float32 [vocabulary]."""
        for token, length in self.lengths().items():
            if token not in self._whole:
                logits[token] -= self._dry.multiplier * self._dry.base ** (length - self._dry.allowed_length)

    def accept(self, token: int) -> None:
        self._ids = np.append(self._ids, token)

    def lengths(self) -> dict[int, int]:
        """For each token that would continue a repetition that is long enough, the length of what it repeats."""
        dry = self._dry
        ids = self._ids[-dry.last_n :] if dry.last_n > 0 else self._ids[: None if dry.last_n else 0]
        limit = min(self._since_breaker(ids), len(ids) - 1, dry.longest)
        if limit < dry.allowed_length or len(ids) <= dry.allowed_length:
            return {}
        ends = np.arange(len(ids) - 1)  # where an earlier occurrence of the last tokens may end
        found: dict[int, int] = {}
        for length in range(int(limit) + 1):
            if length:
                ends = ends[ends >= length - 1]
                ends = ends[ids[ends - length + 1] == ids[-length]]
            if not ends.size:
                break
            if length >= dry.allowed_length:
                found |= dict.fromkeys(ids[ends + 1].tolist(), length)
        return found

    def _since_breaker(self, ids: np.ndarray) -> int:
        """How many tokens there are since the last breaker."""
        for place in np.flatnonzero(np.isin(ids, self._heads))[::-1].tolist():
            after = len(ids) - 1 - place
            rests = [rest for rest in self._breakers[int(ids[place])] if len(rest) <= after]
            lengths = [len(rest) for rest in rests if ids[place + 1 : place + 1 + len(rest)].tolist() == list(rest)]
            if lengths:
                return after - max(lengths)
        return len(ids)


@lru_cache(maxsize=8)
def token_breakers(tokenizer: ChatTokenizer, breakers: tuple[str, ...]) -> Breakers:
    """The tokens in which a breaker occurs or begins, with the tokens that complete it."""
    found: dict[int, list[Sequence[int]]] = {}
    for id, text in enumerate(_token_texts(tokenizer)):
        for breaker in breakers:
            if breaker in text:
                found.setdefault(id, []).append(())
                continue
            for size in range(1, min(len(text), len(breaker) - 1) + 1):
                if text.endswith(breaker[:size]):
                    rest = tokenizer(breaker[size:], add_special_tokens=False)["input_ids"]
                    found.setdefault(id, []).append(tuple(rest[:LONGEST_REST]))
    return found


@lru_cache(maxsize=2)
def _token_texts(tokenizer: ChatTokenizer) -> Sequence[str]:
    backend: Any = tokenizer.backend_tokenizer
    size = max(backend.get_vocab(with_added_tokens=True).values(), default=-1) + 1
    return [token_bytes(backend, id).decode("utf-8", "replace") for id in range(size)]
