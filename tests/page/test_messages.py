from engine.session import Answer
from page.messages import answer_message, context_used, user_message, validate_messages

import pytest

ANSWER = Answer("Yes.", 40, 30, 0, 12, 0.1, 50.0, "stop")


def test_the_context_in_use_is_that_of_the_latest_answer_shown():
    first, second = answer_message(ANSWER), answer_message(Answer("No.", 100, 30, 0, 5, 0.1, 50.0, "cancelled"))
    turns = [user_message("a"), first, user_message("b"), second]
    assert context_used(turns) == 105
    assert context_used(turns[:3]) == 52  # the last turn was undone, the question is asked anew
    assert context_used([]) == 0
    assert context_used([user_message("a"), {"role": "assistant", "content": "without figures"}]) == 0


def test_an_answer_in_progress_counts_too():
    message = answer_message(Answer("Ye", 40, 30, 0, 2))
    assert context_used([message]) == 42 and message["figures"]["finish_reason"] is None


def test_a_conversation_from_outside_is_validated():
    turns = [user_message("a"), {"role": "assistant", "content": "b", "figures": {}}, answer_message(ANSWER)]
    assert validate_messages(turns) == turns
    figures = {"role": "assistant", "content": "b", "figures": {"prompt_tokens": "many"}}
    for wrong in (
        None,
        "x",
        [1],
        [{"role": "system", "content": "x"}],
        [{"role": "user", "content": ["x"]}],
        [figures],
    ):
        with pytest.raises(Exception, match="A conversation is"):
            validate_messages(wrong)
