"""Prefix sharing, copy on write, eviction. Blocks hold four tokens; their contents are lists of token ids."""

import random
from contextlib import suppress
from itertools import count

import pytest

from llm_chatbot.engine.cache.block_pool import BlockPool, BlockTable, PoolFullError, common_length

SIZE = 4


class Contents:
    """The contents of a pool's tensors, and a check of everything that has to be true of pool and tables."""

    def __init__(self, blocks: int) -> None:
        self.slots: list[list[int | None]] = [[None] * SIZE for _ in range(blocks)]
        self.copies = 0
        self.pool = BlockPool(blocks, SIZE, self.copy)
        self.tables: list[BlockTable] = []

    def copy(self, source: int, target: int) -> None:
        assert source != target
        self.copies += 1
        self.slots[target] = list(self.slots[source])

    def table(self, key: object = None) -> BlockTable:
        self.tables.append(BlockTable(self.pool, key))
        return self.tables[-1]

    def feed(self, table: BlockTable, ids: list[int]) -> None:
        """As a model does: reserve, write, note."""
        table.reserve(len(ids))
        for position, token in enumerate(ids, start=len(table.ids)):
            block = table.blocks[position // SIZE]
            assert block.ref_count == 1 and block.parent is None, "only a block of one's own may be written"
            self.slots[block.index][position % SIZE] = token
        table.append(ids)
        self.check()

    def check(self) -> None:
        for table in self.tables:
            assert [self.slots[i][p] for i in table.indices for p in range(SIZE)][: len(table.ids)] == table.ids
            for place, block in enumerate(table.blocks):
                assert (block.parent is not None) == (place < len(table.ids) // SIZE)
        held = [block for table in self.tables for block in table.blocks]
        assert all(block.ref_count == held.count(block) for block in held)
        unheld = list(self.pool._unreferenced)
        assert not any(block.ref_count for block in unheld)
        assert all(unheld.index(b) < unheld.index(b.parent) for b in unheld if b.parent in unheld), "ends go first"
        indices = [block.index for block in {*held, *unheld}] + self.pool._free
        assert sorted(indices) == list(range(self.pool.blocks)), "every block is in one place"


def test_blocks_are_taken_as_they_are_needed_and_all_come_back():
    contents = Contents(4)
    table = contents.table()
    contents.feed(table, [1, 2, 3])
    assert contents.pool.free == 3
    contents.feed(table, [4, 5])
    assert contents.pool.free == 2 and table.ids == [1, 2, 3, 4, 5]
    table.release()
    assert contents.pool.free == 4 and table.ids == []
    table.release()
    contents.check()


def test_a_beginning_that_another_holds_is_shared_and_not_copied():
    contents = Contents(8)
    one, other = contents.table(), contents.table()
    contents.feed(one, list(range(10)))
    assert other.trim_to_prefix([*range(8), 90, 91]) == 8
    assert other.blocks == one.blocks[:2] and contents.copies == 0
    contents.feed(other, [90, 91, 92])
    assert contents.pool.free == 8 - 4


def test_a_beginning_is_found_by_its_tokens_and_by_what_comes_before_them():
    contents = Contents(8)
    one, other = contents.table(), contents.table()
    contents.feed(one, [1, 2, 3, 4, 5, 6, 7, 8])
    assert other.trim_to_prefix([5, 6, 7, 8]) == 0
    assert other.trim_to_prefix([1, 2, 3, 4, 9, 9, 9, 9]) == 4


def test_sequences_that_depend_on_another_key_share_nothing():
    contents = Contents(8)
    contents.feed(contents.table(1.0), [1, 2, 3, 4])
    assert contents.table(3.0).trim_to_prefix([1, 2, 3, 4]) == 0
    assert contents.table(1.0).trim_to_prefix([1, 2, 3, 4]) == 4


def test_a_block_that_begins_alike_is_copied_as_far_as_it_does():
    contents = Contents(8)
    one, other = contents.table(), contents.table()
    contents.feed(one, [1, 2, 3, 4, 5, 6, 7, 8])
    assert other.trim_to_prefix([1, 2, 3, 4, 5, 6, 90]) == 6
    assert contents.copies == 1
    contents.feed(other, [90, 91])
    assert one.ids == [1, 2, 3, 4, 5, 6, 7, 8]
    contents.check()


def test_cutting_back_in_the_middle_of_a_block_leaves_it_whole_for_those_who_come_back():
    contents = Contents(8)
    table = contents.table()
    contents.feed(table, [1, 2, 3, 4, 5, 6, 7, 8])
    assert table.trim_to_prefix([1, 2, 3, 4, 5, 90]) == 5
    contents.feed(table, [90])
    assert table.trim_to_prefix([1, 2, 3, 4, 5, 6, 7, 8, 9]) == 8
    contents.check()


def test_the_last_block_is_cut_without_a_copy_while_it_is_not_full():
    contents = Contents(8)
    table = contents.table()
    contents.feed(table, [1, 2, 3, 4, 5, 6, 7])
    table.truncate(5)
    assert table.ids == [1, 2, 3, 4, 5] and contents.copies == 0
    table.truncate(9)
    assert table.ids == [1, 2, 3, 4, 5]
    contents.feed(table, [60, 70, 80])


def test_two_that_read_the_same_at_the_same_time_hold_it_once_afterwards():
    contents = Contents(8)
    one, other = contents.table(), contents.table()
    for table in (one, other):
        table.reserve(4)
        contents.slots[table.blocks[0].index] = [1, 2, 3, 4]
    one.append([1, 2, 3, 4])
    other.append([1, 2, 3, 4])
    contents.check()
    assert one.blocks == other.blocks and contents.pool.free == 7


def test_the_one_that_was_silent_for_longest_gives_its_blocks_back():
    contents = Contents(4)
    first, second, third = contents.table(), contents.table(), contents.table()
    contents.feed(first, [1, 2, 3, 4, 5])
    contents.feed(second, [6, 7, 8, 9, 10])
    contents.feed(first, [6])
    contents.feed(third, [11])
    assert second.ids == [] and first.ids == [1, 2, 3, 4, 5, 6]
    assert second.trim_to_prefix([6, 7, 8, 9, 10]) == 4, "what nobody needed is still there"


def test_the_space_of_the_end_of_a_sequence_is_used_before_that_of_its_beginning():
    contents = Contents(3)
    first, second = contents.table(), contents.table()
    contents.feed(first, list(range(12)))
    contents.feed(second, [90])
    assert first.ids == []
    assert first.trim_to_prefix(range(12)) == 8


def test_those_that_are_busy_do_not_give_theirs_back():
    contents = Contents(2)
    one, other = contents.table(), contents.table()
    contents.feed(one, [1, 2, 3, 4, 5])
    contents.pool.busy = {one}
    with pytest.raises(PoolFullError):
        other.reserve(1)
    contents.check()
    assert one.ids == [1, 2, 3, 4, 5]
    contents.pool.busy.clear()
    other.reserve(1)
    assert one.ids == []


def test_a_sequence_longer_than_the_pool_is_refused_and_keeps_what_it_has():
    contents = Contents(2)
    table = contents.table()
    contents.feed(table, [1, 2, 3, 4, 5])
    with pytest.raises(PoolFullError):
        table.reserve(4)
    assert table.ids == [1, 2, 3, 4, 5]
    contents.feed(table, [6, 7, 8])


def test_without_space_for_a_copy_the_part_of_a_block_is_read_again():
    contents = Contents(1)
    table = contents.table()
    contents.feed(table, [1, 2, 3, 4])
    table.truncate(2)
    assert table.ids == []
    contents.feed(table, [1, 2, 5])


def test_after_a_failed_call_what_it_may_have_changed_is_gone():
    contents = Contents(4)
    table = contents.table()
    contents.feed(table, [1, 2, 3, 4, 5])
    table.reserve(6)
    table.drop_tail()
    contents.check()
    assert table.ids == [1, 2, 3, 4] and contents.pool.free == 3
    contents.feed(table, [5, 6])


@pytest.mark.parametrize("seed", range(40))
def test_any_series_of_operations_keeps_every_sequence_and_loses_no_block(seed: int):
    """Few different tokens, so that sequences begin alike; a small pool, so that it is often full."""
    chance = random.Random(seed)
    contents = Contents(chance.choice([6, 12, 30]))
    tables = [contents.table(key) for key in (None, None, None, None, "other")]
    wanted: dict[BlockTable, list[int]] = {table: [] for table in tables}
    for _ in range(300):
        table = chance.choice(tables)
        contents.pool.busy = set(chance.sample(tables, chance.randrange(3)))
        match chance.randrange(6):
            case 0 | 1 | 2:
                start = wanted[chance.choice(tables)]
                ids = [*start[: chance.randrange(len(start) + 1)], *chance.choices([1, 2], k=chance.randrange(1, 7))]
                held = table.trim_to_prefix(ids)
                assert table.ids == ids[:held]
                contents.check()
                wanted[table] = ids
                try:
                    contents.feed(table, ids[held:])
                    assert table.ids == ids
                except PoolFullError:
                    assert table.ids == ids[:held]
            case 3:
                length = chance.randrange(len(table.ids) + 2)
                before = table.ids.copy()
                table.truncate(length)
                assert table.ids == before[: len(table.ids)] and len(table.ids) <= length
            case 4:
                with suppress(PoolFullError):
                    table.reserve(chance.randrange(9))
                table.drop_tail()
            case 5:
                table.release()
        contents.check()
    for table in tables:
        table.release()
    contents.check()
    assert contents.pool.free == contents.pool.blocks


def test_the_common_beginning():
    numbers = count(3)
    assert common_length([], [1]) == 0
    assert common_length([1, 2, next(numbers)], [1, 2, next(numbers)]) == 2
    assert common_length((1, 2), (1, 2, 3)) == 2


def test_the_pool_says_what_is_inconsistent():
    contents = Contents(4)
    table = contents.table()
    contents.feed(table, [1, 2, 3, 4, 5])
    assert contents.pool.inconsistency() is None
    table.blocks[0].ref_count += 1
    assert "reference counts" in (contents.pool.inconsistency() or "")
    table.blocks[0].ref_count -= 1
    contents.pool._free.pop()
    assert "3 blocks are free, cached or held, and the pool has 4" in (contents.pool.inconsistency() or "")
