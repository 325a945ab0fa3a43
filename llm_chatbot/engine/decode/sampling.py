"""Choosing the next token from the logits, in NumPy.

The distribution is the same as that of Transformers' logits processors. Using those would mean going through
PyTorch, which costs about a third of the speed on a small model.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

# Lower temperatures are greedy decoding too: dividing float32 logits by them would overflow.
LOWEST_TEMPERATURE = 1e-5

# So many tokens count as the best ones.
BEST_TOKENS = 256

# Partitioning a whole vocabulary is slow. The maxima of chunks of this size tell which tokens can be left out before.
CHUNK = 128


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen. The names are those of `transformers.GenerationConfig`, OpenAI's API and llama.cpp.

    Attributes:
        temperature: divides the logits; 0 is greedy decoding.
        top_k: samples from the k most likely tokens; 0 from all.
        top_p: samples from the most likely tokens that together reach this probability; 1 from all, 0 from the first.
        min_p: samples from the tokens that are at least this many times as likely as the most likely one; 0 from all.
        repetition_penalty: above 1, tokens that have occurred become less likely; 1 has no effect.
        presence_penalty: is subtracted from the logits of tokens that the answer already has.
        frequency_penalty: is subtracted as often as the answer already has them.
        logit_bias: is added to the logits of tokens, by their ids; -inf excludes one.
        xtc_probability: how often the likeliest tokens are excluded, see `exclude_top_choices`; 0 never.
        xtc_threshold: the probability from which on they are. Above 0.5 there can be only one, which stays.

    Raises:
        ValueError: a value is out of range.
    """

    temperature: float = 0.0
    top_k: int = 0
    top_p: float = 1.0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: Mapping[int, float] = field(default_factory=dict)
    xtc_probability: float = 0.0
    xtc_threshold: float = 0.1

    def __post_init__(self) -> None:
        in_range = (  # false for NaN, too
            0 <= self.temperature < math.inf
            and self.top_k >= 0
            and 0 <= self.top_p <= 1
            and 0 <= self.min_p <= 1
            and 0 < self.repetition_penalty < math.inf
            and math.isfinite(self.presence_penalty)
            and math.isfinite(self.frequency_penalty)
            and all(bias < math.inf for bias in self.logit_bias.values())
            and 0 <= self.xtc_probability <= 1
            and 0 <= self.xtc_threshold <= 1
        )
        if not in_range:
            raise ValueError(
                "temperature and top_k must be >= 0, probabilities in [0, 1], repetition_penalty > 0, the other "
                f"penalties finite: {self}"
            )

    @property
    def needs_best_only(self) -> bool:
        """Whether unlikely tokens are never chosen, so that hardly anything depends on their exact logits."""
        is_limited = self.top_k > 0 or self.top_p < 1 or self.min_p > 0
        return self.temperature < LOWEST_TEMPERATURE or (is_limited and self.top_k <= BEST_TOKENS)


def candidates(logits: np.ndarray, seen: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """The tokens to sample from, and their probabilities.

    The order is that of Transformers: penalty, temperature, top-k, top-p, min-p.

    Args:
        logits: float32 [vocabulary]; -inf excludes a token.
        seen: ids of the tokens to penalise; duplicates are penalised once.
        sampling: with a temperature above 0.

    Returns:
        ids [n] and probabilities [n], the most likely first if top-k or top-p leaves out some.
    """
    return kept(apply_repetition_penalty(logits, seen, sampling.repetition_penalty), sampling)


def kept(logits: np.ndarray, sampling: Sampling) -> tuple[np.ndarray, np.ndarray]:
    """`candidates` of logits to which penalties have been applied."""
    ids = np.arange(logits.size)
    if 0 < sampling.top_k < logits.size:
        # Temperature does not change the order, so it is applied later, to fewer tokens.
        ids = most_likely(logits, sampling.top_k)
    if ids.size < logits.size or sampling.top_p < 1:
        ids = ids[np.argsort(-logits[ids], kind="stable")]
    scaled = logits[ids] / sampling.temperature
    probabilities = np.exp(scaled - scaled.max())
    probabilities /= probabilities.sum()
    if sampling.top_p < 1:
        # A token is kept if those before it do not reach top_p yet, so the first one always is.
        count = int(np.searchsorted(np.cumsum(probabilities), sampling.top_p)) + 1
        ids, probabilities = ids[:count], probabilities[:count]
    if sampling.min_p > 0:
        likely = probabilities >= sampling.min_p * probabilities.max()
        ids, probabilities = ids[likely], probabilities[likely]
    return ids, probabilities / probabilities.sum()


def most_likely(logits: np.ndarray, count: int) -> np.ndarray:
    """Ids of the `count` largest logits, in ascending order. Ties with the last are kept, as in Transformers."""
    ids, chunks = np.arange(logits.size), logits.size // CHUNK
    if chunks >= count:  # that many chunks reach the bound, so the last one to keep does too
        largest = logits[: chunks * CHUNK].reshape(chunks, CHUNK).max(axis=1)
        ids = np.flatnonzero(logits >= np.partition(largest, -count)[-count])
    some = logits[ids]
    return ids[some >= np.partition(some, -count)[-count]]


def apply_repetition_penalty(logits: np.ndarray, seen: np.ndarray, penalty: float) -> np.ndarray:
    """Lowers the logits of `seen` if the penalty is above 1 (Keskar et al. 2019, arXiv:1909.05858)."""
    if penalty == 1:
        return logits
    logits = logits.copy()
    logits[seen] = np.where(logits[seen] < 0, logits[seen] * penalty, logits[seen] / penalty)
    return logits


def sample(logits: np.ndarray, seen: np.ndarray, sampling: Sampling, random: np.random.Generator) -> int:
    """The next token's id, for logits float32 [vocabulary]; `seen` as for `candidates`."""
    return choose(apply_repetition_penalty(logits, seen, sampling.repetition_penalty), sampling, random)


@dataclass(frozen=True)
class Proposal:
    """A token that a draft model has drawn.

    Attributes:
        token: its id.
        ids, probabilities: the distribution it was drawn from, [n]; ids that are not in it have none.
    """

    token: int
    ids: np.ndarray
    probabilities: np.ndarray


def propose(logits: np.ndarray, sampling: Sampling, random: np.random.Generator) -> Proposal:
    """Draws a token for `choose` to decide on, by a draft model's logits float32 [vocabulary] with penalties."""
    if sampling.temperature < LOWEST_TEMPERATURE:
        token = int(logits.argmax())
        return Proposal(token, np.array([token]), np.ones(1))
    ids, probabilities = kept(logits, sampling)
    return Proposal(draw(ids, probabilities, random), ids, probabilities)


def choose(
    logits: np.ndarray, sampling: Sampling, random: np.random.Generator, proposal: Proposal | None = None
) -> int:
    """The next token's id, for logits float32 [vocabulary] to which penalties have been applied.

    Args:
        proposal: is accepted as often as the distribution of the choice allows, which stays the same.
    """
    is_greedy = sampling.temperature < LOWEST_TEMPERATURE
    excludes = sampling.xtc_probability > 0 and random.random() < sampling.xtc_probability
    if is_greedy and not excludes:
        return int(logits.argmax())
    ids, probabilities = kept(logits, replace(sampling, temperature=1.0) if is_greedy else sampling)
    if excludes:
        ids, probabilities = exclude_top_choices(ids, probabilities, logits, sampling.xtc_threshold)
    if is_greedy:
        return int(ids[probabilities.argmax()])
    if proposal is not None:
        return accept_or_draw(ids, probabilities, proposal, random)
    return draw(ids, probabilities, random)


def accept_or_draw(ids: np.ndarray, probabilities: np.ndarray, proposal: Proposal, random: np.random.Generator) -> int:
    """A token of a distribution, as often the proposed one as can be (Leviathan et al. 2023, arXiv:2211.17192, 2.3).

    It is accepted with the probability p / q, at most 1. Otherwise a token is drawn by what p has more than q.

    Args:
        ids, probabilities: as from `candidates`.
    """
    proposed = np.zeros(max(ids.max(), proposal.ids.max()) + 1)
    proposed[proposal.ids] = proposal.probabilities
    wanted = float(probabilities[ids == proposal.token].sum())
    if random.random() * proposed[proposal.token] < wanted:
        return proposal.token
    more = np.maximum(probabilities - proposed[ids], 0)
    return draw(ids, more if more.any() else probabilities, random)


def draw(ids: np.ndarray, weights: np.ndarray, random: np.random.Generator) -> int:
    """An id [n], as often as its weight [n] says."""
    cumulative = np.cumsum(weights)
    # After rounding, the sum may be slightly below 1; past it there may be a token of probability 0.
    drawn = int(np.searchsorted(cumulative, random.random() * float(cumulative[-1]), side="right"))
    return int(ids[min(drawn, ids.size - 1)])


def exclude_top_choices(
    ids: np.ndarray, probabilities: np.ndarray, logits: np.ndarray, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """XTC: of the tokens that are likely enough, only the least likely is kept; the unlikely ones stay.

    As in llama.cpp, what is compared with the threshold are the probabilities among `ids` without the temperature:
    https://github.com/ggml-org/llama.cpp/blob/master/src/llama-sampling.cpp (`llama_sampler_xtc_apply`).

    Args:
        ids, probabilities: as from `candidates`.
        logits: float32 [vocabulary].
    """
    shares = np.exp(logits[ids] - logits[ids].max())
    shares /= shares.sum()
    likely = np.flatnonzero(shares >= threshold)
    if likely.size < 2:
        return ids, probabilities
    stays = np.ones(ids.size, dtype=bool)
    stays[likely] = False
    stays[likely[shares[likely].argmin()]] = True
    return ids[stays], probabilities[stays] / probabilities[stays].sum()


def can_choose(logits: np.ndarray) -> bool:
    """Whether a token can be chosen by logits float32 [..., vocabulary]: none is NaN, and not all of a row are -inf."""
    return bool(np.isfinite(logits.max(axis=-1)).all())  # the maximum is NaN where one of them is


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """The logarithms of the probabilities, float32 [..., vocabulary] like the logits."""
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
