from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import ValidationError

import llm_chatbot.api.service  # noqa: F401, imports the requests of all protocols
from llm_chatbot.api.chat_messages import Body
from llm_chatbot.api.embeddings import EmbeddingRequest
from llm_chatbot.api.requests import ChatRequest, CompletionRequest
from llm_chatbot.api.tokens import DetokenizeRequest


def bodies(base: type[Body] = Body) -> Iterator[type[Body]]:
    for body in base.__subclasses__():
        yield body
        yield from bodies(body)


def number_fields() -> list[tuple[type[Body], str]]:
    found = []
    for body in dict.fromkeys(bodies()):
        for name, schema in body.model_json_schema().get("properties", {}).items():
            types = {option.get("type") for option in (schema, *schema.get("anyOf", []))}
            if types & {"integer", "number"} and "boolean" not in types:
                found.append((body, name))
    return found


def faults(body: type[Body], fields: dict[str, Any]) -> list[tuple[int | str, ...]]:
    with pytest.raises(ValidationError) as raised:
        body.model_validate(fields)
    return [fault["loc"] for fault in raised.value.errors()]


def test_true_is_no_number_in_any_field_of_any_request():
    fields = number_fields()
    assert {"temperature", "max_tokens", "top_n", "dimensions", "seed"} <= {name for _, name in fields}
    for body, name in fields:
        assert any(place[0] == name for place in faults(body, {name: True})), (body, name)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        (CompletionRequest, {"prompt": [True]}),
        (CompletionRequest, {"prompt": [[1, 2], [3, True]]}),
        (EmbeddingRequest, {"input": [False]}),
        (DetokenizeRequest, {"tokens": [5, True]}),
        (ChatRequest, {"messages": [{"role": "user", "content": "x"}], "logit_bias": {"5": True}}),
        (ChatRequest, {"messages": [{"role": "user", "content": "x"}], "logit_bias": {"true": 5}}),
    ],
)
def test_true_and_false_are_no_ids_of_tokens_and_no_biases(body: type[Body], fields: dict[str, Any]):
    assert {place[0] for place in faults(body, fields)} <= fields.keys()


def test_the_bounds_of_optional_numbers_are_in_the_schema():
    limit = ChatRequest.model_json_schema()["properties"]["max_tokens"]["anyOf"][0]
    assert limit == {"type": "integer", "minimum": -1}
