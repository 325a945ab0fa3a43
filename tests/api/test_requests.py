from typing import Any

import pytest
from pydantic import ValidationError

from llm_chatbot.api.requests import MAX_SCHEMA_BYTES, ChatRequest, CompletionRequest, depth

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
TOOL = {"type": "function", "function": {"name": "f"}}


def schema_format(schema: dict) -> dict:
    return {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("frequency_penalty", 0.5),
        ("logit_bias", {"5": 1}),
        ("functions", []),
        ("audio", {}),
        ("store", True),
        ("echo", True),
        ("whatever", 1),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(field: str, value):
    with pytest.raises(ValidationError) as error:
        ChatRequest(**HELLO, **{field: value})
    assert error.value.errors()[0]["loc"] == (field,) and error.value.errors()[0]["type"] == "extra_forbidden"


def test_what_means_nothing_is_accepted():
    ChatRequest(**HELLO, frequency_penalty=0, logit_bias={}, store=False, user="ann", metadata={"a": "b"}, stop=None)
    CompletionRequest(model="m", prompt="x", best_of=1, echo=False, suffix="")


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"messages": [{"role": "user", "content": "x"}] * 2049},
        {
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]}
            ]
        },
        {"messages": [{"role": "user", "content": "x", "name": "ann"}]},
        {"temperature": 2.1},
        {"top_p": 0},
        {"n": 9},
        {"stop": ["a", "b", "c", "d", "e"]},
        {"max_tokens": 0},
        {"max_tokens": 5, "max_completion_tokens": 5},
        {"top_logprobs": 2},
        {"stream_options": {"include_usage": True}},
        {"response_format": {"type": "json_schema"}},
        {"response_format": schema_format({"enum": ["x" * MAX_SCHEMA_BYTES]})},
        {"tool_choice": "required"},
        {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "g"}}},
        {"tools": [TOOL], "tool_choice": "required", "response_format": {"type": "json_object"}},
        {"tools": [TOOL] * 129},
    ],
)
def test_what_is_out_of_range_is_refused(fields: dict):
    with pytest.raises(ValidationError):
        ChatRequest(**{**HELLO, **fields})


def test_a_schema_of_any_depth_is_refused_without_recursion():
    schema: dict = {}
    for _ in range(100):
        schema = {"items": schema}
    assert depth(schema) == 101
    with pytest.raises(ValidationError, match="levels deep"):
        ChatRequest(**HELLO, response_format=schema_format(schema))


def test_messages_reach_the_engine_as_chat_templates_take_them():
    messages = [
        {"role": "developer", "content": [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]},
        {
            "role": "assistant",
            "content": None,
            "reasoning_content": "Hm.",
            "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}],
        },
        {"role": "tool", "tool_call_id": "1", "name": "f", "content": "2"},
    ]
    system, assistant, tool = [message.for_template() for message in ChatRequest(model="m", messages=messages).messages]
    assert system == {"role": "system", "content": "Be brief."}
    assert assistant["content"] == "<think>\nHm.\n</think>\n\n"
    assert assistant["tool_calls"][0]["function"] == {"name": "f", "arguments": {"a": 1}}
    assert tool == {"role": "tool", "content": "2", "name": "f", "tool_call_id": "1"}
