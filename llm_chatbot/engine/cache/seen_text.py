"""Finds in all that a pool's blocks hold where a text goes on: drafts from other conversations and attached files."""

from collections.abc import Iterator, Sequence

from llm_chatbot.engine.cache.block_pool import Block, BlockPool

# Tokens that must match. More than within one conversation: there is more text in which they could match by chance.
SEEN_NGRAM = 6

MOST_BEFORE, MOST_AFTER = 32, 64  # tokens of a place that are returned


class SeenText:
    """An index of the full blocks of a pool, without those that only private conversations filled.

    It holds two numbers for each token in them, which is less than a hundredth of what their keys and values take.

    Args:
        pool: whose blocks are added when they are full, and forgotten when they are evicted.
    """

    def __init__(self, pool: BlockPool) -> None:
        self._size = pool.block_size
        self._blocks: dict[int, Block] = {}  # by their index in the pool
        self._places: dict[int, int] = {}  # where the newest text with an n-gram goes on, by the n-gram's hash
        pool.on_full.append(self.add)
        pool.on_evict.append(self.forget)

    def add(self, block: Block) -> None:
        """Adds the n-grams that end in a block."""
        self._blocks[block.index] = block
        self._places.update(self._entries(block))

    def forget(self, block: Block) -> None:
        """Removes those of a block that leaves the tree."""
        if self._blocks.pop(block.index, None) is not None:
            for key, place in self._entries(block):
                if self._places.get(key) == place:
                    del self._places[key]

    def _entries(self, block: Block) -> Iterator[tuple[int, int]]:
        before = block.parent.ids[1 - SEEN_NGRAM :] if block.parent is not None else ()
        ids = (*before, *block.ids)
        for end in range(SEEN_NGRAM, len(ids) + 1):
            yield hash(ids[end - SEEN_NGRAM : end]), block.index * (self._size + 1) + end - len(before)

    def find(self, ids: Sequence[int]) -> tuple[list[int], int] | None:
        """The newest text with the last tokens of `ids`, and the position in it after these; None: there is none."""
        if (place := self._places.get(hash(tuple(ids[-SEEN_NGRAM:])))) is None:
            return None
        index, offset = divmod(place, self._size + 1)
        block = self._blocks[index]
        before, after = list(block.ids[:offset]), list(block.ids[offset:])
        parent = block.parent
        while len(before) < MOST_BEFORE and parent is not None and parent.ids:
            before[:0] = parent.ids
            parent = parent.parent
        while len(after) < MOST_AFTER and block.children:
            block = next(reversed(block.children.values()))
            after += block.ids
        return before + after, len(before)
