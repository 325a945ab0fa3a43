import pytest

from llm_chatbot.engine.session import Answer
from llm_chatbot.errors import UserError
from llm_chatbot.page.messages import figures_of, validate_messages


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


@pytest.mark.parametrize(
    "wrong", [None, "x", [1], [{"role": "system", "content": "x"}], [{"role": "user", "content": ["x"]}]]
)
def test_a_conversation_of_another_form_is_refused(wrong):
    with pytest.raises(UserError, match="A conversation is"):
        validate_messages(wrong)
