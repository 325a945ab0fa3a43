"""Blocks that were read stay read: on a fake model whose logits depend on what its blocks hold."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from llm_chatbot.engine.cache.disk_blocks import DiskBlocks, Layout
from llm_chatbot.engine.cache.kept_blocks import KeptBlocks
from llm_chatbot.engine.cache.paged_cache import PagedCache, PagedModel
from llm_chatbot.engine.cache.paged_runner import BLOCK_SIZE
from tests.fake_runner import FakeRunner, assert_same, fake, text

LAYOUT = Layout(bytes(32), 8 * BLOCK_SIZE, BLOCK_SIZE)


def started(root: Path, blocks: int = 64, **arguments) -> tuple[PagedModel, FakeRunner]:
    """The model after a start."""
    model, runner = fake(blocks, **arguments)
    model.keep_on_disk(DiskBlocks(root, LAYOUT))
    return model, runner


def wait_until_written() -> None:
    for thread in [thread for thread in threading.enumerate() if thread.name == "kept blocks"]:
        thread.join()


def read(model: PagedModel, ids: list[int], cache: PagedCache | None = None) -> int:
    """Reads a prompt as an answer does, and returns how many of its tokens were cached."""
    cache = cache or model.new_cache()
    with model.in_use():
        held = cache.trim_to_prefix(ids[:-1])
        assert_same(cache.feed(ids[held:]), ids)
    wait_until_written()
    return held


def tokens_read(runner: FakeRunner) -> int:
    return sum(len(part.ids) for call in runner.calls for part in call)


def test_after_a_restart_only_what_is_new_is_read(tmp_path: Path):
    ids = text(300)
    assert read(started(tmp_path)[0], ids[:200]) == 0
    model, runner = started(tmp_path)
    assert read(model, ids) == 192
    assert tokens_read(runner) == 108
    model, runner = started(tmp_path)
    assert read(model, [*ids, 5]) == 288, "what the second start read is kept too"
    assert model.pool.inconsistency() is None


def test_what_a_private_conversation_reads_is_written_nowhere(tmp_path: Path):
    model, _ = started(tmp_path)
    cache = model.new_cache()
    cache.make_private()
    read(model, text(200), cache)
    assert not [file for file in tmp_path.rglob("*") if file.is_file()]
    assert read(started(tmp_path)[0], text(200)) == 0
    assert read(model, text(300, seed=1)) < BLOCK_SIZE
    assert read(started(tmp_path)[0], text(300, seed=1)) == 288, "other conversations are kept as before"


def test_what_a_private_conversation_has_read_is_written_once_another_one_shares_it(tmp_path: Path):
    model, _ = started(tmp_path)
    private = model.new_cache()
    private.make_private()
    read(model, text(200), private)
    assert read(model, text(200)) == 192
    assert read(started(tmp_path)[0], text(200)) == 192


def test_a_branch_shares_what_was_kept_and_another_text_nothing(tmp_path: Path):
    read(started(tmp_path)[0], text(200))
    model, _ = started(tmp_path)
    assert read(model, [*text(100), *text(100, seed=1)]) == 96
    assert read(model, text(200, seed=2)) < BLOCK_SIZE
    assert read(model, [7, *text(200)]) < BLOCK_SIZE


def test_a_block_in_memory_is_extended_from_the_disk(tmp_path: Path):
    read(started(tmp_path)[0], text(200))
    model, _ = started(tmp_path)
    cache = model.new_cache()
    assert read(model, [*text(50), 1, 2, 3], cache) == 32
    assert read(model, text(200), cache) == 192, "in place of a block that is partly filled"
    assert model.pool.inconsistency() is None


def test_what_depends_on_other_inputs_is_kept_apart(tmp_path: Path):
    def extra(length: int) -> dict[str, float]:
        return {"scale": float(length > 150)}

    def read(model: PagedModel, ids: list[int]) -> int:
        with model.in_use():
            return model.new_cache().trim_to_prefix(ids[:-1])

    model, _ = started(tmp_path, extra_inputs=extra)
    with model.in_use():
        cache = model.new_cache()
        cache.trim_to_prefix(text(99))
        cache.feed(text(100))
    wait_until_written()
    model, _ = started(tmp_path, extra_inputs=extra)
    assert read(model, text(120)) == 96
    assert read(model, text(200)) == 0


def test_a_pool_that_is_full_takes_what_it_can(tmp_path: Path):
    read(started(tmp_path)[0], text(320))
    model, runner = started(tmp_path, blocks=4)
    busy = model.new_cache()
    busy.feed(text(64, seed=3))
    model.pool.busy.add(busy.table)
    cache = model.new_cache()
    assert cache.trim_to_prefix(text(120)) == 64
    model.pool.busy.clear()
    assert_same(cache.feed(text(120)[64:]), text(120))
    assert tokens_read(runner) == 64 + 56
    assert model.pool.inconsistency() is None


def test_blocks_that_were_given_to_others_are_not_written_as_what_they_were(tmp_path: Path):
    read(started(tmp_path)[0], text(40, seed=2))
    model, _ = started(tmp_path, blocks=8)
    with model.in_use():
        for seed in range(5):
            cache = model.new_cache()
            cache.trim_to_prefix(text(99, seed))
            cache.feed(text(100, seed)[len(cache.ids) :])
    wait_until_written()
    model, _ = started(tmp_path)
    assert [read(model, text(100, seed)) // BLOCK_SIZE for seed in range(5)] == [0, 0, 1, 3, 3]


def test_each_answer_s_end_deletes_what_is_too_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model, _ = started(tmp_path)
    read(model, text(100))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 8 * 24 * 3600)
    read(model, text(100, seed=1))
    monkeypatch.setattr(time, "time", lambda: now)
    assert read(started(tmp_path)[0], text(100)) == 0


def test_nothing_is_written_while_somebody_waits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    written = []

    def slow(self: DiskBlocks, *block) -> bool:
        written.append(block)
        time.sleep(0.02)
        return True

    monkeypatch.setattr(DiskBlocks, "write", slow)
    model, _ = started(tmp_path)
    with model.in_use():
        model.new_cache().feed(text(1000))
        time.sleep(0.05)
        assert not written
    while not written:
        time.sleep(0.001)
    with model.in_use():
        time.sleep(0.05)
        before = len(written)
        time.sleep(0.1)
        assert len(written) == before < 31
    wait_until_written()
    assert len(written) == 31, "the next pause goes on"


def test_a_disk_that_fails_changes_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(self: DiskBlocks, *block) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(DiskBlocks, "write", full)
    model, _ = started(tmp_path)
    assert read(model, text(200)) == 0
    assert read(model, text(200)) == 192
    monkeypatch.undo()
    read(model, text(100, seed=4))
    assert read(started(tmp_path)[0], text(100, seed=4)) == 96, "it is tried again"


def test_a_model_that_is_freed_can_be_collected(tmp_path: Path):
    model, _ = fake()
    kept = KeptBlocks(model, DiskBlocks(tmp_path, LAYOUT))
    del model
    kept.begin_pause()
    wait_until_written()
    assert kept._model() is None


def test_many_conversations_after_restarts_each_get_what_they_get_alone(tmp_path: Path):
    """In a pool that few of them fit in."""
    at_random = np.random.default_rng(0)
    for _ in range(6):
        model, _ = started(tmp_path, blocks=10)
        for _ in range(15):
            shared, own = at_random.integers(1, 150), at_random.integers(1, 100)
            read(
                model,
                [*text(int(shared), seed=int(at_random.integers(2))), *text(int(own), int(at_random.integers(9)))],
            )
        assert model.pool.inconsistency() is None
