"""Where two answers differ: for a table in a notebook, and for the page."""

from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import TypeVar

Item = TypeVar("Item", int, str)


def aligned(left: Sequence[Item], right: Sequence[Item]) -> Iterator[tuple[Sequence[Item], Sequence[Item], bool]]:
    """Yields stretches of two sequences, in order, and whether both have the same there; one of them may be empty.

    Args:
        left, right: ids of tokens, or their texts.
    """
    for tag, start, end, other_start, other_end in SequenceMatcher(None, left, right, autojunk=False).get_opcodes():
        yield left[start:end], right[other_start:other_end], tag == "equal"
