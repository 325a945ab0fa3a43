import math

import numpy as np
import pytest
import torch
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from llm_chatbot.engine.decode.sampling import (
    Proposal,
    Sampling,
    accept_or_draw,
    candidates,
    choose,
    log_softmax,
    most_likely,
    propose,
    sample,
)

NOTHING_SEEN = np.array([], dtype=np.int64)


def transformers_probabilities(logits: np.ndarray, seen: np.ndarray, sampling: Sampling) -> np.ndarray:
    processors = LogitsProcessorList()
    if sampling.repetition_penalty != 1:
        processors.append(RepetitionPenaltyLogitsProcessor(sampling.repetition_penalty))
    processors.append(TemperatureLogitsWarper(sampling.temperature))
    if sampling.top_k:
        processors.append(TopKLogitsWarper(sampling.top_k))
    if sampling.top_p < 1:
        processors.append(TopPLogitsWarper(sampling.top_p))
    if sampling.min_p:
        processors.append(MinPLogitsWarper(sampling.min_p))
    scores = processors(torch.from_numpy(seen)[None], torch.from_numpy(logits.copy())[None])
    return torch.softmax(scores, dim=-1)[0].numpy()


@pytest.mark.parametrize("seed", range(100))
def test_the_distribution_is_that_of_transformers(seed: int):
    random = np.random.default_rng(seed)
    size = int(random.choice([5, 300, 5000]))
    logits = random.normal(scale=random.choice([0.5, 3, 10]), size=size).astype(np.float32)
    seen = np.unique(random.integers(0, size, size=random.integers(1, 50)))
    sampling = Sampling(
        temperature=float(random.choice([0.1, 0.7, 1.0, 1.9])),
        top_k=int(random.choice([0, 1, 3, 50, 10_000])),
        top_p=float(random.choice([0.05, 0.5, 0.9, 1.0])),
        repetition_penalty=float(random.choice([1.0, 1.1, 1.8, 0.9])),
        min_p=float(random.choice([0.0, 0.02, 0.3, 1.0])),
    )
    found = np.zeros(size)
    ids, probabilities = candidates(logits, seen, sampling)
    found[ids] = probabilities
    np.testing.assert_allclose(found, transformers_probabilities(logits, seen, sampling), atol=1e-5)


def test_temperature_0_takes_the_likeliest_after_the_penalty():
    logits = np.array([1.0, 3.0, 2.9], dtype=np.float32)
    random = np.random.default_rng(0)
    assert sample(logits, NOTHING_SEEN, Sampling(), random) == 1
    assert sample(logits, np.array([1]), Sampling(repetition_penalty=1.5), random) == 2


def test_tokens_are_drawn_as_often_as_they_are_likely():
    logits = np.log(np.array([0.5, 0.3, 0.2], dtype=np.float32))
    random = np.random.default_rng(0)
    drawn = [sample(logits, NOTHING_SEEN, Sampling(temperature=1), random) for _ in range(5000)]
    np.testing.assert_allclose(np.bincount(drawn) / 5000, [0.5, 0.3, 0.2], atol=0.03)


def test_a_top_p_of_0_leaves_the_likeliest_token():
    logits = np.array([1.0, 3.0, 2.9], dtype=np.float32)
    ids, probabilities = candidates(logits, NOTHING_SEEN, Sampling(temperature=2, top_p=0))
    assert (ids.tolist(), probabilities.tolist()) == ([1], [1])


@pytest.mark.parametrize(
    ("sampling", "left"),
    [
        (Sampling(1.0, xtc_probability=1, xtc_threshold=0.1), {2, 3}),
        (Sampling(5.0, xtc_probability=1, xtc_threshold=0.1), {2, 3}),  # the temperature has no say in it
        (Sampling(1.0, xtc_probability=1, xtc_threshold=0.3), {1, 2, 3}),
        (Sampling(1.0, xtc_probability=1, xtc_threshold=0.51), {0, 1, 2, 3}),
        (Sampling(1.0, top_k=2, xtc_probability=1, xtc_threshold=0.1), {1}),
        (Sampling(0.0, xtc_probability=1, xtc_threshold=0.1), {2}),
        (Sampling(0.0, xtc_probability=0), {0}),
    ],
)
def test_xtc_keeps_only_the_least_likely_of_the_top_choices(sampling: Sampling, left: set[int]):
    logits = np.log(np.array([0.5, 0.3, 0.15, 0.05], dtype=np.float32))
    random = np.random.default_rng(0)
    assert {choose(logits, sampling, random) for _ in range(400)} == left


def test_xtc_acts_as_often_as_it_should():
    logits = np.log(np.array([0.6, 0.4], dtype=np.float32))
    random = np.random.default_rng(0)
    sampling = Sampling(0.0, xtc_probability=0.25, xtc_threshold=0.1)
    assert sum(choose(logits, sampling, random) for _ in range(4000)) / 4000 == pytest.approx(0.25, abs=0.03)


def test_the_logits_are_not_changed():
    logits = np.array([1.0, 2.0], dtype=np.float32)
    sample(logits, np.array([0, 1]), Sampling(temperature=0.5, repetition_penalty=2), np.random.default_rng(0))
    assert logits.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 0.5, 2.0])
@pytest.mark.parametrize("limits", [{}, {"top_k": 2}, {"top_p": 0.9}, {"min_p": 0.1}])
def test_a_token_that_is_excluded_is_never_drawn(temperature: float, limits: dict):
    class Last:  # what a generator may draw at most
        def random(self) -> float:
            return math.nextafter(1, 0)

    sampling = Sampling(temperature=temperature, **limits)
    for seed in range(20):  # of some, the probabilities add up to less than 1
        logits = np.full(1000, -np.inf, dtype=np.float32)
        logits[:7] = np.random.default_rng(seed).normal(size=7)
        assert sample(logits, np.array([5]), sampling, Last()) < 7  # type: ignore[arg-type]


def test_log_probabilities_are_those_of_pytorch():
    logits = np.random.default_rng(0).normal(scale=20, size=1000).astype(np.float32)
    np.testing.assert_allclose(log_softmax(logits), torch.log_softmax(torch.from_numpy(logits), dim=-1), atol=1e-4)


def test_probabilities_sum_to_one_however_large_the_logits_are():
    logits = np.array([[1000.0, 1001.0, 999.0], [-5.0, 0.0, 5.0]], dtype=np.float32)
    np.testing.assert_allclose(np.exp(log_softmax(logits)).sum(-1), 1, rtol=1e-6)
    np.testing.assert_allclose(log_softmax(logits)[0], log_softmax(logits[:1] - 1000)[0], rtol=1e-6)


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -1},
        {"temperature": math.nan},
        {"temperature": math.inf},
        {"top_k": -1},
        {"top_p": -0.1},
        {"top_p": 1.1},
        {"top_p": math.nan},
        {"min_p": -0.1},
        {"min_p": 1.1},
        {"repetition_penalty": 0},
        {"repetition_penalty": math.nan},
        {"presence_penalty": math.inf},
        {"frequency_penalty": math.nan},
        {"logit_bias": {1: math.inf}},
        {"xtc_probability": 1.1},
        {"xtc_threshold": -1},
    ],
)
def test_settings_without_a_meaning_are_refused(bad: dict):
    with pytest.raises(ValueError, match="temperature"):
        Sampling(**bad)


@pytest.mark.parametrize("size", [100, 1000, 50_000])
def test_the_most_likely_tokens_with_ties(size: int):
    logits = np.random.default_rng(size).integers(-50, 50, size).astype(np.float32)
    logits[::7] = -np.inf
    for count in (1, 2, 50, 99):
        expected = np.flatnonzero(logits >= np.sort(logits)[-count])
        assert most_likely(logits, count).tolist() == expected.tolist()


DRAWS = 20_000


@pytest.mark.parametrize(
    ("wanted", "proposed"),
    [
        ([0.5, 0.3, 0.15, 0.05], [0.5, 0.3, 0.15, 0.05]),
        ([0.5, 0.3, 0.15, 0.05], [0.1, 0.2, 0.3, 0.4]),
        ([0.7, 0.3, 0.0, 0.0], [0.0, 0.3, 0.7, 0.0]),
        ([0.6, 0.4, 0.0, 0.0], [0.0, 0.0, 0.5, 0.5]),
        ([1.0, 0.0, 0.0, 0.0], [0.25, 0.25, 0.25, 0.25]),
    ],
)
def test_what_is_proposed_changes_no_distribution_and_is_accepted_as_often_as_can_be(wanted, proposed):
    p, q, random = np.array(wanted), np.array(proposed), np.random.default_rng(0)
    known, offered = np.flatnonzero(p), np.flatnonzero(q)
    drawn, accepted = np.zeros(4), 0
    for token in random.choice(4, DRAWS, p=q).tolist():
        chosen = accept_or_draw(known, p[known], Proposal(token, offered, q[offered]), random)
        drawn[chosen] += 1
        accepted += chosen == token
    margin = 4 * np.sqrt(p * (1 - p) / DRAWS) + 1e-12  # four standard deviations
    assert np.all(np.abs(drawn / DRAWS - p) <= margin)
    assert accepted / DRAWS == pytest.approx(np.minimum(p, q).sum(), abs=4 * 0.5 / math.sqrt(DRAWS))


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=0.7),
        Sampling(temperature=1.5, top_k=4),
        Sampling(temperature=1.0, top_p=0.6),
        Sampling(temperature=1.0, xtc_probability=0.5, xtc_threshold=0.1),
    ],
)
def test_a_draft_models_proposals_are_chosen_with_the_models_own_distribution(sampling: Sampling):
    of_model, of_draft = np.random.default_rng(1).normal(0, 1.5, (2, 8)).astype(np.float32)
    plain, drafted, random = np.zeros(8), np.zeros(8), np.random.default_rng(2)
    for _ in range(DRAWS):
        plain[choose(of_model, sampling, random)] += 1
        drafted[choose(of_model, sampling, random, propose(of_draft, sampling, random))] += 1
    margin = 4 * np.sqrt(np.maximum(plain, 1)) * math.sqrt(2)
    assert np.all(np.abs(plain - drafted) <= margin)


def test_at_temperature_0_nothing_is_left_to_chance():
    logits = np.array([1, 3, 2], np.float32)
    proposal = propose(logits[::-1], Sampling(), np.random.default_rng(0))
    assert proposal.token == 1 and propose(np.array([5, 0, 0]), Sampling(), np.random.default_rng(0)).token == 0
    assert choose(logits, Sampling(), np.random.default_rng(0), Proposal(2, np.array([2]), np.ones(1))) == 1
