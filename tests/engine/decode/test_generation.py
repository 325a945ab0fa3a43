from itertools import islice

import numpy as np
import pytest

from llm_chatbot.engine.cache.pace import Pace
from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.decode.generation import Generation, decode, prefill, prefill_all, whole_pictures
from llm_chatbot.engine.decode.sampling import Sampling
from llm_chatbot.engine.errors import NonFiniteError
from tests.engine.decode.test_prompt_lookup import CHEAP, Repeating
from tests.fake_runner import expected, text


class Even:
    """A constraint that allows the even tokens, and ends the answer after some."""

    def __init__(self, most: int = 10**9) -> None:
        self.accepted: list[int] = []
        self.most = most

    def mask(self, logits: np.ndarray) -> None:
        logits[1::2] = -np.inf
        if len(self.accepted) == self.most:
            logits[:] = -np.inf

    def accept(self, token: int) -> None:
        self.accepted.append(token)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0), Sampling(0.7, top_k=5, repetition_penalty=1.1)])
def test_only_what_a_constraint_allows_is_chosen_with_drafts_and_without(sampling: Sampling):
    prompt, answers = [token // 2 * 2 for token in text(60)], []
    for with_drafts in (False, True):
        model = PagedModel(runner := Repeating(64), 64, prices=CHEAP)
        cache = model.new_lookup_cache() if with_drafts else model.new_cache()
        stream = decode(cache, cache.feed(prompt), sampling, set(), seed=1, constraints=[constraint := Even()])
        answers.append([token for token, _ in islice(stream, 80)])
        assert constraint.accepted == answers[-1] and not any(token % 2 for token in answers[-1])
    assert answers[0] == answers[1]
    assert len(runner.calls) < 81, "no draft was accepted"


def test_the_logits_beside_a_token_are_the_models_own():
    model = PagedModel(Repeating(64), 64)
    cache = model.new_cache()
    stream = decode(cache, cache.feed([7]), Sampling(), set(), constraints=[Even()])
    (first, logits), _ = next(stream), next(stream)
    np.testing.assert_array_equal(logits, expected([7]))
    assert first == 2 * logits[::2].argmax()


def test_a_constraint_that_leaves_no_token_ends_the_answer():
    cache = PagedModel(Repeating(64), 64).new_cache()
    assert len(list(decode(cache, cache.feed([7]), Sampling(), set(), constraints=[Even(5)]))) == 5


def test_a_constraint_hears_of_the_stop_token():
    cache, constraint = PagedModel(Repeating(64), 64).new_cache(), Even()
    assert list(decode(cache, cache.feed([7]), Sampling(), set(range(50)), constraints=[constraint])) == []
    assert len(constraint.accepted) == 1


class Recorder:
    ids: list[int] = []  # noqa: RUF012, not read here

    def __init__(self) -> None:
        self.fed: list[list[int]] = []

    def feed(self, ids) -> np.ndarray:
        self.fed.append(list(ids))
        return np.array(ids)


@pytest.mark.parametrize(("length", "sizes"), [(1, [1]), (5, [5]), (6, [4, 2]), (9, [4, 5]), (14, [4, 4, 4, 2])])
def test_a_prompt_is_read_in_chunks_of_which_the_last_may_be_half_as_long_again(length: int, sizes: list[int]):
    cache, pace = Recorder(), Pace()
    pace.tokens = 4
    steps = list(prefill(cache, range(length), pace))  # type: ignore[arg-type]
    assert [len(chunk) for chunk in cache.fed] == sizes
    assert [id for chunk in cache.fed for id in chunk] == list(range(length))
    assert [fed for fed, _ in steps] == [sum(sizes[:count]) for count in range(len(sizes) + 1)]
    assert [logits is not None for _, logits in steps] == [False] * len(sizes) + [True]


@pytest.mark.parametrize(
    ("ids", "sizes"),
    [
        ([1, 2, -1, -2, -3, -4, 3, 4, 5, 6], [6, 4]),
        ([1, 2, 3, 4, -1, -2, -3, 5, 6, 7, 8, 9, 10], [4, 4, 5]),
        ([-1, -2, -3, -4, -5, -6, -7], [7]),
    ],
)
def test_a_picture_is_read_in_one_chunk(ids: list[int], sizes: list[int]):
    cache, pace = Recorder(), Pace()
    pace.tokens = 4
    assert list(prefill(cache, ids, pace))  # type: ignore[arg-type]
    assert [len(chunk) for chunk in cache.fed] == sizes


def test_without_room_no_part_of_a_picture_is_read():
    assert whole_pictures([-1, -2, -3], 1, 0) == 0


@pytest.mark.parametrize(
    "bad",
    [{"max_new_tokens": -1}, {"top_logprobs": -1}, {"thinking_budget": -1}, {"stop": ["a", ""]}, {"stop": "abc"}],
)
def test_options_without_a_meaning_are_refused(bad: dict):
    with pytest.raises(ValueError, match=next(iter(bad))):
        Generation(**bad)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=1, top_k=5), Sampling(temperature=1, min_p=0.1)])
def test_logits_that_are_no_numbers_end_the_answer_with_an_error(bad: float, sampling: Sampling):
    cache = PagedModel(Repeating(64), 64).new_cache()
    logits = cache.feed([7]).copy()
    logits[3] = bad
    with pytest.raises(NonFiniteError, match="no numbers"):
        next(decode(cache, logits, sampling, set()))


@pytest.mark.parametrize("place", [0, 2])
def test_a_prompt_has_no_probabilities_where_its_logits_are_no_numbers(place: int, monkeypatch: pytest.MonkeyPatch):
    cache = PagedModel(Repeating(64), 64).new_cache()
    logits = cache.feed_all([1, 2, 3]).copy()
    logits[place, 5] = np.nan
    monkeypatch.setattr(cache, "feed_all", lambda ids: logits)
    with pytest.raises(NonFiniteError, match="no numbers"):
        next(prefill_all(cache, [1, 2, 3]))
