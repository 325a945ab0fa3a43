"""Choosing the next token from the logits, in NumPy.

The distribution is the same as that of Transformers' logits processors. Using those would mean going through
PyTorch, which costs about a third of the speed on a small model.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. The names are those of `transformers.GenerationConfig`.

    Attributes:
        temperature: divides the logits; 0 is greedy decoding.
        top_k: samples from the k most likely tokens; 0 from all.
        top_p: samples from the most likely tokens that together reach this probability; 1 from all.
        repetition_penalty: above 1, tokens that have occurred become less likely; 1 has no effect.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        if self.temperature < 0 or self.top_k < 0 or not 0 < self.top_p <= 1 or self.repetition_penalty <= 0:
            raise ValueError(f"temperature and top_k must be >= 0, top_p in (0, 1], the penalty > 0: {self}")


def candidates(logits: np.ndarray, seen: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """The tokens to sample from, and their probabilities.

    The order is that of Transformers: penalty, temperature, top-k, top-p.

    Args:
        logits: float32 [vocabulary].
        seen: ids of the tokens to penalise; duplicates are penalised once.
        sampling: with a temperature above 0.

    Returns:
        ids [n] and probabilities [n], the most likely first unless all tokens are considered.
    """
    logits = apply_repetition_penalty(logits, seen, sampling.repetition_penalty)
    ids = np.arange(logits.size)
    if 0 < sampling.top_k < logits.size:
        # Temperature does not change the order, so it is applied later, to fewer tokens.
        # Ties with the k-th are kept, as in Transformers.
        ids = np.flatnonzero(logits >= np.partition(logits, -sampling.top_k)[-sampling.top_k])
    if ids.size < logits.size or sampling.top_p < 1:
        ids = ids[np.argsort(-logits[ids], kind="stable")]
    scaled = logits[ids] / sampling.temperature
    probabilities = np.exp(scaled - scaled.max())
    probabilities /= probabilities.sum()
    if sampling.top_p < 1:
        # A token is kept if those before it do not reach top_p yet, so the first one always is.
        count = int(np.searchsorted(np.cumsum(probabilities), sampling.top_p)) + 1
        ids, probabilities = ids[:count], probabilities[:count] / probabilities[:count].sum()
    return ids, probabilities


def apply_repetition_penalty(logits: np.ndarray, seen: np.ndarray, penalty: float) -> np.ndarray:
    """Lowers the logits of `seen` if the penalty is above 1 (Keskar et al. 2019, arXiv:1909.05858)."""
    if penalty == 1:
        return logits
    logits = logits.copy()
    logits[seen] = np.where(logits[seen] < 0, logits[seen] * penalty, logits[seen] / penalty)
    return logits


def sample(logits: np.ndarray, seen: np.ndarray, sampling: Sampling, random: np.random.Generator) -> int:
    """The next token's id, for logits float32 [vocabulary]."""
    if sampling.temperature == 0:
        return int(apply_repetition_penalty(logits, seen, sampling.repetition_penalty).argmax())
    ids, probabilities = candidates(logits, seen, sampling)
    drawn = int(np.searchsorted(np.cumsum(probabilities), random.random(), side="right"))
    return int(ids[min(drawn, ids.size - 1)])  # after rounding, the sum may be slightly below 1
