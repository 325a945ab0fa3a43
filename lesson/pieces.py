"""Text in coloured pieces, one for each token, as an SVG: a picture that every viewer of notebooks shows."""

import math
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

from engine.tokenizer import ChatTokenizer

COLORS = ("#cfe3f7", "#d9ecd3", "#fbe3bd", "#ead7f0")
SURE, UNSURE = (255, 255, 255), (240, 145, 60)  # the colours of probability 1 and 0

CELL, LINE, MARGIN = 9.0, 42, 8  # width of a character, height of a line, in pixels
LINE_CELLS = 88

# How a piece shows what has no shape.
VISIBLE = str.maketrans({" ": "·", "\n": "⏎", "\t": "→"})


@dataclass(frozen=True)
class Piece:
    """A coloured piece of a line.

    Attributes:
        text: what is in it.
        note: what is written below, in small letters.
        color: of its background; empty for none.
    """

    text: str
    note: str = ""
    color: str = ""

    @property
    def cells(self) -> int:
        """Its width in characters; those of Chinese and Japanese are as wide as two."""
        wide = sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in self.text)
        return max(wide, math.ceil(0.75 * len(self.note)))


class ChosenToken(Protocol):
    """What is shown of an answer's token; see `engine.session.Answer.tokens`."""

    @property
    def text(self) -> str: ...

    @property
    def logprob(self) -> float: ...


def token_pieces(tokenizer: ChatTokenizer, text: str) -> list[Piece]:
    """The tokens of a text with their ids. Tokens that share a character have one colour, and "…" after the first."""
    encoding = tokenizer.backend_tokenizer.encode(text, add_special_tokens=False)
    pieces: list[Piece] = []
    color, before = 0, (-1, -1)
    for id, span in zip(encoding.ids, encoding.offsets, strict=True):
        shared = span[0] < before[1]
        color += not shared
        shown = "…" if shared else text[slice(*span)].translate(VISIBLE)
        pieces.append(Piece(shown, str(id), COLORS[color % len(COLORS)]))
        before = span
    return pieces


def answer_pieces(tokens: Sequence[ChosenToken]) -> list[Piece]:
    """The tokens of an answer with their probabilities in percent: the less likely, the darker."""
    chances = [math.exp(token.logprob) for token in tokens]
    return [
        Piece(token.text.translate(VISIBLE), f"{100 * chance:.0f}", shade(chance))
        for token, chance in zip(tokens, chances, strict=True)
    ]


def shade(chance: float) -> str:
    """The colour of a probability."""
    mixed = (round(sure * chance + unsure * (1 - chance)) for sure, unsure in zip(SURE, UNSURE, strict=True))
    return "#" + "".join(f"{part:02x}" for part in mixed)


def draw_pieces(lines: Sequence[Sequence[Piece]]) -> str:
    """An SVG of these lines; those that are too long are broken."""
    rows = [row for line in lines for row in _broken(line)]
    width, height = LINE_CELLS * CELL + 2 * MARGIN, len(rows) * LINE + 2 * MARGIN
    parts = [_drawn(row, MARGIN + number * LINE) for number, row in enumerate(rows)]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" '
        f'viewBox="0 0 {width:.0f} {height}" font-family="monospace" font-size="15" text-anchor="middle">'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{"".join(parts)}</svg>'
    )


def _broken(line: Sequence[Piece]) -> list[list[Piece]]:
    """A line as rows that fit."""
    rows: list[list[Piece]] = [[]]
    used = 0
    for piece in line:
        if rows[-1] and used + piece.cells > LINE_CELLS:
            rows.append([])
            used = 0
        rows[-1].append(piece)
        used += piece.cells
    return rows


def _drawn(row: Sequence[Piece], top: float) -> str:
    parts, left = [], float(MARGIN)
    for piece in row:
        width = piece.cells * CELL
        middle = left + width / 2
        if piece.color:
            parts.append(
                f'<rect x="{left + 0.5:.1f}" y="{top}" width="{width - 1:.1f}" height="22" rx="3" '
                f'fill="{piece.color}" stroke="#b8b8b8" stroke-width="0.5"/>'
            )
        parts.append(f'<text x="{middle:.1f}" y="{top + 16}" fill="#222222">{escape(piece.text)}</text>')
        if piece.note:
            note = escape(piece.note)
            parts.append(f'<text x="{middle:.1f}" y="{top + 33}" font-size="10" fill="#555555">{note}</text>')
        left += width
    return "".join(parts)
