"""Text in coloured pieces, one for each token, as HTML tables: what a viewer that removes styles leaves can be read.

GitHub shows neither colours nor, reliably, an SVG; JupyterLab shows no SVG of a notebook that somebody else has run.
"""

import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import Protocol

from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.lesson.words import say

COLORS = ("#cfe3f7", "#d9ecd3", "#fbe3bd", "#ead7f0")
SURE, UNSURE = (255, 255, 255), (240, 145, 60)  # the colours of probability 1 and 0

ROW_CELLS = 88  # characters in a row

# How a piece shows what has no shape.
VISIBLE = str.maketrans({" ": "·", "\n": "⏎", "\t": "→"})


@dataclass(frozen=True)
class Piece:
    """A coloured piece of a line.

    Attributes:
        text: what is in it.
        note: what is written below, in small letters.
        color: of its background.
    """

    text: str
    note: str = ""
    color: str = "transparent"

    @property
    def cells(self) -> int:
        """Its width in characters; those of Chinese and Japanese are as wide as two."""
        wide = sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in self.text)
        return max(wide, math.ceil(0.75 * len(self.note)))


class ChosenToken(Protocol):
    """The shown part of an answer's token; see `llm_chatbot.engine.session.Answer.tokens`."""

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


def vocabulary_lines(tokenizers: Mapping[str, ChatTokenizer], text: str) -> list[list[Piece]]:
    """For each line of a text and each tokenizer two lines: how many characters and tokens there are, and the tokens.

    Args:
        tokenizers: by the names that are shown.
        text: of one line or more; empty ones are left out.
    """
    lines: list[list[Piece]] = []
    for sentence in filter(None, text.splitlines()):
        for name, tokenizer in tokenizers.items():
            pieces = token_pieces(tokenizer, sentence)
            counts = {"characters": len(sentence), "tokens": len(pieces)}
            count = say("{name}: {characters} characters, {tokens} tokens", name=say(name), **counts)
            lines += [[Piece(count)], pieces]
    return lines


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
    """HTML of these lines: a table of pieces with their notes below them, or a paragraph where there are none.

    Lines that are too long become several tables.
    """
    return "".join(_drawn(row) for line in lines for row in _broken(line))


def _broken(line: Sequence[Piece]) -> list[list[Piece]]:
    """A line as rows that fit."""
    rows: list[list[Piece]] = [[]]
    used = 0
    for piece in line:
        if rows[-1] and used + piece.cells > ROW_CELLS:
            rows.append([])
            used = 0
        rows[-1].append(piece)
        used += piece.cells
    return rows


def _drawn(row: Sequence[Piece]) -> str:
    if not any(piece.note for piece in row):
        return "<p>" + "".join(escape(piece.text) for piece in row) + "</p>"
    texts = "".join(_cell(piece.text, f"background-color: {piece.color}; color: #222222") for piece in row)
    notes = "".join(_cell(piece.note, "font-size: 10px") for piece in row)
    return f'<table style="margin-left: 0"><tr>{texts}</tr><tr>{notes}</tr></table>'


def _cell(text: str, style: str) -> str:
    return f'<td style="text-align: center; padding: 2px 3px; {style}">{escape(text)}</td>'
