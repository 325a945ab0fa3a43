"""Changes the logits of single tokens before one is chosen: biases, and penalties on tokens that have occurred."""

from collections.abc import Sequence
from copy import copy

import numpy as np

from llm_chatbot.engine.decode.sampling import Sampling, apply_repetition_penalty


class Penalties:
    """The biases and penalties of one answer, in llama.cpp's order: bias, repetition, frequency and presence.

    OpenAI's penalties count the tokens of the answer alone, the repetition penalty looks at the prompt too:
    https://platform.openai.com/docs/guides/text-generation ("Frequency and presence penalties") and
    arXiv:1909.05858 (Keskar et al. 2019).

    Args:
        sampling: those of it that are 0, or 1 for the repetition penalty, cost nothing.
        ids: the tokens before the answer; negative ones are of pictures, and count for nothing.
    """

    def __init__(self, sampling: Sampling, ids: Sequence[int]) -> None:
        self._sampling = sampling
        seen = np.unique(np.array(ids, dtype=np.int64))
        self._seen = seen[seen >= 0]  # others are of pictures; `accept` may append duplicates: they count once
        self._biased = np.fromiter(sampling.logit_bias.keys(), dtype=np.int64)
        self._biases = np.fromiter(sampling.logit_bias.values(), dtype=np.float32)
        self._counts: dict[int, int] = {}  # how often the answer has each token

    def applied(self, logits: np.ndarray) -> np.ndarray:
        """The logits, float32 [vocabulary], as they are or a changed copy. Biases of ids beyond them are left out."""
        if self._biased.size:
            logits = logits.copy()
            known = self._biased < logits.size
            logits[self._biased[known]] += self._biases[known]
        logits = apply_repetition_penalty(logits, self._seen, self._sampling.repetition_penalty)
        if self._counts and self._counts_matter:
            ids = np.fromiter(self._counts.keys(), dtype=np.int64)
            counts = np.fromiter(self._counts.values(), dtype=np.float32)
            logits = logits.copy()
            logits[ids] -= counts * self._sampling.frequency_penalty + self._sampling.presence_penalty
        return logits

    def accept(self, token: int) -> None:
        """Records the next token of the answer."""
        if self._sampling.repetition_penalty != 1:
            self._seen = np.append(self._seen, token)
        if self._counts_matter:
            self._counts[token] = self._counts.get(token, 0) + 1

    def copy(self) -> "Penalties":
        """One that goes on from here by itself."""
        copied = copy(self)
        copied._counts = dict(self._counts)
        return copied

    @property
    def may_raise(self) -> bool:
        """Whether they can make a token likelier: then one that was not among the best may be chosen."""
        least = min(self._sampling.frequency_penalty, self._sampling.presence_penalty)
        return bool(self._biased.size) or self._sampling.repetition_penalty < 1 or least < 0

    @property
    def _counts_matter(self) -> bool:
        return self._sampling.frequency_penalty != 0 or self._sampling.presence_penalty != 0
