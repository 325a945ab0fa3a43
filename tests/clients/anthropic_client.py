"""The anthropic client."""

from typing import Any

from anthropic import Anthropic
from checks import FUNCTION, MESSAGES, MODEL, SCHEMA, URL, matches, report

client = Anthropic(base_url=URL, api_key="none", max_retries=0)
asked: Any = {"model": MODEL, "max_tokens": 200, "messages": MESSAGES}
tools: Any = [{"name": FUNCTION["name"], "description": FUNCTION["description"], "input_schema": SCHEMA}]


def chat() -> None:
    assert client.messages.create(**asked).content[0].text


def stream() -> None:
    with client.messages.stream(**asked) as events:
        assert len(list(events.text_stream)) > 1


def call() -> None:
    answer = client.messages.create(**asked, tools=tools, tool_choice={"type": "any"})
    made: Any = next(block for block in answer.content if block.type == "tool_use")
    matches(made.input)
    result: Any = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": made.id, "content": "sunny"}]}
    messages = [*asked["messages"], {"role": "assistant", "content": answer.content}, result]
    assert client.messages.create(**{**asked, "messages": messages}, tools=tools).content


report(chat=chat, stream=stream, tools=call)
