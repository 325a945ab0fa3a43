"""Prompt lookup changes the speed and never the tokens."""

import random
from pathlib import Path

import numpy as np
import pytest

from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.decode.prompt_lookup import Prices, PromptLookup
from llm_chatbot.engine.decode.sampling import Sampling, sample
from tests import fake_runner, paged_models
from tests.fake_runner import FakeRunner, assert_same, text

# As measured with the embedded model on two cores: what 1, 4 and 8 tokens take, and a change of their number.
CHEAP = Prices({1: 0.009, 4: 0.011, 8: 0.012}, change=0.004)
# As a larger model without VNNI.
DEAR = Prices({1: 0.049, 4: 0.130, 8: 0.226}, change=0.005)


def speedup(prompt: list[int], answer: list[int], prices: Prices) -> float:
    """How much less time an answer takes by these prices."""
    lookup, rows, seconds, place = PromptLookup(), 1, 0.0, 0
    lookup.read(prompt)
    while place < len(answer):
        lookup.add(answer[place])
        place += 1
        guesses = lookup.guesses(lookup.best_count(prices, others=0, last_rows=rows))
        seconds += prices.of(1 + len(guesses)) + (prices.change if rows != 1 + len(guesses) else 0)
        rows = 1 + len(guesses)
        for guess in guesses:
            if place == len(answer) or answer[place] != guess:
                break
            lookup.add(guess)
            place += 1
    return len(answer) * prices.of(1) / seconds


def words(name: str) -> list[int]:
    """A text as numbers, one for each different word."""
    text = (Path(__file__).resolve().parents[3] / name).read_text(encoding="utf-8").split()
    return [sorted(set(text)).index(word) for word in text]


def test_a_text_that_repeats_its_prompt_is_much_faster():
    ids = words("LICENSE")[:600]
    assert speedup(ids, ids[100:400], CHEAP) > 4
    assert speedup(ids, ids[100:400], DEAR) > 1.5


def test_a_text_that_repeats_its_prompt_with_changes_is_faster():
    chance, ids = random.Random(0), words("LICENSE")[:600]
    edited = [10_000 if chance.random() < 0.07 else id for id in ids[100:400]]
    assert speedup(ids, edited, CHEAP) > 1.6
    assert speedup(ids, edited, DEAR) > 1.0


@pytest.mark.parametrize("prices", [CHEAP, DEAR])
@pytest.mark.parametrize("start", [0, 400, 800])
def test_a_text_that_repeats_little_is_hardly_slower(start: int, prices: Prices):
    ids = words("LICENSE")[start : start + 400]
    assert speedup(ids[:40], ids[40:], prices) > 0.985


@pytest.mark.parametrize("prices", [CHEAP, DEAR])
def test_what_looks_like_a_repetition_and_is_none_costs_little(prices: Prices):
    """Always three tokens as before, and then another."""
    answer = [token for turn in range(80) for token in (1, 2, 3, 100 + turn)]
    assert speedup([1, 2, 3, 99], answer, prices) > 0.97


def test_no_guess_is_made_where_each_token_costs_as_much_as_the_first():
    ids = list(range(200))
    assert speedup(ids, ids, Prices({1: 0.01, 4: 0.04}, change=0.0)) == pytest.approx(1)


def test_no_guess_is_made_while_so_many_talk_that_their_calls_are_full():
    lookup = PromptLookup()
    lookup.read(list(range(50)))
    for token in range(20):
        lookup.add(token)
    prices = Prices({1: 0.01, 2: 0.0101, 8: 0.02}, change=0.0)
    assert lookup.best_count(prices, others=0, last_rows=1) > 0
    assert lookup.best_count(Prices({1: 0.01, 4: 0.011, 5: 0.02}, 0.0), others=30, last_rows=31) == 0


def test_what_followed_before_is_guessed_and_repeated_beyond_the_end():
    lookup = PromptLookup()
    lookup.read([1, 2, 3, 4, 5, 6])
    assert lookup.best_count(CHEAP, 0, 1) == 0
    for token in (1, 2, 3):
        lookup.add(token)
    assert lookup.guesses(4) == [4, 5, 6, 1]
    assert lookup.guesses(8) == [4, 5, 6, 1, 2, 3, 4, 5]


def test_tokens_that_were_cut_off_are_not_guessed():
    lookup = PromptLookup()
    lookup.read([1, 2, 3, 4, 5, 6])
    lookup.truncate(3)
    lookup.read([7, 8, 9, 10, 1, 2, 3])
    assert lookup.guesses(2) == [7, 8]
    lookup.truncate(0)
    lookup.read([4, 5, 6])
    assert lookup.best_count(CHEAP, 0, 1) == 0


def test_prices_lie_on_a_straight_line_between_and_beyond_those_measured():
    prices = Prices({4: 4.0, 1: 1.0, 8: 12.0}, change=0.5)
    assert [prices.of(rows) for rows in (1, 2, 4, 6, 8, 10)] == [1, 2, 4, 8, 12, 16]


class Repeating(FakeRunner):
    """Its favourite next token repeats the text every 20 tokens, so that most guesses are right."""

    def _read(self, part, extra):
        rows = super()._read(part, extra)
        ids = self.slots[list(part.blocks)].ravel()
        for row, end in zip(rows, range(part.past + len(part.ids) - part.logits, 10**9), strict=False):
            if end >= 19 and end % 11:
                row[ids[end - 19]] += 6
        return rows


def generate(cache, prompt: list[int], sampling: Sampling, length: int) -> list[int]:
    chance, answer = np.random.default_rng(1), []
    cache.trim_to_prefix(prompt[:-1])
    logits = cache.feed(prompt[len(cache.ids) :])
    for _ in range(length):
        answer.append(sample(logits, np.array([], dtype=int), sampling, chance))
        logits = cache.feed(answer[-1:])
    return answer


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(1.0), Sampling(0.7, top_k=5, top_p=0.9)])
def test_an_answer_is_the_same_with_guesses_and_without(sampling: Sampling):
    runner = Repeating(64)
    model = PagedModel(runner, 64, prices=CHEAP)
    cache, prompt = model.new_lookup_cache(), text(60)
    answer = generate(model.new_cache(), prompt, sampling, 150)
    before = len(runner.calls)
    assert generate(cache, prompt, sampling, 150) == answer
    calls = runner.calls[before:]
    assert len(calls) < 110 and max(len(part.ids) for call in calls for part in call) > 3
    assert cache.ids == [*prompt, *answer]


def test_after_any_series_of_turns_cuts_and_failures_the_next_logits_are_right():
    model = PagedModel(Repeating(16), 16, prices=CHEAP)
    plain = PagedModel(Repeating(16), 16)
    chance = random.Random(0)
    caches = [model.new_lookup_cache() for _ in range(3)]
    for _ in range(150):
        cache = chance.choice(caches)
        ids = [*cache.ids[: chance.randrange(len(cache.ids) + 1)], *text(chance.randrange(2, 40), seed=1)][:200]
        cache.trim_to_prefix(ids[:-1])
        logits = cache.feed(ids[len(cache.ids) :])
        for _ in range(chance.randrange(20)):
            token = int(logits.argmax()) if chance.random() < 0.9 else 7
            if chance.random() < 0.05:
                with pytest.raises(RuntimeError):
                    cache.feed([fake_runner.FATAL])
            logits = cache.feed([token])
            ids.append(token)
        assert cache.ids == ids
        np.testing.assert_array_equal(logits, plain.new_cache().feed(ids))


def test_guesses_do_not_go_beyond_what_the_model_can_hold():
    model = PagedModel(Repeating(64), 64, max_length=100, prices=CHEAP)
    cache = model.new_lookup_cache()
    assert len(generate(cache, text(60), Sampling(), 40)) == 40


def test_without_prices_nothing_is_guessed():
    model, runner = fake_runner.fake()
    cache = model.new_lookup_cache()
    cache.feed([1, 2, 3, 4] * 5)
    for token in (1, 2, 3, 4):
        logits = cache.feed([token])
    assert_same(logits, [1, 2, 3, 4] * 6)
    assert all(len(part.ids) == 1 for call in runner.calls[1:] for part in call)


def test_a_real_models_greedy_answer_is_the_same(embedded_folder: Path, tokenizer):
    model = paged_models.paged(embedded_folder / "openvino_model.xml", context_length=1024)
    model.prices = CHEAP
    prompt = tokenizer("Repeat: one two three four five six seven eight. one two three four five six")["input_ids"]
    answers = [generate(cache, prompt, Sampling(), 40) for cache in (model.new_cache(), model.new_lookup_cache())]
    assert answers[0] == answers[1]
