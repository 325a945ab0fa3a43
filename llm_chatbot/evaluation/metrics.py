"""How far a variant's predictions are from the 16-bit ones, in NumPy."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

import numpy as np


def rolling_windows(ids: Sequence[int], prefix: int, length: int) -> Iterator[tuple[list[int], list[int]]]:
    """Cuts a text into windows in which each of its tokens is predicted once.

    These are the windows of lm-eval's `get_rolling_token_windows` with a context of one token: the last one is filled
    up with the tokens before it.

    Args:
        ids: the text.
        prefix: the token that stands before the text, so that its first token is predicted too.
        length: tokens that are fed at most.

    Yields:
        (fed, predicted): the last `len(predicted)` positions of what is fed predict these tokens.
    """
    context = [prefix, *ids]
    for start in range(0, len(ids), length):
        end = min(start + length, len(ids))
        yield context[max(0, end - length) : end], list(ids[start:end])


@dataclass(frozen=True)
class TokenScores:
    """How a variant predicts a text, token by token; each an array [tokens].

    Attributes:
        log_likelihood: of the text's own tokens, in nats.
        kl: Kullback-Leibler divergence of the variant's distribution from the 16-bit one, D(16-bit ‖ variant), in nats.
        same_top: whether both find the same token likeliest.
    """

    log_likelihood: np.ndarray
    kl: np.ndarray
    same_top: np.ndarray

    @property
    def perplexity(self) -> float:
        """Per token: exp of the mean negative log-likelihood."""
        return float(np.exp(-self.log_likelihood.mean()))


def score_tokens(reference: np.ndarray, found: np.ndarray, ids: Sequence[int]) -> TokenScores:
    """Scores predictions.

    Args:
        reference: the 16-bit variant's `log_softmax`, [tokens, vocabulary].
        found: the other variant's, likewise.
        ids: the tokens that the text has at these positions.
    """
    kl = (np.exp(reference) * (reference - found)).sum(axis=-1)
    return TokenScores(found[np.arange(len(ids)), ids], kl, reference.argmax(-1) == found.argmax(-1))


def concatenate(scores: Sequence[TokenScores]) -> TokenScores:
    """The scores of several texts as those of one."""
    names = ("log_likelihood", "kl", "same_top")
    return TokenScores(*(np.concatenate([getattr(each, name) for each in scores]) for name in names))


def divergence(reference: Sequence[int], found: Sequence[int]) -> tuple[int, int]:
    """FDT and SDT of an answer, as Who-What-Benchmark (openvino.genai, tools/who_what_benchmark) defines them.

    Args:
        reference: the 16-bit variant's answer. Who-What-Benchmark tokenizes the answers' texts again; these are the
            tokens as they were generated.
        found: the other variant's.

    Returns:
        First divergent token: how many tokens both answers begin with.
        Share of divergent tokens: how many tokens of `found` have to be corrected; a number, in spite of its name.
    """
    blocks = SequenceMatcher(None, reference, found).get_matching_blocks()
    first = blocks[0]
    same_start = first.size if first.a == 0 and first.b == 0 else 0
    return same_start, len(found) - sum(block.size for block in blocks)
