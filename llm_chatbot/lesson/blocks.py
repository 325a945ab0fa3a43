"""Shows block by block which part of a prompt is cached, which is read anew, and what the answer adds."""

from collections.abc import Sequence
from dataclasses import dataclass

from llm_chatbot.engine.cache.block_pool import BlockPool, BlockTable

POOL = 256  # blocks


@dataclass(frozen=True)
class BlockUse:
    """A block of a conversation.

    Attributes:
        index: its place in the pool.
        cached: how many of its tokens were in the cache.
        read: how many of them were read anew.
        written: how many of them belong to the answer.
    """

    index: int
    cached: int
    read: int
    written: int = 0


OTHER = 0  # the row of somebody else
Frame = dict[int, list[BlockUse]]  # rows of blocks by the number of the turn


def new_pool(blocks: int, size: int) -> BlockPool:
    """The bookkeeping of a KV cache without the keys and values."""
    return BlockPool(blocks, size, copy=lambda source, target: None)


def block_frames(
    turns: Sequence[tuple[Sequence[int], Sequence[int]]], other: Sequence[int], size: int
) -> dict[tuple[int, str], Frame]:
    """The blocks of a conversation step by step, read as the engine does: what is cached is kept, the rest is appended.

    Args:
        turns: the prompt and the answer of each, as ids. A prompt's last token is always read, for its logits.
        other: the prompt of somebody else, which comes last.
        size: tokens in a block.

    Returns:
        By each step, a turn and "found", "read" or "written", the rows that there are then.
    """
    pool = new_pool(POOL, size)
    table, rows = BlockTable(pool), Frame()
    frames: dict[tuple[int, str], Frame] = {}
    for number, (prompt, answer) in enumerate(turns, 1):
        cached = table.trim_to_prefix(list(prompt[:-1]))
        steps: dict[str, Sequence[int]] = {"found": [], "read": prompt[cached:], "written": answer}
        for step, ids in steps.items():
            _append(table, ids)
            rows = rows | {number: _uses(table, cached, len(prompt), size)}
            frames[number, step] = rows
    table = BlockTable(pool)
    cached = table.trim_to_prefix(list(other[:-1]))
    _append(table, other[cached:])
    frames[OTHER, "read"] = rows | {OTHER: _uses(table, cached, len(other), size)}
    return frames


def _append(table: BlockTable, ids: Sequence[int]) -> None:
    table.reserve(len(ids))
    table.append(list(ids))


def _uses(table: BlockTable, cached: int, prompt: int, size: int) -> list[BlockUse]:
    """A table's blocks, of whose tokens so many were cached and so many belong to the prompt."""
    uses = []
    for place, index in enumerate(table.indices):
        start, end = place * size, min((place + 1) * size, len(table.ids))
        known, read = max(min(cached, end) - start, 0), max(min(prompt, end) - start, 0)
        uses.append(BlockUse(index, known, read - known, end - start - read))
    return uses
