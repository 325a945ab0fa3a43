"""Forced calls as elements: whatever a model writes is read as it stood there, and fits the schema."""

import json
from typing import Any

import numpy as np
import pytest
from jsonschema_rs import Draft202012Validator

from llm_chatbot.answering.grammar import Grammar, answer_grammar
from llm_chatbot.answering.schemas import Schema
from llm_chatbot.api.tools import ToolParser, forced_calls
from tests.answering.test_grammar import COMPILER, END, TOKENIZER, can_write

FORMATS = ("qwen-xml", "seed-xml")
SMALL = {"type": "integer", "minimum": 3, "maximum": 20}
ARGUMENTS: Schema = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "short": {"type": "string", "minLength": 2, "maxLength": 5},
        "perhaps": {"anyOf": [{"type": "string", "maxLength": 9}, {"type": "null"}]},
        "either": {"anyOf": [{"$ref": "#/$defs/Text"}, SMALL, {"type": "array", "items": SMALL, "minItems": 1}]},
        "listed": {"enum": ["one", "a </parameter> b", "\ntwo\n", "", 3, None, ["x"]]},
        "anything": {},
        "object": {"type": "object", "additionalProperties": {"type": "string"}, "maxProperties": 2},
    },
    "required": ["text", "either", "perhaps", "listed"],
    "additionalProperties": False,
    "$defs": {"Text": {"type": "string", "minLength": 1}},
}
# What a model may want to write, most of it in the wrong place.
ENDS = (
    "\n</parameter>\n<parameter=",
    "</parameter>\n<parameter=",
    "\n</parameter>\n</function>",
    "</parameter>\n</function>",
)
WISHES: tuple[str, ...] = (
    *ENDS,
    *ENDS,
    "\n</parameter>\n",
    "</parameter>",
    "\n",
    "<parameter=text>",
    "</function>",
    "</tool_call>",
    "\n\n",
)
WISHES += (
    "null",
    "true",
    " 5",
    "7\n</parameter>",
    "7</parameter>",
    "[4]",
    "[4]",
    "-1.5",
    "[",
    '{"a": "b"}',
    '"',
    "ü",
    "<",
    "\\",
)


def contrary(grammar: Grammar, seed: int) -> str:
    """The text of a model that writes one wish after the other, and where it may not go on with one, any character."""
    random, constraint = np.random.default_rng(seed), COMPILER.constraint(grammar.text)
    ids, wish = list[int](), list[int]()
    while len(ids) < 1500:
        wish = wish or TOKENIZER.ids(random.choice(WISHES))
        logits = random.normal(size=END + 1).astype(np.float32)
        logits[wish[0]], logits[END] = 50, 100
        constraint.mask(logits)
        token = int(logits.argmax())
        constraint.accept(token)
        if token == END:
            return TOKENIZER.backend_tokenizer.decode(ids)
        wish = wish[1:] if token == wish[0] else []
        ids.append(token)
    raise AssertionError("no end")


def call(format: str, text: str, parameters: Schema) -> Any:
    """The arguments of the only call in an answer, whose end is read as it grows."""
    parser = ToolParser(format, {"f": parameters})
    assert all(parser.parse(text[:size], False).text == "" for size in range(1, len(text), 25))
    result = parser.parse(text, True)
    (found,) = result.calls
    assert result.text == "" and found.name == "f", text
    return json.loads(found.arguments)


@pytest.mark.parametrize("format", FORMATS)
def test_whatever_is_written_is_a_call_that_fits_its_schema(format: str):
    grammar = answer_grammar(forced_calls(format, [("f", ARGUMENTS)]))
    assert not grammar.unmasked
    validator, found = Draft202012Validator(ARGUMENTS), list[dict[str, Any]]()
    for seed in range(40):
        text = contrary(grammar, seed)
        found.append(call(format, text, ARGUMENTS))
        assert validator.is_valid(found[-1]), text
    assert {name for each in found for name in each} == {*ARGUMENTS["properties"]}  # type: ignore[index]
    assert any("</parameter>" in each["text"] for each in found)


@pytest.mark.parametrize(
    ("part", "texts"),
    [
        ({"anyOf": [{"$ref": "#/$defs/Few"}, {"type": "null"}]}, {"none yet": "none yet", "null": None}),
        ({"oneOf": [{"$ref": "#/$defs/Few"}, SMALL]}, {"seven": "seven", "7": 7}),
        ({"type": ["string", "boolean"], "maxLength": 5}, {"truer": "truer", "true": True, "1": "1"}),
        ({"anyOf": [{"$ref": "#/$defs/Few"}, {"type": "array", "maxItems": 1}]}, {"<[": "<[", "[null]": [None]}),
        ({"enum": ["a", "null ", 1, False]}, {"a": "a", "1": 1, "false": False}),
        (
            {"type": ["string", "integer", "null"]},
            {"a": "a", "12": 12, "1.5": "1.5", "null": None, '{"b": 1}': '{"b": 1}'},
        ),
    ],
)
@pytest.mark.parametrize("format", FORMATS)
def test_each_alternative_is_written(format: str, part: Schema, texts: dict[str, Any]):
    few = {"type": "string", "maxLength": 9}
    schema: Schema = {"type": "object", "properties": {"a": part}, "required": ["a"], "$defs": {"Few": few}}
    grammar = answer_grammar(forced_calls(format, [("f", schema)]))
    for text, value in texts.items():
        written = answer(format, element(format, "a", text))
        assert can_write(grammar, written), text
        assert call(format, written, schema) == {"a": value}


TEXTS = (
    "a </parameter> b",
    "a\n</parameter>\nb\n</parameter>\n",
    '{"a": "</parameter>\\n"}',
    "one\n\n\ttwo\n",
    "",
    "</function>\n</tool_call>",
    "<tool_call>\n<function=f>",
    "null",
    "5",
)


def element(format: str, name: str, value: str) -> str:
    begin, end = ("", "") if format == "seed-xml" else ("\n", "\n")
    return f"<parameter={name}>{begin}{value}{end}</parameter>\n"


def answer(format: str, elements: str) -> str:
    mark = "seed:tool_call" if format == "seed-xml" else "tool_call"
    return f"<{mark}>\n<function=f>\n{elements}</function>\n</{mark}>"


@pytest.mark.parametrize("value", TEXTS)
@pytest.mark.parametrize("format", FORMATS)
def test_a_text_may_be_anything_but_the_end_of_an_element(format: str, value: str):
    properties = {"a": {"type": "string"}, "b": {"type": "integer"}}
    schema: Schema = {"type": "object", "properties": properties, "required": ["a", "b"]}
    grammar = answer_grammar(forced_calls(format, [("f", schema)]))
    text = answer(format, element(format, "a", value) + element(format, "b", "1"))
    assert can_write(grammar, text)
    if format == "qwen-xml" or not value.endswith("\n"):
        assert call(format, text, schema) == {"a": value, "b": 1}


@pytest.mark.parametrize("value", ["<parameter=b>", "a </parameter>\n</function> b"])
def test_what_would_end_an_element_is_not_written(value: str):
    schema: Schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    grammar = answer_grammar(forced_calls("qwen-xml", [("f", schema)]))
    assert not can_write(grammar, answer("qwen-xml", element("qwen-xml", "a", value)))


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("value", [*TEXTS, "\nx", "x\n", "\n"])
def test_a_text_that_a_schema_lists_is_read_as_it_is(format: str, value: str):
    schema: Schema = {"type": "object", "properties": {"a": {"enum": [value]}}, "required": ["a"]}
    grammar = answer_grammar(forced_calls(format, [("f", schema)]))
    assert call(format, contrary(grammar, 0), schema) == {"a": value}


@pytest.mark.parametrize(
    "part",
    [
        {"enum": ["x <parameter=y> z"]},
        {"enum": ["</parameter></function></tool_call>"]},
        {"enum": ["1", 1]},
        {"anyOf": [{"const": "null"}, {"type": "null"}]},
        {"anyOf": [{"$ref": "#/$defs/Two"}, {"type": "boolean"}], "$defs": {}},
    ],
)
@pytest.mark.parametrize("format", FORMATS)
def test_a_call_with_a_text_that_is_read_otherwise_is_json(format: str, part: Schema):
    schema: Schema = {
        "type": "object",
        "properties": {"a": part},
        "required": ["a"],
        "$defs": {"Two": {"enum": ["true", "b"]}},
        "additionalProperties": False,
    }
    for seed in range(3):
        text = contrary(answer_grammar(forced_calls(format, [("f", schema)])), seed)
        assert '"name"' in text and Draft202012Validator(schema).is_valid(call(format, text, schema))


@pytest.mark.parametrize(
    ("name", "schema"),
    [
        ("f", {"type": "object", "properties": {"a b": {"const": 1}}, "required": ["a b"]}),
        ("f", {"type": "object", "anyOf": [{"required": ["a"]}], "properties": {"a": {"const": 1}}}),
        ("f", {"type": "object", "minProperties": 1, "additionalProperties": {"const": 1}}),
    ],
)
def test_arguments_that_elements_can_not_say_are_json(name: str, schema: Schema):
    text = contrary(answer_grammar(forced_calls("qwen-xml", [(name, schema)])), 1)
    assert '"name"' in text and Draft202012Validator(schema).is_valid(call("qwen-xml", text, schema))


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object", "additionalProperties": False}, {}),
        ({"type": "object", "properties": {"a": False}}, {}),
        ({"type": "object", "required": ["a"], "additionalProperties": {"const": 1}}, {"a": 1}),
        ({"type": "object", "properties": {"a": {"const": 2**60 + 1}}, "required": ["a"]}, {"a": 2**60 + 1}),
    ],
)
@pytest.mark.parametrize("format", FORMATS)
def test_arguments_are_those_of_the_schema(format: str, schema: Schema, expected: Any):
    assert call(format, contrary(answer_grammar(forced_calls(format, [("f", schema)])), 0), schema) == expected


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("value", ["99", "-1", "[1, 2]", "true"])
def test_a_text_does_not_look_like_a_value_that_its_schema_refuses(format: str, value: str):
    part = {"anyOf": [{"type": "string"}, SMALL, {"type": "array", "maxItems": 1}, {"const": False}]}
    schema: Schema = {"type": "object", "properties": {"a": part}, "required": ["a"]}
    grammar = answer_grammar(forced_calls(format, [("f", schema)]))
    assert not can_write(grammar, answer(format, element(format, "a", value)))


@pytest.mark.parametrize("format", FORMATS)
def test_arguments_with_any_names_have_the_type_of_the_others(format: str):
    schema: dict[str, Any] = {"type": "object", "additionalProperties": {"type": "string"}}
    grammar = answer_grammar(forced_calls(format, [("f", schema)]))
    text = answer(format, element(format, "x", "5") + element(format, "y", "null"))
    assert can_write(grammar, text) and call(format, text, schema) == {"x": "5", "y": "null"}
    assert call(format, text, {**schema, "properties": {"y": {}}}) == {"x": "5", "y": None}


def test_a_text_that_begins_with_a_quote_ends_with_its_element():
    part = {"type": ["string", "null"]}
    schema: Schema = {"type": "object", "properties": {"a": part, "b": part}}
    text = answer("seed-xml", element("seed-xml", "a", '"x') + element("seed-xml", "b", 'y"'))
    assert call("seed-xml", text, schema) == {"a": '"x', "b": 'y"'}


def test_what_elements_can_not_say_of_a_text_is_left_to_the_check():
    text = {"type": "string", "pattern": "^a+$"}
    schema: Schema = {"type": "object", "properties": {"x": text, "y": {"oneOf": [text, {"type": "null"}]}}}
    assert answer_grammar(forced_calls("qwen-xml", [("f", schema)])).unmasked == {"pattern", "oneOf"}
