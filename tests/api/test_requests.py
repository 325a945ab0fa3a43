from typing import Any

import pytest
from pydantic import ValidationError

from llm_chatbot.answering.options import make_generation
from llm_chatbot.api.requests import MAX_SCHEMA_BYTES, ChatRequest, CompletionRequest, depth
from llm_chatbot.api.sampling_fields import MAX_STOPS
from llm_chatbot.engine.decode.dry import Dry

HELLO: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
TOOL = {"type": "function", "function": {"name": "f"}}


def schema_format(schema: dict) -> dict:
    return {"type": "json_schema", "json_schema": {"name": "s", "schema": schema}}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("functions", []),
        ("audio", {}),
        ("echo", True),
        ("modalities", ["audio"]),
        ("web_search_options", {}),
        ("whatever", 1),
    ],
)
def test_what_is_not_supported_is_refused_by_its_name(field: str, value):
    with pytest.raises(ValidationError) as error:
        ChatRequest(**HELLO, **{field: value})
    assert error.value.errors()[0]["loc"] == (field,) and error.value.errors()[0]["type"] == "extra_forbidden"


def test_what_can_not_change_an_answer_is_accepted():
    labels = {"user": "ann", "metadata": {"a": "b"}, "safety_identifier": "x", "store": True, "service_tier": "flex"}
    hints = {"cache_prompt": True, "prediction": {"type": "content", "content": "x"}, "prompt_cache_retention": "24h"}
    neutral = {"frequency_penalty": 0, "logit_bias": {}, "stop": None, "modalities": ["text"], "verbosity": "low"}
    options = {"stream_options": {"include_usage": True, "include_obfuscation": False}}
    request = ChatRequest(**HELLO, **labels, **hints, **neutral, **options)
    assert request.options() == ChatRequest(**HELLO).options() and request.wants_usage
    CompletionRequest.model_validate({"prompt": "x", "best_of": 1, "echo": False, "suffix": ""})


def test_how_tokens_are_chosen_reaches_the_engine():
    fields = {"presence_penalty": -1, "frequency_penalty": 0.5, "logit_bias": {"5": -100}, "ignore_eos": True}
    others = {"xtc_probability": 0.5, "xtc_threshold": 0.2, "dry_multiplier": 0.8, "dry_sequence_breakers": ["\n", ""]}
    options = make_generation(**ChatRequest(**HELLO, **fields, **others, top_k=-1, top_p=0, seed=-1).options())
    assert (options.presence_penalty, options.frequency_penalty, options.logit_bias) == (-1, 0.5, {5: -100})
    assert options.ignore_eos and options.dry == Dry(0.8, breakers=("\n",))
    assert (options.xtc_probability, options.xtc_threshold) == (0.5, 0.2)
    assert (options.top_k, options.top_p, options.seed) == (0, 0, None)


@pytest.mark.parametrize(
    ("fields", "limit"),
    [
        ({}, None),
        ({"max_tokens": 32000}, 32000),
        ({"max_tokens": -1}, None),
        ({"max_tokens": 5, "max_completion_tokens": 7}, 5),
        ({"max_tokens": -1, "max_completion_tokens": 7}, 7),
    ],
)
def test_the_lower_of_two_limits_holds_and_minus_one_is_none(fields: dict, limit: int | None):
    assert ChatRequest(**HELLO, **fields).limit == limit


def test_prompts_are_texts_or_token_ids_one_or_several():
    def prompts(prompt: Any) -> list:
        return CompletionRequest.model_validate({"prompt": prompt}).prompts

    assert prompts("a") == ["a"] and prompts(["a", "b"]) == ["a", "b"]
    assert prompts([1, 2]) == [(1, 2)] and prompts([[1, 2], [3]]) == [(1, 2), (3,)]
    limits = [CompletionRequest.model_validate({"prompt": "a", **fields}).limit for fields in ({}, {"max_tokens": 0})]
    assert limits == [16, 0]


@pytest.mark.parametrize(
    "fields",
    [
        {"messages": []},
        {"messages": [{"role": "user", "content": "x"}] * 2049},
        {"temperature": 2.1},
        {"top_p": -0.1},
        {"top_k": -2},
        {"n": 9},
        {"stop": ["a"] * (MAX_STOPS + 1)},
        {"max_tokens": 0},
        {"max_tokens": -2},
        {"top_logprobs": 2},
        {"presence_penalty": 2.1},
        {"logit_bias": {"5": 101}},
        {"logit_bias": {"-1": 1}},
        {"logit_bias": {"a": 1}},
        {"dry_base": 0.5},
        {"dry_multiplier": float("nan")},
        {"xtc_probability": 1.1},
        {"reasoning_effort": "whatever"},
        {"chat_template_kwargs": {"x": ["x" * MAX_SCHEMA_BYTES]}},
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


def test_what_servers_and_clients_write_into_messages_is_left_out():
    function = {"name": "f", "arguments": "{}", "parsed_arguments": {}}
    call = {"id": "1", "index": 0, "type": "function", "function": function, "extra_content": {"google": {}}}
    written = {
        "annotations": [],
        "audio": None,
        "refusal": None,
        "parsed": {},
        "index": 0,
        "id": "m",
        "thinking_blocks": [],
    }
    parts = [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}, {"type": "refusal", "refusal": "b"}]
    messages = [
        {"role": "user", "content": "Hello", "name": "ann", "id": "u"},
        {"role": "assistant", "content": parts, "tool_calls": [call], **written},
    ]
    user, assistant = [
        message.for_template() for message in ChatRequest.model_validate({"messages": messages}).messages
    ]
    assert user == {"role": "user", "content": "Hello", "name": "ann"}
    assert assistant["content"] == "ab" and assistant.keys() == {"role", "content", "tool_calls"}
