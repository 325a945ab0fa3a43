from collections import namedtuple
from math import log
from xml.etree import ElementTree

from llm_chatbot.lesson.pieces import (
    ROW_CELLS,
    Piece,
    answer_pieces,
    draw_pieces,
    shade,
    token_pieces,
    vocabulary_lines,
)

Chosen = namedtuple("Chosen", ["text", "logprob"])


def test_each_token_is_a_piece_with_its_id(tokenizer):
    text = "The cat is here."
    pieces = token_pieces(tokenizer, text)
    assert "".join(piece.text for piece in pieces) == text.replace(" ", "·")
    assert [int(piece.note) for piece in pieces] == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert pieces[0].color != pieces[1].color


def test_tokens_that_share_a_character_share_a_colour(tokenizer):
    pieces = token_pieces(tokenizer, "猫a")
    *shared, last = pieces
    assert [piece.text for piece in shared] == ["猫", *["…"] * (len(shared) - 1)] and len(shared) > 1
    assert len({piece.color for piece in shared}) == 1
    assert (last.text, last.color == shared[0].color) == ("a", False)


def test_each_line_is_counted_and_shown_in_each_vocabulary(tokenizer):
    lines = vocabulary_lines({"a": tokenizer, "b": tokenizer}, "猫正在睡觉。\n\nYes")
    counts, pieces = [line[0].text for line in lines[::2]], lines[1::2]
    assert counts == [
        *(f"{name}: 6 characters, {len(pieces[0])} tokens" for name in "ab"),
        *(f"{name}: 3 characters, 1 tokens" for name in "ab"),
    ]
    assert pieces == [token_pieces(tokenizer, text) for text in ("猫正在睡觉。", "Yes") for _ in "ab"]


def test_an_answers_pieces_say_how_likely_they_were():
    sure, unsure = answer_pieces([Chosen("Yes", log(0.99)), Chosen(" no", log(0.04))])
    assert (sure.text, sure.note, unsure.text, unsure.note) == ("Yes", "99", "·no", "4")
    assert (shade(1), shade(0)) == ("#ffffff", "#f0913c")
    assert unsure.color > shade(0) and sure.color > unsure.color


def rows(html: str) -> list[list[str | None]]:
    return [[cell.text for cell in row] for row in ElementTree.fromstring(f"<div>{html}</div>").iter("tr")]


def test_notes_are_below_their_pieces_and_all_is_escaped():
    html = draw_pieces([[Piece("a < b")], [Piece("<a>", "1", "#cfe3f7"), Piece("猫", "2")]])
    assert rows(html) == [["<a>", "猫"], ["1", "2"]]
    assert html.startswith("<p>a &lt; b</p>") and "#cfe3f7" in html
    assert Piece("猫").cells == 2 and Piece("a", "12345").cells == 4


def test_long_lines_are_broken():
    html = draw_pieces([[Piece(f"{number:02}", "1") for number in range(ROW_CELLS)]])
    texts, _, others, _ = rows(html)
    assert len(texts) == len(others) == ROW_CELLS / 2
