"""A draft model: the answers are those without one, and it drafts as many tokens as pay."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pytest

from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.cache.paged_runner import Part
from llm_chatbot.engine.decode.draft_model import DraftFigures, DraftLength
from llm_chatbot.engine.decode.generation import decode, prefill
from llm_chatbot.engine.decode.penalties import Penalties
from llm_chatbot.engine.decode.prompt_lookup import LookupCache, Prices
from llm_chatbot.engine.decode.sampling import Sampling, candidates
from tests.fake_runner import VOCABULARY, FakeRunner, expected, text

# Dearer than any draft of prompt lookup is worth, so that only the draft model drafts.
NO_LOOKUP = Prices({1: 1.0, 2: 100.0}, change=100.0)
GREEDY = Sampling()


class NoisyRunner(FakeRunner):
    """The fake model with other logits, which are the same ones for some texts."""

    def __init__(self, blocks: int, noise: float) -> None:
        super().__init__(blocks)
        self.noise = noise

    def run(self, parts: Sequence[Part], extra: Mapping[str, float]) -> list[np.ndarray]:
        results = super().run(parts, extra)
        noises = [np.random.default_rng(len(part.ids) + part.past).normal(0, self.noise, VOCABULARY) for part in parts]
        return [logits + noise for logits, noise in zip(results, noises, strict=True)]


def pair(noise: float, **arguments) -> tuple[PagedModel, PagedModel]:
    """A model, and one that drafts for it."""
    model = PagedModel(FakeRunner(64), 64, prices=NO_LOOKUP, **arguments)
    return model, PagedModel(NoisyRunner(64, noise), 64)


def answer(cache: LookupCache, model: PagedModel, ids: list[int], length: int, sampling=GREEDY, seed=None) -> list[int]:
    held = cache.trim_to_prefix(ids[:-1])
    for _, logits in prefill(cache, ids[held:], model.pace):  # noqa: B007, used below
        pass
    assert logits is not None
    stream = decode(cache, logits, sampling, set(), seed)
    return [token for (token, _), _ in zip(stream, range(length), strict=False)]


def figures_of(cache: LookupCache) -> DraftFigures:
    assert cache.draft_figures is not None
    return cache.draft_figures


@pytest.fixture
def always_three(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drafts of three tokens, whatever they cost."""
    monkeypatch.setattr(DraftLength, "next_count", lambda self, price: 3)


@pytest.mark.parametrize("noise", [0.0, 0.02, 3.0])
def test_a_greedy_answer_is_the_same_however_good_the_drafts_are(noise: float, always_three):
    model, draft = pair(noise)
    cache = model.new_lookup_cache(draft)
    ids = text(70)
    for _ in range(3):  # turns
        expected_answer = answer(model.new_lookup_cache(), model, ids, 40)
        assert answer(cache, model, ids, 40) == expected_answer
        ids = [*ids, *expected_answer, *text(20, seed=len(ids))]
    assert answer(cache, model, text(50), 10) == answer(model.new_lookup_cache(), model, text(50), 10), "another branch"
    assert model.pool.inconsistency() is None and draft.pool.inconsistency() is None
    figures = figures_of(cache)
    least, most = {0.0: (1.0, 1.0), 0.02: (0.6, 0.99), 3.0: (0.0, 0.2)}[noise]
    assert figures.drafted >= figures.reached > 0 and least <= figures.accepted / figures.reached <= most


@pytest.mark.parametrize("sampling", [GREEDY, Sampling(temperature=1, top_k=5)])
def test_a_draft_model_whose_logits_are_no_numbers_drafts_nothing(sampling: Sampling, always_three):
    model, draft = pair(math.nan)
    ids = text(70)
    found = answer(model.new_lookup_cache(draft), model, ids, 12, sampling, seed=1)
    assert found == answer(model.new_lookup_cache(), model, ids, 12, sampling, seed=1)


def test_what_is_right_is_accepted_and_verified_in_one_call(always_three):
    model, draft = pair(0.0)
    cache = model.new_lookup_cache(draft)
    assert isinstance(model.runner, FakeRunner) and isinstance(draft.runner, FakeRunner)
    ids = text(40)
    cache.trim_to_prefix(ids[:-1])
    cache.feed(ids)
    model.runner.calls.clear()
    read_along = len(draft.runner.calls)
    tokens = answer(cache, model, ids, 42)
    assert len(tokens) == 42
    rows = [len(part.ids) for call in model.runner.calls for part in call]
    assert rows[0] == 1 and set(rows[2:]) == {4}, "the calls keep their shape"
    assert {len(part.ids) for call in draft.runner.calls[read_along:] for part in call} == {1}
    assert figures_of(cache).accepted >= 27


def test_each_proposal_is_the_next_token_of_the_draft(always_three):
    model, draft = pair(0.0)
    cache = model.new_lookup_cache(draft)
    token = int(cache.feed(text(40)).argmax())
    cache.begin_answer(GREEDY, np.random.default_rng(0), Penalties(GREEDY, []))
    proposed = []
    for _ in range(12):
        token = int(cache.feed([token]).argmax())
        if cache.proposal is not None:
            proposed.append(cache.proposal.token == token)
    assert len(proposed) >= 8 and all(proposed)


def test_sampled_answers_have_the_same_distribution(always_three):
    sampling = Sampling(temperature=0.3, top_k=2)
    model, draft = pair(0.1)
    counts: Counter[tuple[int, ...]] = Counter()
    runs, cache, ids = 400, model.new_lookup_cache(draft), text(20)
    chances: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(3):
        longer = {}
        for known, chance in chances.items():
            likely, shares = candidates(expected([*ids, *known]), np.array([], dtype=int), sampling)
            longer |= {(*known, int(token)): chance * share for token, share in zip(likely, shares, strict=True)}
        chances = longer
    drafted = accepted = 0
    for seed in range(runs):
        counts[tuple(answer(cache, model, ids, 3, sampling, seed))] += 1
        drafted += figures_of(cache).drafted
        accepted += figures_of(cache).accepted
    assert 0.1 * drafted < accepted < 0.9 * drafted, "some are accepted, some are not"
    assert set(counts) <= set(chances)
    for tokens, chance in chances.items():
        assert abs(counts[tokens] / runs - chance) <= 4.5 * np.sqrt(chance * (1 - chance) / runs) + 1e-9


def test_penalties_hold_for_drafts_too(always_three):
    sampling = Sampling(repetition_penalty=1.3, frequency_penalty=0.2, logit_bias={5: 1.0})
    model, draft = pair(0.0)
    cache = model.new_lookup_cache(draft)
    tokens = answer(cache, model, text(40), 30, sampling)
    assert tokens == answer(model.new_lookup_cache(), model, text(40), 30, sampling)
    assert figures_of(cache).accepted > 0.7 * figures_of(cache).drafted


def test_a_draft_model_that_has_not_the_tokens_or_the_length_is_left_out(always_three):
    model, draft = pair(0.0)
    draft.vocabulary = 10
    cache = model.new_lookup_cache(draft)
    assert answer(cache, model, text(40), 10) == answer(model.new_lookup_cache(), model, text(40), 10)
    assert not figures_of(cache).drafted
    model, draft = pair(0.0)
    draft.max_length = 50
    cache = model.new_lookup_cache(draft)
    assert answer(cache, model, text(40), 30) == answer(model.new_lookup_cache(), model, text(40), 30)
    assert 0 < figures_of(cache).drafted < 12


def test_drafts_end_where_the_model_does(always_three):
    model, draft = pair(0.0, max_length=60)
    cache = model.new_lookup_cache(draft)
    assert len(answer(cache, model, text(40), 20)) == 20
    assert len(cache.ids) <= 60


def simulated(length: DraftLength, acceptance: float, of_draft: float, tokens: int, of_row: float = 0.02) -> list[int]:
    """The numbers of drafted tokens while so many are written, at times as multiples of a call with one token."""
    random, counts = np.random.default_rng(0), []

    def price(rows: int) -> float:
        return 1 + of_row * (rows - 1)

    length.begin_answer()
    while tokens > 0:
        counts.append(count := length.next_count(price))
        if count:
            length.note_drafts(count, count * of_draft)
        length.note_call(count, price(count + 1))
        tokens -= 1
        for _ in range(count):
            accepted = bool(random.random() < acceptance)
            length.note_token(accepted)
            if not accepted:
                break
            tokens -= 1
    return counts


def test_good_and_cheap_drafts_are_long_and_others_short():
    long, short = simulated(DraftLength(), 0.95, 0.05, 400), simulated(DraftLength(), 0.5, 0.15, 400)
    assert np.median(long[-50:]) >= 6 and 1 <= np.median(short[-50:]) <= 3
    assert long[:4] == [0, 0, 0, 0], "the first calls are timed without drafts"
    changes = sum(one != other for one, other in pairwise(long))
    assert changes < len(long) / 10, "the calls keep their shape"


@pytest.mark.parametrize(("acceptance", "of_draft", "of_row"), [(0.05, 0.2, 0.02), (0.7, 0.9, 0.02), (0.4, 0.1, 0.6)])
def test_drafting_stops_where_it_does_not_pay_and_is_tried_again_in_the_next_answer(acceptance, of_draft, of_row):
    length = DraftLength()
    counts = simulated(length, acceptance, of_draft, 400, of_row)
    assert counts[-1] == 0 and sum(count > 0 for count in counts) < 40 and not length.may_pay
    assert any(simulated(length, 0.95, 0.05, 100)[:8])


def test_the_gain_is_the_time_that_it_would_have_taken_by_the_time_that_it_took():
    assert DraftFigures(drafted=10, accepted=6, seconds=2.0, plain_seconds=3.0).gain == 1.5
    assert DraftFigures(seconds=2.0, plain_seconds=2.0).gain == DraftFigures().gain == 1.0
    assert pair(0.0)[0].new_lookup_cache().draft_figures is None
