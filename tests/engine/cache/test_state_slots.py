"""Sequences with a recurrent state, on a fake runtime whose logits depend on what its slots hold."""

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from llm_chatbot.engine.cache.paged_cache import PagedCache, PagedModel
from llm_chatbot.engine.cache.paged_runner import BLOCK_SIZE, Part
from llm_chatbot.engine.cache.state_slots import CHECKPOINT_INTERVAL, EMPTY
from tests.fake_runner import FATAL, FakeRunner, assert_same, text


class HybridRunner(FakeRunner):
    """Its recurrent state is the sequence itself."""

    def __init__(self, blocks: int) -> None:
        super().__init__(blocks)
        self.states: dict[int, list[int]] = {EMPTY: []}

    def run(self, parts: Sequence[Part], extra: Mapping[str, float]) -> list[np.ndarray]:
        for part in parts:
            read, written = part.state
            state = self.states[read]
            assert written != EMPTY and len(state) == part.past
            self.states[written] = [*state, *part.ids]
            before = self.slots[list(part.blocks)].ravel()[: part.past].tolist()
            assert before == state
        assert len({part.state[1] for part in parts}) == len(parts)
        return super().run(parts, extra)


def hybrid(blocks: int = 256, slots: int = 16) -> tuple[PagedModel, HybridRunner]:
    runner = HybridRunner(blocks)
    return PagedModel(runner, blocks, slots=slots), runner


def answer(cache: PagedCache, prompt: list[int], tokens: int = 0) -> int:
    """Reads a prompt as a chat does, decodes some tokens, and returns how many of the prompt were cached."""
    cached = cache.trim_to_prefix(prompt[:-1])
    assert_same(cache.feed(prompt[cached:]), prompt)
    written = text(tokens, seed=len(prompt))
    for end, token in enumerate(written, 1):
        assert_same(cache.feed([token]), prompt + written[:end])
    return cached


def test_the_next_turn_reads_only_what_is_new():
    model, _ = hybrid()
    cache, first = model.new_cache(), text(100)
    answer(cache, first, 10)
    assert answer(cache, first + text(10, seed=100) + text(50, seed=5)) == 110


def test_a_new_answer_to_a_prompt_begins_near_its_end():
    model, _ = hybrid()
    cache, prompt = model.new_cache(), text(700)
    answer(cache, prompt, 40)
    assert answer(cache, prompt, 3) == 699 - 699 % BLOCK_SIZE


def test_an_edit_goes_back_to_the_checkpoint_before_it():
    model, _ = hybrid()
    cache, prompt = model.new_cache(), text(3 * CHECKPOINT_INTERVAL)
    answer(cache, prompt)
    edited = prompt[: 2 * CHECKPOINT_INTERVAL + 100] + text(200, seed=9)
    assert answer(cache, edited, 3) == 2 * CHECKPOINT_INTERVAL
    assert answer(cache, prompt, 3) == 3 * CHECKPOINT_INTERVAL - BLOCK_SIZE  # and back


def test_a_branch_and_another_conversation_share_the_checkpoint():
    model, _ = hybrid()
    system = text(CHECKPOINT_INTERVAL)
    one, other = model.new_cache(), model.new_cache()
    answer(one, system + text(60, seed=1), 5)
    assert answer(other, system + text(70, seed=2), 5) == CHECKPOINT_INTERVAL
    assert one.table.indices[0] == other.table.indices[0]
    cached = one.trim_to_prefix(system + text(60, seed=1) + text(5, seed=CHECKPOINT_INTERVAL + 60))
    assert cached == CHECKPOINT_INTERVAL + 65  # the first one's own state was left alone


def test_what_is_cut_off_is_read_again():
    model, _ = hybrid()
    cache, prompt = model.new_cache(), text(90)
    answer(cache, prompt)
    cache.truncate(80)
    assert_same(cache.feed([7]), [*prompt[:80], 7])


def test_a_failed_call_leaves_no_state_behind():
    model, _ = hybrid()
    cache, prompt = model.new_cache(), text(100)
    answer(cache, prompt)
    with pytest.raises(RuntimeError):
        cache.feed([FATAL])
    assert_same(cache.feed([3]), [*prompt, 3])


def test_few_slots_make_answers_slower_and_not_wrong():
    """Two slots besides the empty one: a checkpoint is forgotten whenever a sequence needs its slot."""
    model, _ = hybrid(slots=3)
    caches = [model.new_cache() for _ in range(4)]
    for turn in range(3):
        for number, cache in enumerate(caches):
            answer(cache, text(CHECKPOINT_INTERVAL + 100 * turn + 40, seed=number), 2)
    assert model.pool.inconsistency() is None


def test_all_slots_are_free_once_nothing_is_cached():
    model, _ = hybrid(slots=5)
    assert model._slots is not None
    cache = model.new_cache()
    for seed in range(6):
        answer(cache, text(CHECKPOINT_INTERVAL + 50, seed=seed), 2)
        cache.reset()
    for block in list(model._slots._checkpoints):
        model._slots.forget(block)
    assert model._slots.free == 4


def test_a_block_that_is_evicted_takes_its_checkpoint_along():
    model, _ = hybrid(blocks=2 * CHECKPOINT_INTERVAL // BLOCK_SIZE, slots=8)
    assert model._slots is not None
    for seed in range(6):
        cache = model.new_cache()
        answer(cache, text(CHECKPOINT_INTERVAL + 50, seed=seed))
        cache.release()
        assert len(model._slots._checkpoints) <= 4


def test_going_back_gives_slots_and_blocks_back():
    model, _ = hybrid(slots=4)
    assert model._slots is not None
    cache = model.new_cache()
    for seed in range(6):
        answer(cache, text(60) + text(40, seed=seed), 3)
    cache.release()
    for block in list(model._slots._checkpoints):
        model._slots.forget(block)
    assert model._slots.free == 3
    assert model.pool.inconsistency() is None and model.pool.free == model.pool.blocks
