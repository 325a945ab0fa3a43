"""Block allocation for a paged KV cache: block tables, reference counts, prefix sharing and eviction.

Only the bookkeeping; no tensors. Each sequence has a block table. A full block is immutable and becomes a node of a
prefix tree, a child of the block before it, keyed by its tokens, so sequences with a common prefix share blocks. Blocks
without references stay cached in the tree until their space is needed.
"""

import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile

from llm_chatbot.engine.cache.disk_blocks import digest_of


class PoolFullError(Exception):
    """The pool has too few blocks, even after releasing every sequence that is not in use."""


@dataclass(eq=False)
class Block:
    """One block of the pool.

    Attributes:
        index: its position in the pool; -1 for the root of a prefix tree, which holds no tokens.
        ref_count: the number of block tables that contain it.
        parent: the block before it, once it is full and in the tree.
        ids: the tokens it holds, once it is in the tree.
        digest: of all tokens from the sequence's first to its last, once it is in the tree.
        children: the full blocks that follow it, keyed by their tokens.
        is_told: whether `BlockPool.on_full` were called with it.
    """

    index: int
    ref_count: int = 0
    parent: "Block | None" = None
    ids: tuple[int, ...] = ()
    digest: bytes = b""
    children: dict[tuple[int, ...], "Block"] = field(default_factory=dict)
    is_told: bool = False

    @property
    def is_in_tree(self) -> bool:
        return self.parent is not None and self.parent.children.get(self.ids) is self


class BlockPool:
    """The blocks shared by all sequences.

    Args:
        blocks: the number of blocks.
        block_size: tokens per block.
        copy: copies the contents of one block to another: (source index, target index).

    Attributes:
        busy: tables that must not be evicted because a call is writing to them.
        on_full: are called with each block of the tree that a table which is not private has filled or shares.
        on_evict: are called with each block that leaves it.
    """

    def __init__(self, blocks: int, block_size: int, copy: Callable[[int, int], None]) -> None:
        self.blocks = blocks
        self.block_size = block_size
        self.busy: set[BlockTable] = set()
        self.on_full: list[Callable[[Block], None]] = []
        self.on_evict: list[Callable[[Block], None]] = []
        self._copy = copy
        self._free = list(range(blocks))[::-1]  # a stack: the lowest index is taken first
        self._unreferenced: OrderedDict[Block, None] = OrderedDict()  # cached without references, in eviction order
        self._roots: dict[Hashable, Block] = {}
        self._tables: OrderedDict[BlockTable, None] = OrderedDict()  # those with blocks, least recently used first

    @property
    def free(self) -> int:
        """The number of blocks without references."""
        return len(self._free) + len(self._unreferenced)

    def inconsistency(self) -> str | None:
        """A sentence on what is wrong with the bookkeeping; None if every block is accounted for.

        Takes a step for each block that a table holds.
        """
        held = Counter(block for table in self._tables for block in table.blocks)
        wrong = [block.index for block, count in held.items() if block.ref_count != count]
        if wrong:
            return f"the reference counts of the blocks {wrong[:5]} are not the numbers of their tables"
        counted = len(self._free) + len(self._unreferenced) + len(held)
        if counted != self.blocks:
            return f"{counted} blocks are free, cached or held, and the pool has {self.blocks}"
        return None

    def root(self, key: Hashable) -> Block:
        """The root of the prefix tree for `key`: whatever keys and values depend on besides the tokens."""
        return self._roots.setdefault(key, Block(-1, digest=repr(key).encode()))

    def allocate(self, count: int, table: "BlockTable") -> list[Block]:
        """Allocates blocks for a table, releasing the least recently used tables if necessary.

        Raises:
            PoolFullError: there are too few blocks.
        """
        while self.free < count and self.release_oldest(table):
            pass
        if self.free < count:
            raise PoolFullError
        return [Block(self._take(), ref_count=1) for _ in range(count)]

    def release_oldest(self, table: "BlockTable") -> bool:
        """Releases the least recently used of the other tables that no call is writing to; False: there is none."""
        oldest = next((other for other in self._tables if other is not table and other not in self.busy), None)
        if oldest is not None:
            oldest.release()
        return oldest is not None

    def _take(self) -> int:
        if not self._free:
            self._evict(next(iter(self._unreferenced)))
        return self._free.pop()

    def _evict(self, block: Block) -> None:
        """Removes an unreferenced block from the tree. It is a leaf: children are evicted before their parents."""
        assert block.parent is not None and not block.children and not block.ref_count
        del self._unreferenced[block]
        for call in self.on_evict:
            call(block)
        del block.parent.children[block.ids]
        self._free.append(block.index)

    def hold(self, block: Block) -> None:
        """Adds a reference to a block."""
        self._unreferenced.pop(block, None)
        block.ref_count += 1

    def drop(self, blocks: Sequence[Block]) -> None:
        """Removes one reference from each of these blocks, given in the order of their table."""
        for block in reversed(blocks):
            block.ref_count -= 1
            if block.ref_count:
                continue
            if block.parent is not None:
                self._unreferenced[block] = None
            else:
                self._free.append(block.index)

    def used(self, table: "BlockTable") -> None:
        """Marks a table as the most recently used."""
        self._tables[table] = None
        self._tables.move_to_end(table)

    def unused(self, table: "BlockTable") -> None:
        """Removes a table without blocks from the eviction order."""
        self._tables.pop(table, None)

    def copy_of(self, block: Block, table: "BlockTable") -> Block:
        """Copies a block for a table, which then owns the copy.

        Raises:
            PoolFullError: no block is left.
        """
        self.hold(block)
        try:
            (own,) = self.allocate(1, table)
        finally:
            self.drop([block])
        self._copy(block.index, own.index)
        return own


class BlockTable:
    """The block table of one sequence.

    Attributes:
        ids: the cached tokens, in order.
        blocks: the blocks that hold them, then reserved blocks. Only the last block with tokens may be partly filled.
        is_private: whether the blocks that it fills are told to nobody, and so not kept beyond this process.
    """

    def __init__(self, pool: BlockPool, key: Hashable = None, is_private: bool = False) -> None:
        self.ids: list[int] = []
        self.blocks: list[Block] = []
        self.is_private = is_private
        self._pool = pool
        self._root = pool.root(key)

    @property
    def state(self) -> tuple[int, int]:
        """The slots of the recurrent state that the next call reads and writes; most models have none."""
        return 0, 0

    def expect_prompt(self, length: int) -> None:
        """Notes how many tokens the next prompt has."""

    def next_stop(self, count: int) -> int:
        """How many of `count` tokens the next call may read."""
        return count

    @property
    def indices(self) -> list[int]:
        """The blocks' indices in the pool."""
        return [block.index for block in self.blocks]

    def reserve(self, count: int) -> None:
        """Reserves blocks for `count` more tokens.

        Raises:
            PoolFullError: there are too few blocks.
        """
        missing = math.ceil((len(self.ids) + count) / self._pool.block_size) - len(self.blocks)
        self._pool.used(self)
        if missing > 0:
            self.blocks += self._pool.allocate(missing, self)

    def append(self, ids: Sequence[int]) -> None:
        """Records that the reserved blocks now hold `ids` too, and adds blocks that became full to the tree."""
        size = self._pool.block_size
        first = len(self.ids) // size
        self.ids += ids
        assert len(self.ids) <= size * len(self.blocks)
        for place in range(first, len(self.ids) // size):
            self._share(place, tuple(self.ids[place * size : (place + 1) * size]))

    def _share(self, place: int, ids: tuple[int, ...]) -> None:
        """Adds a full block to the tree, or replaces it with the equal one that is already there."""
        block, parent = self.blocks[place], self._before(place)
        if (known := parent.children.get(ids)) is not None:
            self._pool.hold(known)
            self._pool.drop([block])
            self.blocks[place] = known
        else:
            block.parent, block.ids, block.digest = parent, ids, digest_of(parent.digest, ids)
            parent.children[ids] = block
        self._tell(self.blocks[place])

    def _tell(self, block: Block) -> None:
        """Tells of a block once. One that a private conversation filled is told when another one has read the same."""
        if not self.is_private and not block.is_told:
            block.is_told = True
            for call in self._pool.on_full:
                call(block)

    def _before(self, place: int) -> Block:
        return self.blocks[place - 1] if place else self._root

    def truncate(self, length: int) -> None:
        """Truncates the sequence to its first `length` tokens, or to fewer if there is no block left for a copy."""
        if length >= len(self.ids):
            return
        full, rest = divmod(length, self._pool.block_size)
        if rest and self.blocks[full].parent is None:
            self._drop_from(full + 1)
        else:  # a full block may be shared, so its first tokens are copied
            copied = self._copied(self.blocks[full]) if rest else []
            self._drop_from(full)
            self.blocks += copied
            if not copied:
                length -= rest
        del self.ids[length:]

    def _drop_from(self, place: int) -> None:
        self._pool.drop(self.blocks[place:])
        del self.blocks[place:]

    def _copied(self, block: Block) -> list[Block]:
        """A copy of a block; an empty list if the pool is full."""
        try:
            return [self._pool.copy_of(block, self)]
        except PoolFullError:
            return []

    def drop_tail(self) -> None:
        """Truncates the sequence to its full blocks: a failed call leaves the contents of the others undefined."""
        size = self._pool.block_size
        full = len(self.ids) // size
        self._drop_from(full)
        del self.ids[full * size :]

    def trim_to_prefix(self, ids: Sequence[int]) -> int:
        """Keeps or shares the longest cached prefix of `ids`, drops the rest, and returns the prefix's length."""
        ids = list(ids)
        self._pool.used(self)
        self.truncate(common_length(self.ids, ids))
        size = self._pool.block_size
        place, rest = divmod(len(self.ids), size)
        next_block = tuple(ids[place * size : (place + 1) * size])
        if rest and next_block in self._before(place).children:
            self.drop_tail()  # a full block in the tree replaces the partly filled one
        if len(self.ids) % size == 0:
            self._drop_from(len(self.ids) // size)
            self._extend_from_tree(ids)
        if not self.blocks:
            self._pool.unused(self)
        return len(self.ids)

    def _extend_from_tree(self, ids: list[int]) -> None:
        """Extends the prefix with matching blocks of the tree, then with a copy of the best partial match."""
        size = self._pool.block_size
        while True:
            parent, rest = self._before(len(self.blocks)), ids[len(self.ids) :]
            child = parent.children.get(tuple(rest[:size]))
            if child is None:
                break
            self._pool.hold(child)
            self._tell(child)
            self.blocks.append(child)
            self.ids += child.ids
        similar = max(parent.children.values(), key=lambda block: common_length(block.ids, rest), default=None)
        if similar is None or not (length := common_length(similar.ids, rest)):
            return
        if copied := self._copied(similar):
            self.blocks += copied
            self.ids += similar.ids[:length]

    def next_block(self, ids: Sequence[int]) -> tuple[bytes, tuple[int, ...]]:
        """The digest and tokens of the next full block of `ids`, of which the table holds a prefix."""
        size = self._pool.block_size
        place = len(self.ids) // size
        following = tuple(ids[place * size : (place + 1) * size])
        return digest_of(self._before(place).digest, following), following

    def append_block(self, ids: tuple[int, ...], write: Callable[[int], None]) -> bool:
        """Appends a full block after the other full ones, in place of one that is partly filled.

        Args:
            ids: its tokens.
            write: writes its contents to the block with an index.

        Returns:
            False if the pool is full.
        """
        self.drop_tail()
        try:
            self.reserve(len(ids))
        except PoolFullError:
            return False
        write(self.blocks[-1].index)
        self.append(ids)
        return True

    def release(self) -> None:
        """Drops all blocks. Full ones stay cached and can be shared until they are evicted."""
        self._pool.drop(self.blocks)
        self.blocks, self.ids = [], []
        self._pool.unused(self)


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """The length of the longest common prefix of two sequences."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
