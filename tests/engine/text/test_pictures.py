import pytest
from tokenizers import Tokenizer, models

from llm_chatbot.engine.text.pictures import (
    has_pictures,
    pictures_in,
    row_token_of,
    with_image_parts,
    with_marks,
    with_picture_texts,
)
from llm_chatbot.engine.text.tokenizer import PlainTokenizer
from llm_chatbot.errors import UserError


class Dot:
    """A picture of two vectors."""

    token, row_token, text, ids = "<image>", "<row>", "[<row><row>]", [-5, -6]


MESSAGES = [
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image", "image": 1}]},
    {"role": "assistant", "content": "b"},
    {"role": "user", "content": [{"type": "image", "image": 2}, {"type": "text", "text": "c"}]},
    {"role": "assistant", "content": None, "tool_calls": []},
]


def test_pictures_are_found_in_their_order():
    assert pictures_in(MESSAGES) == [1, 2] and has_pictures(MESSAGES) and not has_pictures(MESSAGES[1:2])


def test_marks_become_parts_again():
    image, parts = {"type": "image"}, [with_image_parts(message)["content"] for message in with_marks(MESSAGES)]
    assert parts == [[{"type": "text", "text": "a"}, image], "b", [image, {"type": "text", "text": "c"}], None]


def test_a_text_that_was_a_part_already_is_cut_too():
    (message,) = with_marks(MESSAGES[:1])
    in_parts = {**message, "content": [{"type": "text", "text": message["content"]}]}
    assert with_image_parts(in_parts) == with_image_parts(message)


def test_a_mark_that_somebody_typed_stays_text():
    (marked,) = with_marks(MESSAGES[2:3])
    typed = "\ue004" + "0" * 16 + ":0\ue005"
    assert typed not in marked["content"] and with_image_parts({"role": "user", "content": typed})["content"] == typed


def tokenizer(*words: str) -> PlainTokenizer:
    vocabulary = {word: id for id, word in enumerate(words)}
    return PlainTokenizer(Tokenizer(models.WordLevel(vocabulary, words[0])), None, {"unk_token": "<unk>"})


def test_where_a_vocabulary_lacks_the_token_another_stands_for_each_vector():
    without = tokenizer("<unk>")
    assert with_picture_texts(without, "a<image>", [Dot()]) == "a[<unk><unk>]"
    assert row_token_of(without, "<row>") == "<unk>" and row_token_of(tokenizer("<row>"), "<row>") == "<row>"


def test_a_template_that_writes_fewer_or_more_pictures_is_refused():
    knows_rows = tokenizer("<row>")
    assert with_picture_texts(knows_rows, "a<image>b<image>", [Dot(), Dot()]) == "a[<row><row>]b[<row><row>]"
    for rendered in ("a<image>b", "a<image><image><image>", ""):
        with pytest.raises(UserError) as caught:
            with_picture_texts(knows_rows, rendered, [Dot(), Dot()])
        assert caught.value.key == "prompt.no_pictures"
