import pytest

from llm_chatbot.engine.text.pictures import (
    has_pictures,
    pictures_in,
    with_image_parts,
    with_marks,
    with_picture_texts,
)
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


def test_a_template_that_writes_fewer_or_more_pictures_is_refused():
    assert with_picture_texts("a<image>b<image>", [Dot(), Dot()]) == "a[<row><row>]b[<row><row>]"
    for rendered in ("a<image>b", "a<image><image><image>", ""):
        with pytest.raises(UserError) as caught:
            with_picture_texts(rendered, [Dot(), Dot()])
        assert caught.value.key == "prompt.no_pictures"
