"""Cuts a text into passages at its own borders: parts, headings, blocks of code, tables, paragraphs."""

import bisect
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from llm_chatbot.knowledge.readers.file_text import FilePart, FileText
from llm_chatbot.knowledge.tokens import CountTokens, estimate_tokens

PASSAGE_TOKENS = 240  # of a passage: all-MiniLM-L6-v2 was trained to read 256, its own two and a heading included
HEADING_CHARACTERS = 120

HEADING = re.compile(r"#{1,6} +(.*)")
UNDERLINE = re.compile(r"([=\-~^\"'*+#`:.])\1{2,}\s*")
FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")

# Where a block that is too long is cut, the best place first: lines, sentences, words.
CUTS = (re.compile(r"(?<=\n)"), re.compile(r"(?<=[.!?])\s+|(?<=[。！？])"), re.compile(r"(?<=\s)"))


@dataclass(frozen=True)
class Passage:
    """A passage's place in a text.

    Attributes:
        start, end: in characters.
        heading: those above it, from the highest, with " › " between.
        part: that it is in.
        first_line, last_line: from 1; of the whole text.
    """

    start: int
    end: int
    heading: str
    part: FilePart
    first_line: int
    last_line: int


@dataclass(frozen=True)
class _Block:
    """Lines that belong together, with the blank ones behind them."""

    start: int
    end: int
    heading: str
    is_heading: bool = False


def split(
    file_text: FileText, count_tokens: CountTokens = estimate_tokens, max_tokens: int = PASSAGE_TOKENS
) -> list[Passage]:
    """The passages of a text, in its order. They don't overlap, and leave out only white space.

    Args:
        count_tokens: tells how many tokens texts have.
        max_tokens: that a passage may have.
    """
    text, lines = file_text.text, _LineNumbers(file_text.text)
    passages = []
    ends = [*(part.start for part in file_text.parts[1:]), len(text)]
    for part, end in zip(file_text.parts, ends, strict=True):
        blocks = list(_blocks(text, part.start, end, file_text.headings))
        for start, stop, heading in _packed(text, blocks, count_tokens, max_tokens):
            passages.append(Passage(start, stop, heading, part, lines.at(start), lines.at(stop - 1)))
    return passages


class _LineNumbers:
    def __init__(self, text: str) -> None:
        self._ends = [match.start() for match in re.finditer("\n", text)]

    def at(self, place: int) -> int:
        return bisect.bisect_left(self._ends, place) + 1


def _blocks(text: str, start: int, end: int, headings: str) -> Iterator[_Block]:
    """Headings, fenced code and paragraphs. Rows of a table have no blank lines between them: it is a paragraph."""
    path: list[tuple[int, str]] = []  # of headings: level and text
    block: int | None = None
    fence, is_blank, lines = "", False, list(_lines(text, start, end))
    for index, (at, stop, line) in enumerate(lines):
        found = None if fence else _heading(line, lines[index + 1][2] if index + 1 < len(lines) else "", headings)
        begins = block is None or found is not None or (is_blank and not fence)
        if begins and line.strip():
            if block is not None:
                yield _Block(block, at, _joined(path))
            block = at
        if found is not None:
            level, title = found
            path = [*(one for one in path if one[0] < level), (level, title)]
            yield _Block(at, stop, _joined(path), True)
            block = None
        if match := FENCE.match(line):
            fence = "" if fence and match[1].startswith(fence) else fence or match[1]
        is_blank = not line.strip()
    if block is not None:
        yield _Block(block, end, _joined(path))


def _lines(text: str, start: int, end: int) -> Iterator[tuple[int, int, str]]:
    while start < end:
        stop = text.find("\n", start, end) + 1 or end
        yield start, stop, text[start:stop]
        start = stop


def _heading(line: str, following: str, headings: str) -> tuple[int, str] | None:
    """The level and text of a heading."""
    if headings == "markdown" and (match := HEADING.match(line)):
        return len(line) - len(line.lstrip("#")), match[1].strip()[:HEADING_CHARACTERS]
    if headings == "underlined" and line[:1].strip() and not UNDERLINE.fullmatch(line):
        match = UNDERLINE.fullmatch(following)
        if match and len(following.rstrip()) >= len(line.rstrip()):
            return "=-~^\"'*+#`:.".index(match[1]) + 1, line.strip()[:HEADING_CHARACTERS]
    return None


def _joined(path: Sequence[tuple[int, str]]) -> str:
    return " › ".join(title for _, title in path)


def _packed(
    text: str, blocks: Sequence[_Block], count_tokens: CountTokens, max_tokens: int
) -> Iterator[tuple[int, int, str]]:
    """Neighbouring blocks below one heading together, as many as the limit allows: start, end and heading."""
    pieces = list(_pieces(text, blocks, count_tokens, max_tokens))
    tokens = count_tokens([text[piece.start : piece.end] for piece in pieces])
    first, total, only_headings = 0, 0, True
    for index, piece in enumerate([*pieces, None]):
        is_new = piece is None or (total + tokens[index] > max_tokens)
        is_new = is_new or (piece is not None and piece.is_heading and not only_headings)
        if is_new and index > first:
            start, end = pieces[first].start, pieces[index - 1].end
            if text[start:end].strip():
                yield start, start + len(text[start:end].rstrip()), pieces[index - 1].heading
            first, total, only_headings = index, 0, True
        if piece is not None:
            total += tokens[index]
            only_headings = only_headings and piece.is_heading


def _pieces(text: str, blocks: Sequence[_Block], count_tokens: CountTokens, max_tokens: int) -> Iterator[_Block]:
    """The blocks, those that are too long in pieces."""
    tokens = count_tokens([text[block.start : block.end] for block in blocks])
    for block, count in zip(blocks, tokens, strict=True):
        if count <= max_tokens:
            yield block
            continue
        for start, end in _cut(text, block.start, block.end, count_tokens, max_tokens, 0):
            yield _Block(start, end, block.heading)


def _cut(
    text: str, start: int, end: int, count_tokens: CountTokens, max_tokens: int, level: int
) -> Iterator[tuple[int, int]]:
    if count_tokens([text[start:end]])[0] <= max_tokens or end - start == 1:
        yield start, end
    elif level == len(CUTS):
        middle = (start + end) // 2
        yield from _cut(text, start, middle, count_tokens, max_tokens, level)
        yield from _cut(text, middle, end, count_tokens, max_tokens, level)
    else:
        places = [start, *(match.end() for match in CUTS[level].finditer(text, start, end)), end]
        places = sorted({place for place in places if start <= place <= end})
        spans = list(pairwise(places))
        tokens = count_tokens([text[one:other] for one, other in spans])
        for (one, other), count in zip(spans, tokens, strict=True):
            if count <= max_tokens:
                yield one, other
            else:
                yield from _cut(text, one, other, count_tokens, max_tokens, level + 1)
