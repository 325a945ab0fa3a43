"""Which blocks of a pool hold the keys and values of which tokens. Only the bookkeeping: it knows no tensors.

A sequence holds its tokens in a table of blocks. Blocks that are full never change; each is a node of a tree, under
the block before it and found by its own tokens, so that sequences with the same beginning hold the same blocks. What
nobody holds any longer stays in the tree until its space is needed.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from itertools import takewhile


class PoolFullError(Exception):
    """There are not as many blocks as are asked for, even if all other sequences give theirs back."""


@dataclass(eq=False)
class Block:
    """One block of the pool.

    Attributes:
        index: its place in the pool; -1 for the root of a tree, which has no tokens.
        holders: how many tables it is in.
        parent: the block before it, once it is full and in the tree.
        ids: the tokens whose keys and values it has, once it is in the tree.
        children: the full blocks that follow it, by their tokens.
    """

    index: int
    holders: int = 0
    parent: "Block | None" = None
    ids: tuple[int, ...] = ()
    children: dict[tuple[int, ...], "Block"] = field(default_factory=dict)


class BlockPool:
    """The blocks of all sequences.

    Args:
        blocks: how many there are.
        block_size: tokens in a block.
        copy: copies the content of one block to another, by their indices.

    Attributes:
        busy: tables that keep their blocks, whoever needs some: they are being written to.
    """

    def __init__(self, blocks: int, block_size: int, copy: Callable[[int, int], None]) -> None:
        self.blocks = blocks
        self.block_size = block_size
        self.busy: set[BlockTable] = set()
        self._copy = copy
        self._free = list(range(blocks))[::-1]  # the lowest at the end, to be taken first
        self._unheld: OrderedDict[Block, None] = OrderedDict()  # in the tree; the first to be given up comes first
        self._roots: dict[Hashable, Block] = {}
        self._tables: OrderedDict[BlockTable, None] = OrderedDict()  # with blocks; silent for longest first

    @property
    def free(self) -> int:
        """How many blocks nobody holds."""
        return len(self._free) + len(self._unheld)

    def root(self, key: Hashable) -> Block:
        """The tree of sequences whose keys and values depend on `key`, beside their tokens."""
        return self._roots.setdefault(key, Block(-1))

    def allocate(self, count: int, table: "BlockTable") -> list[Block]:
        """New blocks for a table, for which others may have to give theirs back.

        Raises:
            PoolFullError: there are too few.
        """
        for other in [other for other in self._tables if other is not table and other not in self.busy]:
            if self.free >= count:
                break
            other.release()
        if self.free < count:
            raise PoolFullError
        return [Block(self._take(), holders=1) for _ in range(count)]

    def _take(self) -> int:
        if not self._free:
            self._forget(next(iter(self._unheld)))
        return self._free.pop()

    def _forget(self, block: Block) -> None:
        """Takes a block out of the tree that nobody holds. Nothing is below it: children come before their parents."""
        assert block.parent is not None and not block.children and not block.holders
        del self._unheld[block]
        del block.parent.children[block.ids]
        self._free.append(block.index)

    def hold(self, block: Block) -> None:
        self._unheld.pop(block, None)
        block.holders += 1

    def drop(self, blocks: Sequence[Block]) -> None:
        """Gives back blocks of one table, in its order."""
        for block in reversed(blocks):
            block.holders -= 1
            if block.holders:
                continue
            if block.parent is not None:
                self._unheld[block] = None
            else:
                self._free.append(block.index)

    def used(self, table: "BlockTable") -> None:
        """Notes that a table is in use now."""
        self._tables[table] = None
        self._tables.move_to_end(table)

    def unused(self, table: "BlockTable") -> None:
        self._tables.pop(table, None)

    def copy_of(self, block: Block, table: "BlockTable") -> Block:
        """A block with the same content for a table.

        Raises:
            PoolFullError: there is none left.
        """
        self.hold(block)
        try:
            (own,) = self.allocate(1, table)
        finally:
            self.drop([block])
        self._copy(block.index, own.index)
        return own


class BlockTable:
    """The blocks of one sequence.

    Attributes:
        ids: the tokens that are held, in order.
        blocks: those of the tokens, then those that were reserved. All but the last that has tokens are full.
    """

    def __init__(self, pool: BlockPool, key: Hashable = None) -> None:
        self.ids: list[int] = []
        self.blocks: list[Block] = []
        self._pool = pool
        self._root = pool.root(key)

    @property
    def indices(self) -> list[int]:
        """Of the blocks, in the pool."""
        return [block.index for block in self.blocks]

    def reserve(self, count: int) -> None:
        """Holds blocks for `count` more tokens.

        Raises:
            PoolFullError: there are too few.
        """
        missing = -(-(len(self.ids) + count) // self._pool.block_size) - len(self.blocks)
        self._pool.used(self)
        if missing > 0:
            self.blocks += self._pool.allocate(missing, self)

    def append(self, ids: Sequence[int]) -> None:
        """Notes that the reserved blocks now hold `ids` too, and puts those that became full into the tree."""
        size = self._pool.block_size
        first = len(self.ids) // size
        self.ids += ids
        assert len(self.ids) <= size * len(self.blocks)
        for place in range(first, len(self.ids) // size):
            self._share(place, tuple(self.ids[place * size : (place + 1) * size]))

    def _share(self, place: int, ids: tuple[int, ...]) -> None:
        """Puts a full block into the tree, or takes the one that is there already in its stead."""
        block, parent = self.blocks[place], self._before(place)
        if (known := parent.children.get(ids)) is not None:
            self._pool.hold(known)
            self._pool.drop([block])
            self.blocks[place] = known
        else:
            block.parent, block.ids = parent, ids
            parent.children[ids] = block

    def _before(self, place: int) -> Block:
        return self.blocks[place - 1] if place else self._root

    def truncate(self, length: int) -> None:
        """Cuts the sequence back to its first `length` tokens, fewer where there is no block for a copy."""
        if length >= len(self.ids):
            return
        full, rest = divmod(length, self._pool.block_size)
        if rest and self.blocks[full].parent is None:
            self._drop_from(full + 1)
        else:  # full blocks never change, as others may hold them or come to
            copied = self._copied(self.blocks[full]) if rest else []
            self._drop_from(full)
            self.blocks += copied
            length -= rest * (not copied)
        del self.ids[length:]

    def _drop_from(self, place: int) -> None:
        self._pool.drop(self.blocks[place:])
        del self.blocks[place:]

    def _copied(self, block: Block) -> list[Block]:
        try:
            return [self._pool.copy_of(block, self)]
        except PoolFullError:
            return []

    def drop_tail(self) -> None:
        """Cuts the sequence back to its full blocks: a call that failed may have changed all others."""
        size = self._pool.block_size
        full = len(self.ids) // size
        self._drop_from(full)
        del self.ids[full * size :]

    def trim_to_prefix(self, ids: Sequence[int]) -> int:
        """Holds as much of `ids` as it or others do, and nothing else. Returns how many tokens that is."""
        ids = list(ids)
        self._pool.used(self)
        self.truncate(common_length(self.ids, ids))
        size = self._pool.block_size
        if len(self.ids) % size and len(ids) >= (end := -(-len(self.ids) // size) * size):
            place = len(self.ids) // size
            if tuple(ids[place * size : end]) in self._before(place).children:
                self.drop_tail()
        if len(self.ids) % size == 0:
            self._drop_from(len(self.ids) // size)
            self._take_over(ids)
        if not self.blocks:
            self._pool.unused(self)
        return len(self.ids)

    def _take_over(self, ids: list[int]) -> None:
        """Goes on with full blocks of the tree, and with a copy of the one that begins alike."""
        size = self._pool.block_size
        while True:
            parent, rest = self._before(len(self.blocks)), ids[len(self.ids) :]
            child = parent.children.get(tuple(rest[:size]))
            if child is None:
                break
            self._pool.hold(child)
            self.blocks.append(child)
            self.ids += child.ids
        alike = max(parent.children.values(), key=lambda block: common_length(block.ids, rest), default=None)
        if alike is not None and (length := common_length(alike.ids, rest)):
            copied = self._copied(alike)
            self.blocks += copied
            self.ids += alike.ids[: length * len(copied)]

    def release(self) -> None:
        """Gives all blocks back. What is full may be found again, for as long as nobody needs its space."""
        self._pool.drop(self.blocks)
        self.blocks, self.ids = [], []
        self._pool.unused(self)


def common_length(one: Sequence[int], other: Sequence[int]) -> int:
    """How many elements two sequences have in common at their beginning."""
    shorter = min(len(one), len(other))
    if one[:shorter] == other[:shorter]:
        return shorter
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))
