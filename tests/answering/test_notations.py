"""Calls that a grammar makes a model write, in the notation that each format has, and read by the parser of it.

Those as elements have more tests in test_element_rules.py.
"""

import json
from typing import Any

import numpy as np
import pytest
from jsonschema_rs import Draft202012Validator
from tokenizers import AddedToken

from llm_chatbot.answering.grammar import Grammar, GrammarCompiler, answer_grammar
from llm_chatbot.answering.schemas import Schema, standalone
from llm_chatbot.api.tools import ToolParser, forced_calls
from llm_chatbot.catalogue.tool_formats import CALL_MARKS, TOOL_FORMATS
from tests.answering.test_grammar import ByteTokenizer

OWN = [name for name, format in TOOL_FORMATS.items() if format.call]
PARAMETERS: Schema = {
    "type": "object",
    "properties": {
        "city": {"enum": ["Köln", 'the "Bonn"', "a <b> c", "⟦<end>⟧"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 9},
        "more": {"$ref": "#/$defs/More"},
        "tags": {"type": "array", "items": {"enum": ["x", None, 1, True, {"k": ["v"]}]}, "maxItems": 2},
    },
    "required": ["city", "days"],
    "additionalProperties": False,
    "$defs": {
        "More": {
            "type": "object",
            "properties": {"on": {"type": "boolean"}, "n": {"anyOf": [{"type": "null"}, {"const": 2.5}]}},
            "required": ["on"],
            "additionalProperties": False,
        }
    },
}


class MarkedTokenizer(ByteTokenizer):
    """A token for each byte, one that ends an answer, and with `special` those of the marks."""

    def __init__(self, special: bool | None) -> None:
        super().__init__()
        if special is not None:
            marks = [AddedToken(mark, special=special, normalized=False) for mark in CALL_MARKS]
            self.backend_tokenizer.add_tokens(marks)


def written(grammar: Grammar, special: bool | None, seed: int) -> str:
    """The text of a model that takes any token it may, with its marks."""
    tokenizer, random = MarkedTokenizer(special), np.random.default_rng(seed)
    end, size = tokenizer.backend_tokenizer.token_to_id("<end>"), tokenizer.backend_tokenizer.get_vocab_size()
    constraint = GrammarCompiler(tokenizer, {end}).constraint(grammar.text)  # type: ignore[arg-type]
    ids: list[int] = []
    while len(ids) < 1000:
        logits = random.normal(size=size).astype(np.float32)
        logits[end] += 3
        constraint.mask(logits)
        token = int(logits.argmax())
        constraint.accept(token)
        if token == end:
            return tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=False)
        ids.append(token)
    return ""


def calls_in(format: str, text: str, parameters: Schema) -> list[tuple[str, Any]]:
    result = ToolParser(format, {"f": parameters, "g": parameters}).parse(text, True)
    assert result.text == "", text
    return [(call.name, json.loads(call.arguments)) for call in result.calls]


@pytest.mark.parametrize("special", [True, False, None], ids=["control tokens", "tokens", "letters"])
@pytest.mark.parametrize("format", OWN)
def test_a_forced_call_is_written_as_the_model_was_trained_to(format: str, special: bool | None):
    grammar = answer_grammar(forced_calls(format, [("f", PARAMETERS), ("g", PARAMETERS)], several=True))
    assert not grammar.unmasked
    validator, seen = Draft202012Validator(standalone(PARAMETERS)), set()
    for seed in range(10):
        text = written(grammar, special, seed)
        assert text and '"name"' not in text and TOOL_FORMATS[format].start in text
        calls = calls_in(format, text, PARAMETERS)
        assert calls and all(validator.is_valid(arguments) for _, arguments in calls), text
        seen |= {name for name, _ in calls}
    assert seen == {"f", "g"}


@pytest.mark.parametrize("format", [name for name in OWN if TOOL_FORMATS[name].syntax != "xml"])
def test_what_is_not_named_may_be_anything(format: str):
    anything: Schema = {"type": "object", "properties": {"x": {}}, "required": ["x"]}
    grammar = answer_grammar(forced_calls(format, [("f", anything)]))
    texts = [text for seed in range(20) if (text := written(grammar, True, seed))]
    assert len(texts) > 3
    assert all("x" in arguments for text in texts for _, arguments in calls_in(format, text, anything))


@pytest.mark.parametrize(
    ("format", "keywords"),
    [("gemma", {"pattern", "uniqueItems"}), ("lfm", {"uniqueItems"}), ("deepseek", {"uniqueItems"})],
)
def test_what_a_notation_can_not_say_is_left_to_the_check(format: str, keywords: set[str]):
    text = {"type": "string", "pattern": "^a+$"}
    schema: Schema = {"type": "object", "properties": {"x": text, "y": {"type": "array", "uniqueItems": True}}}
    assert answer_grammar(forced_calls(format, [("f", schema)])).unmasked == keywords


def test_a_name_that_python_can_not_say_is_written_as_json():
    schema: Schema = {"type": "object", "properties": {"a-b": {"const": 1}}, "required": ["a-b"]}
    schema = {**schema, "additionalProperties": False}
    text = written(answer_grammar(forced_calls("lfm", [("f", schema)])), True, 0)
    assert calls_in("lfm", text, schema) == [("f", {"a-b": 1})] and '"name"' in text
