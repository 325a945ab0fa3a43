"""Which pictures of a conversation a model reads, and what stands in place of the others."""

from types import SimpleNamespace
from typing import Any

import pytest

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.pictures import MAX_PICTURES, WORDS, with_read_pictures
from llm_chatbot.errors import UserError

PICTURE = {"type": "image", "image": b"the bytes of a file"}
TEXT = {"type": "text", "text": "What is it?"}
ANSWER = {"role": "assistant", "content": "A cat."}


def asked(*parts: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


def model(reads: bool) -> LoadedModel:
    facts: Any = SimpleNamespace(context_length=None, images=object() if reads else None)
    return LoadedModel(facts, facts, facts, "any")


def test_a_model_that_reads_pictures_gets_them():
    messages = [asked(PICTURE, TEXT), ANSWER, asked(*[PICTURE] * (MAX_PICTURES - 1), TEXT)]
    assert with_read_pictures(messages, model(True)) == messages


@pytest.mark.parametrize(
    ("reads", "count", "key"), [(False, 1, "prompt.reads_no_pictures"), (True, MAX_PICTURES + 1, "image.too_many")]
)
def test_what_is_asked_about_a_picture_that_is_not_read_is_refused(reads: bool, count: int, key: str):
    for messages in ([asked(*[PICTURE] * count)], [ANSWER, asked(*[PICTURE] * count), asked(TEXT)]):
        with pytest.raises(UserError) as caught:
            with_read_pictures(messages, model(reads))
        assert caught.value.key == key


def test_words_stand_for_the_pictures_of_answered_turns_where_the_model_reads_none():
    messages = [asked(PICTURE, TEXT), ANSWER, {"role": "user", "content": "And now?"}]
    read = with_read_pictures(messages, model(False))
    assert read == [{"role": "user", "content": f"{WORDS['text']}What is it?"}, *messages[1:]]


def test_words_stand_for_the_oldest_pictures_where_there_are_too_many():
    many = [PICTURE] * (MAX_PICTURES - 1)
    messages = [asked(PICTURE, TEXT, PICTURE), ANSWER, asked(*many)]
    read = with_read_pictures(messages, model(True))
    assert read == [asked(WORDS, TEXT, PICTURE), ANSWER, asked(*many)]
    assert messages[0] == asked(PICTURE, TEXT, PICTURE)  # they are the question's own
