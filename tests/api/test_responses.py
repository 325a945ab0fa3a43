import pytest

from llm_chatbot.api.responses import Choice, split_reasoning
from llm_chatbot.api.tools import ToolParser
from llm_chatbot.engine.session import Answer


def answer(text: str, ended: bool = False, tokens=(), prompt: int = 10) -> Answer:
    count = len(text.split())
    return Answer(text, prompt, 4, completion_tokens=count, finish_reason="stop" if ended else None, tokens=tokens)


@pytest.mark.parametrize(
    ("text", "ended", "expected"),
    [
        ("Hello", False, ("", "Hello")),
        ("<thi", False, ("", "")),
        ("<thi", True, ("", "<thi")),
        ("\n", False, ("", "")),
        ("\n\n<thi", False, ("", "")),
        ("\n <think>Well</think>", False, ("Well", "")),
        ("\nHello", False, ("", "\nHello")),
        ("<think>\nWell, a </thi", False, ("Well, a", "")),
        ("<think>\nWell\n</think>\n\nHello", False, ("Well", "Hello")),
        ("<think>cut off", True, ("cut off", "")),
        ("I say <think>", True, ("", "I say <think>")),
    ],
)
def test_reasoning_is_apart_from_the_text(text: str, ended: bool, expected):
    assert split_reasoning(text, ended) == expected


def test_without_parallel_calls_an_answer_is_complete_with_its_first():
    call = '<tool_call>{"name": "f", "arguments": {}}</tool_call>'
    choice = Choice(ToolParser("hermes", {"f"}), most_calls=1)
    choice.update(answer(call))
    assert choice.finish_reason == "tool_calls"
    choice.update(answer(call * 2))
    assert len(choice.content.calls) == 1
