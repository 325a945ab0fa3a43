"""Batching and prefix sharing between conversations, on a fake model whose logits depend on what its blocks hold."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from llm_chatbot.engine.cache import paged_cache
from llm_chatbot.engine.cache.pace import MAX_CHUNK
from llm_chatbot.engine.cache.paged_cache import PagedCache, PagedModel
from llm_chatbot.errors import UserError
from tests import paged_models
from tests.fake_runner import FATAL, assert_same, expected, fake, text


def test_what_is_fed_follows_what_was_fed():
    model, _ = fake()
    cache = model.new_cache()
    assert_same(cache.feed(text(70)[:40]), text(70)[:40])
    assert_same(cache.feed(text(70)[40:]), text(70))
    assert cache.ids == text(70)


def test_logits_of_the_last_tokens_one_by_one():
    model, _ = fake()
    cache = model.new_cache()
    cache.feed(text(50)[:45])
    logits = cache.feed_all(text(50)[45:])
    for row, end in zip(logits, range(46, 51), strict=True):
        assert_same(row, text(50)[:end])


def test_a_new_turn_and_an_edited_one_read_only_what_is_new():
    model, runner = fake()
    cache = model.new_cache()
    cache.feed(text(100))
    ids = [*text(80), *text(30, seed=1)]
    held = cache.trim_to_prefix(ids[:-1])
    assert_same(cache.feed(ids[held:]), ids)
    assert held == 80 and sum(len(part.ids) for part in runner.calls[-1]) == 30
    assert cache.trim_to_prefix(text(100)) >= 96, "the other branch is there still"


def test_a_sequence_that_was_fed_less_far_is_cut_back():
    model, _ = fake()
    cache = model.new_cache()
    cache.feed(text(40))
    cache.truncate(37)
    assert cache.ids == text(37)
    assert_same(cache.feed([7, 8]), [*text(37), 7, 8])


def test_a_conversation_that_gave_its_blocks_back_is_read_again_without_being_asked():
    model, _ = fake(blocks=4)
    one, other = model.new_cache(), model.new_cache()
    one.feed(text(70))
    other.feed(text(70, seed=1))
    assert one.table.ids == [] and one.ids == text(70)
    assert_same(one.feed([5]), [*text(70), 5])
    assert_same(other.feed([6]), [*text(70, seed=1), 6])
    one.release()
    assert_same(one.feed([5]), [*text(70), 5, 5])


def test_what_alone_does_not_fit_is_a_sentence_and_changes_nothing():
    model, _ = fake(blocks=4)
    cache = model.new_cache()
    cache.feed(text(100))
    with pytest.raises(UserError, match="129 tokens are more than the 128 that this model can read; shorten"):
        cache.feed(text(29))
    assert cache.ids == text(100)
    cache.feed(text(28))
    model, _ = fake(max_length=64)
    with pytest.raises(UserError, match="65 tokens are more than the 64"):
        model.new_cache().feed(text(65))


def test_those_who_ask_at_the_same_time_are_served_by_one_call():
    model, runner = fake()
    caches, texts = [model.new_cache() for _ in range(5)], [text(10 + seed, seed) for seed in range(5)]
    logits = paged_models.together(model, caches, texts)
    assert len(runner.calls) == 1 and len(runner.calls[0]) == 5
    for row, ids in zip(logits, texts, strict=True):
        assert_same(row, ids)


def test_those_who_talk_stay_together_though_each_asks_in_its_own_time(monkeypatch: pytest.MonkeyPatch):
    """As long as a call waits for them, which here is long enough on the busiest machine."""
    monkeypatch.setattr(paged_cache, "BATCH_WAIT", 1e12)
    monkeypatch.setattr(paged_cache, "MAX_BATCH_WAIT", 60)
    model, runner = fake()
    caches = [model.new_cache() for _ in range(4)]
    paged_models.together(model, caches, [text(5, seed) for seed in range(4)])

    def talk(seed: int) -> None:
        cache, chance = caches[seed], random.Random(seed)
        for token in text(10):
            time.sleep(chance.random() * 0.002)
            cache.feed([token])

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(talk, range(4)))
    assert [len(call) for call in runner.calls] == [4] * 11


def test_a_call_waits_only_as_long_as_it_is_worth_for_one_who_does_not_ask_again():
    model, runner = fake()
    paged_models.together(model, caches := [model.new_cache(), model.new_cache()], [[1], [2]])
    caches[0].feed([3])
    assert [len(call) for call in runner.calls] == [2, 1]
    model._note_time(0.1, tokens=1)
    assert model._batch_wait == pytest.approx(0.02)
    model._note_time(10.0, tokens=1)
    assert model._batch_wait == paged_cache.MAX_BATCH_WAIT


def test_while_others_decode_a_long_prompt_is_read_in_chunks():
    model, runner = fake(blocks=200)
    runner.seconds = 0.05
    talking, reading = model.new_cache(), model.new_cache()
    with ThreadPoolExecutor(1) as threads:
        read = threads.submit(reading.feed, text(4000))
        while not read.done():
            talking.feed([len(talking.ids) % FATAL])
        assert_same(read.result(), text(4000))
    said = list(talking.ids)
    assert_same(talking.feed([1]), [*said, 1])
    assert max(len(part.ids) for call in runner.calls for part in call) < 1.5 * MAX_CHUNK
    assert sum(len(call) == 2 for call in runner.calls) > 3


def test_a_failure_reaches_only_those_whose_tokens_cause_it():
    model, runner = fake()
    caches, texts = [model.new_cache() for _ in range(3)], [text(40, seed) for seed in range(3)]
    for cache, ids in zip(caches, texts, strict=True):
        cache.feed(ids)
    with pytest.raises(RuntimeError, match="the runtime failed"):
        paged_models.together(model, caches, [[1], [FATAL], [3]])
    assert len(runner.calls) > 4
    for cache, ids, new in zip(caches, texts, ([1], [], [3]), strict=True):
        assert cache.ids == [*ids, *new]
        assert_same(cache.feed([4]), [*ids, *new, 4])
    for cache in caches:
        cache.release()
    assert model.pool.free == model.pool.blocks


def test_conversations_whose_keys_depend_on_other_inputs_share_neither_blocks_nor_calls():
    model, runner = fake(extra_inputs=lambda length: {"scale": 1.0 if length <= 64 else 3.0})
    short, long = model.new_cache(), model.new_cache()
    logits = paged_models.together(model, [short, long], [text(64), text(100)])
    np.testing.assert_array_equal(logits[0], expected(text(64), {"scale": 1.0}))
    np.testing.assert_array_equal(logits[1], expected(text(100), {"scale": 3.0}))
    assert all(len(call) == 1 for call in runner.calls)
    assert short.trim_to_prefix(text(100)[:-1]) == 96
    assert short.trim_to_prefix(text(64)[:-1]) == 63


def test_many_conversations_stopped_and_closed_at_random_each_get_what_they_get_alone():
    """A pool in which half of them fit; most begin alike."""
    model, _ = fake(blocks=24)

    def talk(seed: int) -> None:
        chance = random.Random(seed)
        cache, ids = model.new_cache(), list[int]()
        for _ in range(40):
            match chance.randrange(8):
                case 0:
                    ids = ids[: chance.randrange(len(ids) + 1)]
                case 1:
                    cache.reset()
                    ids = []
                case 2:
                    cache.release()
                case 3:
                    cache = model.new_cache()
            new = chance.choice([text(120), text(40, seed=chance.randrange(3)), [chance.randrange(FATAL)]])
            ids = [*ids, *new][:120]
            cache.trim_to_prefix(ids[:-1])
            while len(ids) < 130 and chance.random() < 0.8:
                assert_same(cache.feed(ids[len(cache.ids) :]), ids)
                ids = [*ids, chance.randrange(FATAL)]

    with ThreadPoolExecutor(20) as threads:
        list(threads.map(talk, range(20)))
    assert not model.pool.busy and not model._waiting
    for table in list(model.pool._tables):
        table.release()
    assert model.pool.free == model.pool.blocks


@pytest.fixture(scope="module")
def exact_paged(embedded_folder: Path) -> PagedModel:
    return paged_models.paged(embedded_folder / "openvino_model.xml", kv_cache_gb=0.06)


def answer(cache: PagedCache, ids: list[int], length: int) -> list[int]:
    tokens = [int(cache.feed(ids[cache.trim_to_prefix(ids[:-1]) :]).argmax())]
    while len(tokens) < length:
        tokens.append(int(cache.feed(tokens[-1:]).argmax()))
    return tokens


def test_a_real_models_answers_beside_others_are_those_that_each_gets_alone(exact_paged, tokenizer):
    """In a pool for some 1,300 tokens, which twelve conversations do not fit in; every other one is stopped early."""
    system = "You are a helpful assistant. " * 10
    topics = ("rain", "snow", "tea", "jazz", "gold", "Mars", "chess", "bread", "rivers", "owls", "glass", "wool")
    prompts = [tokenizer(f"{system}Tell me something about {topic}.")["input_ids"] for topic in topics]
    alone = []
    for prompt in prompts:
        cache = exact_paged.new_cache()
        alone.append(answer(cache, prompt, 12))
        cache.release()
    lengths = [12 if place % 2 else 3 + place // 2 for place in range(len(prompts))]
    caches = [exact_paged.new_cache() for _ in prompts]
    with ThreadPoolExecutor(len(prompts)) as threads:
        first = list(threads.map(answer, caches, prompts, lengths))
        second = list(threads.map(answer, caches, prompts, [12] * len(prompts)))
    assert first == [tokens[:length] for tokens, length in zip(alone, lengths, strict=True)]
    assert second == alone
    for table in list(exact_paged.pool._tables):
        table.release()
    assert exact_paged.pool.free == exact_paged.pool.blocks
