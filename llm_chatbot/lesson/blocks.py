"""Shows block by block which part of a prompt is cached and which is read anew."""

from collections.abc import Sequence
from dataclasses import dataclass

from llm_chatbot.engine.cache.block_pool import BlockPool, BlockTable


@dataclass(frozen=True)
class BlockUse:
    """A block of a prompt.

    Attributes:
        index: its place in the pool.
        cached: how many of its tokens were in the cache.
        read: how many of them were read anew.
    """

    index: int
    cached: int
    read: int


def new_pool(blocks: int, size: int) -> BlockPool:
    """The bookkeeping of a KV cache without the keys and values."""
    return BlockPool(blocks, size, copy=lambda source, target: None)


def read_prompt(table: BlockTable, ids: Sequence[int], size: int) -> list[BlockUse]:
    """Reads a prompt as the engine does: what is cached is kept, the rest is appended to the table.

    Args:
        table: of the conversation.
        ids: the prompt. Its last token is always read, for its logits.
        size: tokens in a block.
    """
    cached = table.trim_to_prefix(ids[:-1])
    table.reserve(len(ids) - cached)
    table.append(ids[cached:])
    return [
        _use(index, cached - place * size, len(ids) - place * size, size) for place, index in enumerate(table.indices)
    ]


def _use(index: int, cached: int, filled: int, size: int) -> BlockUse:
    """A block whose start is given by how many tokens, cached and in all, come after it."""
    held = min(max(cached, 0), size)
    return BlockUse(index, held, min(filled, size) - held)
