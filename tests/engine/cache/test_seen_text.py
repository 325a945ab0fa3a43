"""Texts of other conversations are found in the pool's blocks, for as long as these are there."""

import numpy as np
import pytest

from llm_chatbot.engine.cache.block_pool import BlockPool, BlockTable
from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.cache.seen_text import MOST_AFTER, MOST_BEFORE, SEEN_NGRAM, SeenText
from llm_chatbot.engine.cache.state_slots import StatefulTable, StateSlots
from llm_chatbot.engine.decode.prompt_lookup import Prices
from llm_chatbot.engine.decode.sampling import Sampling, sample
from tests.fake_runner import FakeRunner, text

SIZE = 8
PRICES = Prices({1: 0.009, 4: 0.011, 8: 0.012}, change=0.004)


def pool_and_seen(blocks: int = 64) -> tuple[BlockPool, SeenText]:
    pool = BlockPool(blocks, SIZE, lambda source, target: None)
    return pool, SeenText(pool)


def read(pool: BlockPool, ids: list[int], is_private: bool = False) -> BlockTable:
    table = BlockTable(pool, is_private=is_private)
    table.reserve(len(ids))
    table.append(ids)
    return table


def test_every_place_in_full_blocks_is_found_with_what_follows():
    pool, seen = pool_and_seen()
    ids = list(range(50))
    read(pool, ids).release()
    for end in range(SEEN_NGRAM, 49):
        found = seen.find([777, *ids[end - SEEN_NGRAM : end]])
        assert found is not None
        around, place = found
        start = ids.index(around[0])
        assert around == ids[start : start + len(around)] and around[place - 1] == ids[end - 1]
        assert place >= min(end, MOST_BEFORE) and len(around) - place >= min(48 - end, MOST_AFTER)
    assert seen.find(ids[:SEEN_NGRAM][::-1]) is None and seen.find(ids[-SEEN_NGRAM:]) is None and seen.find([]) is None


def test_the_newest_text_is_found_and_the_newest_way_on():
    pool, seen = pool_and_seen()
    read(pool, [*range(8), *range(20, 28)])
    read(pool, [*range(8), *range(30, 38)])
    found = seen.find(list(range(8)))
    assert found is not None and found[0][found[1] :][:4] == [30, 31, 32, 33]
    read(pool, [*range(50, 58), *range(8), *range(40, 48)])
    found = seen.find(list(range(8)))
    assert found is not None and found[0][found[1] :][:4] == [40, 41, 42, 43]


def test_what_left_the_pool_is_forgotten_and_takes_no_memory():
    pool, seen = pool_and_seen(blocks=4)
    for start in range(0, 3200, 32):
        read(pool, list(range(start, start + 32))).release()
        assert len(seen._places) <= 4 * SIZE and len(seen._blocks) <= 4
    assert seen.find(list(range(SEEN_NGRAM))) is None
    assert seen.find(list(range(3168, 3168 + SEEN_NGRAM))) is not None


def test_what_only_private_conversations_have_read_is_not_found():
    pool, seen = pool_and_seen()
    read(pool, list(range(32)), is_private=True)
    assert seen.find(list(range(SEEN_NGRAM))) is None
    read(pool, list(range(32)))
    assert seen.find(list(range(SEEN_NGRAM))) is not None


def test_what_a_private_conversation_has_filled_is_found_once_another_one_shares_it():
    pool, seen = pool_and_seen()
    ids = list(range(32))
    read(pool, ids, is_private=True)
    BlockTable(pool, is_private=True).trim_to_prefix(ids)
    assert seen.find(ids[:SEEN_NGRAM]) is None
    assert BlockTable(pool).trim_to_prefix(ids[:20]) == 20
    found = seen.find(ids[:SEEN_NGRAM])
    assert found is not None and found[0] == ids
    assert seen.find(ids[20 - SEEN_NGRAM : 20]) is None  # of the third block it shares only a part


def test_a_hybrid_models_text_is_found_once_another_one_shares_it():
    pool, seen = pool_and_seen()
    slots = StateSlots(8, pool)
    ids = list(range(32))
    private, other = StatefulTable(slots, is_private=True), StatefulTable(slots)
    private.expect_prompt(len(ids))
    private.reserve(len(ids))
    private.append(ids)
    assert seen.find(ids[:SEEN_NGRAM]) is None
    assert other.trim_to_prefix(ids) == len(ids)
    assert seen.find(ids[:SEEN_NGRAM]) is not None


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(0.7, top_k=5)])
def test_an_answer_that_another_conversation_has_is_drafted_and_stays_the_same(sampling: Sampling):
    def generate(cache, prompt: list[int]) -> list[int]:
        chance, answer = np.random.default_rng(1), []
        cache.trim_to_prefix(prompt[:-1])
        logits = cache.feed(prompt[len(cache.ids) :])
        for _ in range(150):
            answer.append(sample(logits, np.array([], dtype=int), sampling, chance))
            logits = cache.feed(answer[-1:])
        return answer

    prompt = text(60)
    runner = FakeRunner(64)
    model = PagedModel(runner, 64, prices=PRICES)
    answer = generate(model.new_lookup_cache(), prompt)
    before = len(runner.calls)
    assert generate(model.new_lookup_cache(), prompt) == answer
    assert len(runner.calls) - before < 60
    other = generate(model.new_lookup_cache(), [*prompt[:-1], 7])
    assert other == generate(PagedModel(FakeRunner(64), 64).new_cache(), [*prompt[:-1], 7])
