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
    assert client.chat(MODEL, MESSAGES, tools=tools).message is not None  # it may call: Ollama can't force it


def structured() -> None:
    matches(client.chat(MODEL, MESSAGES, format=SCHEMA).message.content)


def embeddings() -> None:
    assert len(client.embed(ENCODER, ["a", "b"]).embeddings) == 2


report(chat=chat, stream=stream, tools=call, structured=structured, embeddings=embeddings)
