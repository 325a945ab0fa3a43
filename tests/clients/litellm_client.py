"""LiteLLM."""

from typing import Any

import litellm
from checks import ENCODER, FUNCTION, MESSAGES, MODEL, QUESTION, SCHEMA, URL, matches, report

place: Any = {"model": f"openai/{MODEL}", "api_base": f"{URL}/v1", "api_key": "none", "messages": MESSAGES}


def chat() -> None:
    assert litellm.completion(**place).choices[0].message.content


def stream() -> None:
    assert len([part for part in litellm.completion(**place, stream=True) if part.choices[0].delta.content]) > 1


def call() -> None:
    tools = [{"type": "function", "function": FUNCTION}]
    answer = litellm.completion(**place, tools=tools, tool_choice="required")
    matches(answer.choices[0].message.tool_calls[0].function.arguments)


def structured() -> None:
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA}}
    matches(litellm.completion(**place, response_format=form).choices[0].message.content)


def responses() -> None:
    place_only = {name: value for name, value in place.items() if name != "messages"}
    assert litellm.responses(**place_only, input="Hello").output


def embeddings() -> None:
    done = litellm.embedding(model=f"openai/{ENCODER}", api_base=f"{URL}/v1", api_key="none", input=["a", "b"])
    assert len(done.data) == 2


def rerank() -> None:
    """Cohere's protocol."""
    documents = ["It rains.", "The capital of France is Paris."]
    done = litellm.rerank(f"cohere/{ENCODER}", QUESTION, documents, api_base=f"{URL}/v2/rerank", api_key="none")
    assert [one["index"] for one in done.results] == [1, 0] and done.results[0]["relevance_score"] > 0.5


report(chat=chat, stream=stream, tools=call, structured=structured, responses=responses, embeddings=embeddings)
report(rerank=rerank)
