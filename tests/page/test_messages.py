import pytest

from llm_chatbot.answering.pictures import WORDS
from llm_chatbot.api.pictures import data_url
from llm_chatbot.engine.session import Answer
from llm_chatbot.errors import UserError
from llm_chatbot.page.messages import figures_of, joined, validate_messages


def test_the_figures_of_an_answer_are_its_numbers():
    assert figures_of(Answer("Yes.", 40, 30, 0, 12, 0.1, 50.0, "stop")) == {
        "completion_tokens": 12,
        "tokens_per_second": 50.0,
        "time_to_first_token": 0.1,
        "cached_tokens": 30,
        "prompt_tokens": 40,
    }
    drafted = Answer("Yes.", 40, 30, completion_tokens=12, drafted_tokens=9, accepted_tokens=6, draft_gain=1.5)
    assert {"drafted_tokens": 9, "accepted_tokens": 6, "draft_gain": 1.5}.items() <= figures_of(drafted).items()


def test_of_a_conversation_from_outside_only_roles_and_contents_are_taken():
    turns = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b", "figures": {"x": 1}}]
    assert validate_messages(turns) == [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


URL = data_url("aGk=", "image/png")  # "hi"
IMAGE = {"type": "image", "image": b"hi"}


def test_pictures_stand_before_the_text_of_their_question():
    asked = {"role": "user", "content": "What is it?", "pictures": [URL, URL]}
    [message] = validate_messages([asked])
    assert message["content"] == [IMAGE, IMAGE, {"type": "text", "text": "What is it?"}]
    assert validate_messages([{**asked, "content": ""}]) == [{"role": "user", "content": [IMAGE, IMAGE]}]
    [older] = validate_messages([{**asked, "pictures": [None, URL]}])
    assert older["content"] == [WORDS, IMAGE, {"type": "text", "text": "What is it?"}]
    [answer] = validate_messages([{"role": "assistant", "content": "A cat.", "pictures": [URL]}])
    assert answer["content"] == "A cat."


def test_a_question_that_was_never_answered_is_joined_with_the_next_one_and_keeps_its_picture():
    first, second = {"role": "user", "content": [IMAGE]}, {"role": "user", "content": "What is it?"}
    texts = [{"type": "text", "text": text} for text in ("\n\n", "What is it?")]
    assert joined([first, second]) == [{"role": "user", "content": [IMAGE, *texts]}]
    assert joined([second, first]) == [{"role": "user", "content": [texts[1], texts[0], IMAGE]}]


@pytest.mark.parametrize("pictures", ["x", ["https://example.org/cat.png"], ["data:image/png;base64,?"], [1]])
def test_a_picture_that_does_not_come_with_its_question_is_refused(pictures):
    with pytest.raises(UserError, match="A conversation is"):
        validate_messages([{"role": "user", "content": "x", "pictures": pictures}])


@pytest.mark.parametrize(
    "wrong", [None, "x", [1], [{"role": "system", "content": "x"}], [{"role": "user", "content": ["x"]}]]
)
def test_a_conversation_of_another_form_is_refused(wrong):
    with pytest.raises(UserError, match="A conversation is"):
        validate_messages(wrong)
