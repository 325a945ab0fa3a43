"""The ollama client."""

from typing import Any

from checks import ENCODER, FUNCTION, MESSAGES, MODEL, SCHEMA, URL, matches, report
from ollama import Client

client = Client(URL)
tools: Any = [{"type": "function", "function": FUNCTION}]


def chat() -> None:
    assert client.chat(MODEL, MESSAGES).message.content


def stream() -> None:
    assert len(list(client.chat(MODEL, MESSAGES, stream=True))) > 2


def call() -> None:
    """Tools, a call and its result reach the model: Ollama can't force a call, so it is one of the conversation."""
    asked = client.chat(MODEL, MESSAGES, tools=tools)
    call = {"function": {"name": "weather", "arguments": {"city": "Paris", "capital": True}}}
    answered: Any = [
        *MESSAGES,
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_name": "weather", "content": "Sunny, 21 degrees, and wind from the west."},
    ]
    told = client.chat(MODEL, answered, tools=tools)
    counts = [each.prompt_eval_count or 0 for each in (client.chat(MODEL, MESSAGES), asked, told)]
    assert counts[0] + 50 < counts[1] < counts[2] - 20 and told.message.content, counts
    for made in asked.message.tool_calls or []:
        matches(made.function.arguments)


def structured() -> None:
    matches(client.chat(MODEL, MESSAGES, format=SCHEMA).message.content)


def embeddings() -> None:
    assert len(client.embed(ENCODER, ["a", "b"]).embeddings) == 2


report(chat=chat, stream=stream, tools=call, structured=structured, embeddings=embeddings)
