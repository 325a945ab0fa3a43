"""The recurrent states of hybrid models: where they are kept, and to which of them a sequence can be cut back.

A layer with a recurrent state (Mamba, a short convolution) keeps one state for a whole sequence, and not something for
each token, so a sequence can't be cut back to any length. A table therefore leaves checkpoints behind: the state after
a full block that is in the prefix tree. Another sequence, or the same one after an edit, goes on from the nearest
checkpoint before the place where it differs, and the tokens between are read again.
"""

from collections import OrderedDict
from collections.abc import Hashable, Sequence

from llm_chatbot.engine.cache.block_pool import Block, BlockPool, BlockTable, PoolFullError, common_length

EMPTY = 0  # the slot with the state before the first token, which is never written

# A state takes as much memory as the keys and values of a thousand tokens, so there isn't one for each block.
CHECKPOINT_INTERVAL = 512  # tokens between checkpoints; a multiple of any block's size


class StateSlots:
    """Slots for states, shared by all sequences of a pool. Only the bookkeeping; no tensors.

    Args:
        slots: how many there are, the empty state's included.
        pool: of the sequences' blocks.
    """

    def __init__(self, slots: int, pool: BlockPool) -> None:
        self.slots = slots
        self.pool = pool
        self._ref_counts = [1, *[0] * (slots - 1)]
        self._free = list(range(1, slots))[::-1]
        self._checkpoints: OrderedDict[Block, int] = OrderedDict()  # the least recently used first
        pool.on_evict.append(self.forget)

    @property
    def free(self) -> int:
        """The number of slots without a state."""
        return len(self._free)

    def allocate(self, table: "StatefulTable") -> int:
        """Allocates a slot for a table, forgetting the least recently used checkpoints or tables if necessary.

        Raises:
            PoolFullError: all states are in use.
        """
        while not self._free:
            if not self._forget_oldest() and not self.pool.release_oldest(table):
                raise PoolFullError
        slot = self._free.pop()
        self._ref_counts[slot] = 1
        return slot

    def _forget_oldest(self) -> bool:
        """Forgets a checkpoint whose slot becomes free by that; False: there is none."""
        found = next((block for block, slot in self._checkpoints.items() if self._ref_counts[slot] == 1), None)
        if found is not None:
            self.forget(found)
        return found is not None

    def is_shared(self, slot: int) -> bool:
        return self._ref_counts[slot] > 1

    def hold(self, slot: int) -> None:
        """Adds a reference to a slot."""
        self._ref_counts[slot] += 1

    def drop(self, slot: int) -> None:
        """Removes a reference from a slot."""
        self._ref_counts[slot] -= 1
        if not self._ref_counts[slot]:
            self._free.append(slot)

    def keep(self, block: Block, slot: int) -> None:
        """Makes a checkpoint of the state after a full block, unless there is one."""
        if block not in self._checkpoints:
            self._checkpoints[block] = slot
            self.hold(slot)

    def forget(self, block: Block) -> None:
        """Drops the checkpoint after a block, if there is one."""
        if (slot := self._checkpoints.pop(block, None)) is not None:
            self.drop(slot)

    def has_checkpoint(self, block: Block) -> bool:
        return block in self._checkpoints

    def take_checkpoint(self, block: Block) -> int:
        """The slot of the checkpoint after a block, with a reference for the caller."""
        self._checkpoints.move_to_end(block)
        slot = self._checkpoints[block]
        self.hold(slot)
        return slot


class StatefulTable(BlockTable):
    """The block table of one sequence of a hybrid model, with its recurrent state.

    Args:
        slots: of the states.
        key, is_private: see `BlockTable`.
    """

    def __init__(self, slots: StateSlots, key: Hashable = None, is_private: bool = False) -> None:
        super().__init__(slots.pool, key, is_private)
        self._slots = slots
        self._slot = EMPTY  # the state after `ids`
        self._target: int | None = None  # where the next call writes
        self._prompt_end = 0

    @property
    def state(self) -> tuple[int, int]:
        """The slots that the next call reads and writes."""
        return self._slot, self._slot if self._target is None else self._target

    def expect_prompt(self, length: int) -> None:
        """Has a checkpoint made near the end of the next prompt: there answers are written again."""
        self._prompt_end = length - length % self._pool.block_size

    def next_stop(self, count: int) -> int:
        """How many of `count` tokens the next call reads: it ends where a checkpoint is due."""
        past = len(self.ids)
        stops = [(past // CHECKPOINT_INTERVAL + 1) * CHECKPOINT_INTERVAL, self._prompt_end]
        return min([count, *(stop - past for stop in stops if stop > past)])

    def reserve(self, count: int) -> None:
        super().reserve(count)
        if self._target is None and (self._slot == EMPTY or self._slots.is_shared(self._slot)):
            self._target = self._slots.allocate(self)

    def append(self, ids: Sequence[int]) -> None:
        super().append(ids)
        if self._target is not None:
            self._move_to(self._target)
        length = len(self.ids)
        is_due = length % CHECKPOINT_INTERVAL == 0 or length == self._prompt_end
        if is_due and length % self._pool.block_size == 0:
            self._slots.keep(self.blocks[length // self._pool.block_size - 1], self._slot)

    def truncate(self, length: int) -> None:
        """Truncates the sequence to `length` tokens, or to the checkpoint before them."""
        if length < len(self.ids):
            self._restart(self.ids[:length])

    def drop_tail(self) -> None:
        """Truncates the sequence to a checkpoint: a failed call leaves the state undefined."""
        self._restart(self.ids)

    def trim_to_prefix(self, ids: Sequence[int]) -> int:
        ids = list(ids)
        self._pool.used(self)
        is_prefix = common_length(self.ids, ids) == len(self.ids)
        if not is_prefix or len(self._checkpointed(ids)) * self._pool.block_size > len(self.ids):
            self._restart(ids)
        if not self.blocks:
            self._pool.unused(self)
        return len(self.ids)

    def release(self) -> None:
        self._move_to(EMPTY)
        super().release()

    def _move_to(self, slot: int) -> None:
        """Takes over a slot with a reference of this table's, and drops the others."""
        held = {other for other in (self._slot, self._target) if other is not None}
        self._slot, self._target = slot, None
        for other in held - {slot, EMPTY}:
            self._slots.drop(other)

    def _checkpointed(self, ids: Sequence[int]) -> list[Block]:
        """The blocks of the tree with a prefix of `ids`, to the last one with a checkpoint."""
        size, block = self._pool.block_size, self._root
        found: list[Block] = []
        length = 0
        for start in range(0, len(ids) - size + 1, size):
            child = block.children.get(tuple(ids[start : start + size]))
            if child is None:
                break
            block = child
            found.append(block)
            if self._slots.has_checkpoint(block):
                length = len(found)
        return found[:length]

    def _restart(self, ids: Sequence[int]) -> None:
        """Goes back to the last checkpoint in `ids`, of this sequence or another, or to the beginning."""
        blocks = self._checkpointed(ids)
        slot = self._slots.take_checkpoint(blocks[-1]) if blocks else EMPTY
        for block in blocks:
            self._pool.hold(block)
            self._tell(block)
        self.release()
        self._slot, self.blocks = slot, blocks
        self.ids = [id for block in blocks for id in block.ids]
        if blocks:
            self._pool.used(self)
