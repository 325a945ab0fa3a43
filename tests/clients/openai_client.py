"""The openai client: Chat Completions, Responses and Embeddings."""

from typing import Any

from checks import ENCODER, FUNCTION, MESSAGES, MODEL, QUESTION, SCHEMA, URL, matches, report
from openai import OpenAI

client = OpenAI(base_url=f"{URL}/v1", api_key="none", max_retries=0)
tools: Any = [{"type": "function", "function": FUNCTION}]
messages: Any = MESSAGES


def chat() -> None:
    assert client.chat.completions.create(model=MODEL, messages=messages).choices[0].message.content


def stream() -> None:
    chunks = client.chat.completions.create(model=MODEL, messages=messages, stream=True)
    assert len([chunk for chunk in chunks if chunk.choices and chunk.choices[0].delta.content]) > 1


def call() -> None:
    answer = client.chat.completions.create(model=MODEL, messages=messages, tools=tools, tool_choice="required")
    made: Any = (answer.choices[0].message.tool_calls or [])[0]
    matches(made.function.arguments)
    result: Any = [answer.choices[0].message, {"role": "tool", "tool_call_id": made.id, "content": "sunny"}]
    assert client.chat.completions.create(model=MODEL, messages=[*messages, *result], tools=tools).choices


def structured() -> None:
    form: Any = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    answer = client.chat.completions.create(model=MODEL, messages=messages, response_format=form)
    matches(answer.choices[0].message.content)


def responses() -> None:
    assert client.responses.create(model=MODEL, input=QUESTION).output_text
    with client.responses.stream(model=MODEL, input=QUESTION) as events:
        assert any(event.type == "response.output_text.delta" for event in events)


def embeddings() -> None:
    assert len(client.embeddings.create(model=ENCODER, input=["a", "b"]).data) == 2


report(chat=chat, stream=stream, tools=call, structured=structured, responses=responses, embeddings=embeddings)
