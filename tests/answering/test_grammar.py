import json
from typing import Any

import numpy as np
import pytest
from jsonschema_rs import Draft202012Validator
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram

from llm_chatbot.answering.errors import GrammarError
from llm_chatbot.answering.grammar import (
    Form,
    Grammar,
    GrammarCompiler,
    answer_grammar,
)
from llm_chatbot.answering.schemas import Schema, standalone
from llm_chatbot.api.tools import forced_calls
from llm_chatbot.machine.json_value import json_value

PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name", "age"],
    "additionalProperties": False,
}
END = 256


class ByteTokenizer:
    """A token for each byte, and one that ends an answer."""

    def __init__(self) -> None:
        vocabulary = {token: id for id, token in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
        self.backend_tokenizer = Tokenizer(BPE(vocabulary, []))
        self.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        self.backend_tokenizer.decoder = decoders.ByteLevel()
        self.backend_tokenizer.add_special_tokens(["<end>"])

    def ids(self, text: str) -> list[int]:
        return self.backend_tokenizer.encode(text).ids


TOKENIZER = ByteTokenizer()
QUOTE = TOKENIZER.ids('"')[0]
COMPILER = GrammarCompiler(TOKENIZER, {END})  # type: ignore[arg-type]


def written(grammar: Grammar, seed: int, most: int = 400) -> str:
    """The text of a model that takes any token it may, and rather ends texts; empty if it doesn't come to an end."""
    random, constraint = np.random.default_rng(seed), COMPILER.constraint(grammar.text)
    ids: list[int] = []
    while len(ids) < most:
        logits = random.normal(size=300).astype(np.float32)  # more than the tokenizer has, as some models have
        logits[[QUOTE, END]] += (1.5, 3)
        constraint.mask(logits)
        token = int(logits.argmax())
        assert np.isfinite(logits[token]) and token <= END
        constraint.accept(token)
        if token == END:
            return TOKENIZER.backend_tokenizer.decode(ids)
        ids.append(token)
    return ""


def can_write(grammar: Grammar, text: str) -> bool:
    constraint = COMPILER.constraint(grammar.text)
    for token in [*TOKENIZER.ids(text), END]:
        logits = np.zeros(300, dtype=np.float32)
        constraint.mask(logits)
        if not np.isfinite(logits[token]):
            return False
        constraint.accept(token)
    return True


def grammar_of(schema: Schema) -> Grammar:
    return answer_grammar([Form(standalone(schema))])


LARGE = 1234567890123456789
LARGEST = 2**63 - 1


def closed(properties: dict, required: list[str]) -> dict:
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


TREE = {
    **closed({"id": {"const": LARGE}, "next": {"anyOf": [{"$ref": "#"}, {"type": "null"}]}}, ["id", "next"]),
}


@pytest.mark.parametrize(
    "schema",
    [
        PERSON,
        {"type": "object"},
        {"type": "object", "properties": {"name": {"type": "integer"}}, "required": ["name"]},
        {"type": "object", "properties": {"a": {"$ref": "#/properties/b"}, "b": {"enum": [1, 2]}}, "required": ["a"]},
        # Large integers.
        {"const": LARGE},
        {"enum": [LARGE, -LARGE, "x", None]},
        {"const": {"a": [LARGE]}},
        {"type": "integer", "enum": [LARGE, "x"]},
        {"type": "integer", "minimum": 2**53 + 1, "maximum": 2**53 + 3},
        {"type": "integer", "exclusiveMinimum": -LARGEST - 1, "maximum": -LARGEST + 1},
        {"type": "number", "minimum": 2**60 + 1, "exclusiveMaximum": 2**60 + 3},
        {"type": ["integer", "null"], "minimum": LARGEST},
        {"type": "array", "items": {"enum": [LARGE, LARGE + 1]}, "minItems": 1, "maxItems": 3},
        {"type": "array", "items": {"const": LARGE}},
        {"type": "array", "items": {"const": LARGE}, "minItems": 2},
        {"type": "array", "items": {"const": LARGE}, "maxItems": 1},
        {"type": "array", "prefixItems": [{"const": LARGE}, {"type": "null"}], "items": False},
        {"type": "array", "prefixItems": [{"const": LARGE}, {"const": 2}], "items": {"type": "null"}, "minItems": 1},
        {"type": "array", "prefixItems": [{"type": "null"}], "items": {"const": LARGE}, "minItems": 3, "maxItems": 4},
        {"type": "object", "additionalProperties": {"const": LARGE}},
        closed({"a": {"const": LARGE}, "b": {"enum": ["x", 2]}, "c": {"type": "boolean"}}, ["c"]),
        closed({"a": {"const": LARGE}, "b": {"type": "null"}}, []),
        closed({"a": {"const": LARGE}, "b": {"type": "null"}}, ["a"]),
        TREE,
        # Keywords that clients send.
        {"type": "string", "format": "password", "maxLength": 5},
        closed({"x": {"type": "string", "format": "phone"}, "y": {"type": "string", "format": "byte"}}, ["x", "y"]),
        closed({"at": {"type": "string", "format": "date-time"}, "id": {"type": "string", "format": "uuid"}}, ["at"]),
        closed({"n": {"type": "integer", "format": "int32", "minimum": 0, "exclusiveMinimum": True}}, ["n"]),
        closed({"n": {"type": "string", "nullable": True, "example": "x", "xml": {"name": "n"}}}, ["n"]),
        closed({"r": {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {}}}, ["r"]),
        {"type": "OBJECT", "properties": {"x": {"type": "INTEGER"}}, "required": ["x"], "additionalProperties": False},
        {"type": "object", "properties": {"x": {"type": "any", "description": None}}, "required": None},
        {"type": "object", "properties": None, "maxProperties": None},
        {"type": "array", "items": {"type": "null"}, "uniqueItems": False, "maxItems": 2},
        {"type": "object", "propertyNames": {"type": "string"}, "additionalProperties": {"type": "null"}},
        {"type": "object", "propertyNames": {"enum": ["x", "y"]}, "additionalProperties": {"type": "null"}},
        {"type": "object", "propertyNames": {"pattern": "^x"}, "additionalProperties": {"type": "null"}},
        {"type": "object", "propertyNames": {"minLength": 1, "maxLength": 2}, "maxProperties": 2},
        {**closed({"a": {"type": "null"}, "b": {"type": "null"}, "c": True}, []), "minProperties": 2},
        {"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "minProperties": 1},
        {**closed({"a": {"type": "null"}, "b": {"not": {}}}, ["a"])},
        {"type": "string", "pattern": r"^(?!^[-+.]*$)[+-]?0*\d*\.?\d*$"},
        {"type": "array", "items": [{"const": 1}, {"const": 2}], "additionalItems": False, "minItems": 2},
        {"oneOf": [closed({"k": {"const": "a"}}, ["k"]), closed({"k": {"const": "b"}}, ["k"])]},
        {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"]},
        {"$defs": {"N": closed({"n": {"type": "object", "$ref": "#/$defs/N"}}, [])}, "$ref": "#/$defs/N"},
        {"type": "string", "const": "a\u0001b"},
        True,
    ],
)  # fmt: skip
def test_whatever_the_model_prefers_the_text_matches_the_schema(schema: Schema):
    grammar, validator = grammar_of(schema), Draft202012Validator(standalone(schema))
    assert not grammar.unmasked
    texts = [text for seed in range(30) if (text := written(grammar, seed))]
    assert len(texts) > 3, "some end within the limit"
    assert all(validator.is_valid(json_value(text)) for text in texts)


@pytest.mark.parametrize(
    ("low", "high"), [(-LARGEST - 1, LARGEST), (2**53 + 1, None), (None, -(2**53) - 1), (-LARGE, LARGE), (0, 2**64 - 1)]
)
def test_bounds_are_exact(low: int | None, high: int | None):
    bounds = {"minimum": low, "maximum": high}
    grammar = grammar_of({"type": "integer", **{name: bound for name, bound in bounds.items() if bound is not None}})
    for bound, outside in ((low, -1), (high, 1)):
        if bound is not None:
            assert [can_write(grammar, str(bound + step * outside)) for step in (-1, 0, 1)] == [True, True, False]


@pytest.mark.parametrize(
    ("schema", "keyword"),
    [
        ({"type": "array", "uniqueItems": True}, "uniqueItems"),
        ({"not": {"uniqueItems": True}}, "not"),
        ({"type": "object", "if": {"required": ["a"]}, "then": {"required": ["b"]}}, "then"),
        ({"type": "object", "properties": {"a": {}, "b": {}}, "maxProperties": 1}, "maxProperties"),
        ({"type": "object", "propertyNames": {"pattern": "^a"}, "properties": {"a": {}}}, "propertyNames"),
        ({"type": "object", "patternProperties": {"^a": {"type": "null"}, "^ab": {}}}, "patternProperties"),
        ({"type": "string", "pattern": "(?<=a)b"}, "pattern"),
        ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, "oneOf"),
        ({"contains": {"const": 1}}, "contains"),
        ({"dependentRequired": {"a": ["b"]}}, "dependentRequired"),
        ({"multipleOf": 1e-300}, "multipleOf"),
        ({"allOf": [{"const": LARGE}, {"type": "integer"}]}, "integers above 2^53"),
    ],
)  # fmt: skip
def test_what_can_not_be_masked_is_named(schema: Schema, keyword: str):
    grammar = grammar_of(schema)
    assert keyword in grammar.unmasked
    assert any(written(grammar, seed) for seed in range(30)), "the rest is masked"


def test_a_property_that_says_itself_that_it_is_required_is():
    schema = closed({"a": {"const": 1, "required": True}, "b": {"const": 2, "required": False}}, None)  # type: ignore[arg-type]
    assert {written(grammar_of(schema), seed) for seed in range(20)} == {'{"a": 1}', '{"a": 1, "b": 2}'}


def test_a_name_has_one_spelling_where_others_are_allowed():
    grammar = grammar_of({"type": "object", "properties": {"name": {"type": "integer"}}})
    assert can_write(grammar, '{"name": 1, "other": "x"}')
    assert not can_write(grammar, r'{"n\u0061me": "x"}') and not can_write(grammar, r'{"\u006e\u0061me": "x"}')


@pytest.mark.parametrize("text", [r'{"name": "\u00e9", "age": 1}', r'{"name": "\ud83d\ude00\n", "age": 1}'])
def test_texts_may_be_escaped(text: str):
    assert can_write(grammar_of(PERSON), text)


def test_a_control_tokens_letters_in_a_schema_are_written_as_letters():
    grammar = answer_grammar([Form({"enum": ["a<end>b"]})])
    assert written(grammar, seed=0) == '"a<end>b"'


def test_a_lone_surrogate_can_not_be_written():
    assert not can_write(grammar_of(PERSON), r'{"name": "\ud83d", "age": 1}')


def test_texts_around_a_value_are_fixed():
    schema = closed({"a": {"type": "boolean"}}, ["a"])
    grammar = answer_grammar([Form(schema, r'"<call>\n"', r'"\n</call>"')])
    assert {written(grammar, seed) for seed in range(8)} == {
        '<call>\n{"a": true}\n</call>',
        '<call>\n{"a": false}\n</call>',
    }


def test_values_of_a_form_may_be_repeated_up_to_a_number():
    grammar = answer_grammar([Form({"const": 1}, '"["', '"]"', '", "', 3)])
    assert {written(grammar, seed) for seed in range(40)} == {"[1]", "[1, 1]", "[1, 1, 1]"}


def test_an_answer_has_one_of_the_forms():
    grammar = answer_grammar([Form({"const": 1}), Form({"const": LARGE}, '"<call>"', '"</call>"')])
    assert {written(grammar, seed) for seed in range(20)} == {"1", f"<call>{LARGE}</call>"}


def test_each_of_several_tools_gets_arguments_of_its_own_schema():
    def parameters(type: str) -> dict:
        item = {"$ref": "#/definitions/Item"}
        return {
            **closed({"x": item, "y": {"$ref": "#/properties/x"}}, ["x", "y"]),
            "definitions": {"Item": {"enum": [type]}},
        }

    grammar = answer_grammar(forced_calls("hermes", [("a", parameters("of a")), ("b", parameters("of b"))]))
    texts = [written(grammar, seed) for seed in range(20)]
    calls = [json.loads(text.removeprefix("<tool_call>\n").removesuffix("\n</tool_call>")) for text in texts]
    assert {call["name"] for call in calls} == {"a", "b"}
    assert all(call["arguments"] == {"x": f"of {call['name']}", "y": f"of {call['name']}"} for call in calls)


@pytest.mark.parametrize("schema", [{"type": "object", "not": {}}, {"enum": []}, False])
def test_a_schema_that_nothing_matches_is_refused_with_the_reason(schema: Schema):
    with pytest.raises(GrammarError, match="JSON schema is not supported"):
        COMPILER.constraint(grammar_of(schema).text)


def test_what_turns_out_to_have_no_end_is_refused_with_the_reason():
    endless = {**closed({"a": {"$ref": "#/$defs/A"}}, ["a"]), "$defs": {"A": {"$ref": "#/$defs/A"}}}
    with pytest.raises(GrammarError, match=r"JSON schema is not supported \(.*no value matches a part of it"):
        written(grammar_of(endless), 0)


STRIPPING = decoders.Sequence(
    [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
)


class PrefixSpaceTokenizer:
    """Puts a space before each text, as those of Llama 2 and Mistral 7B do, and takes it away from what it decodes."""

    def __init__(self, decoder: Any) -> None:
        pieces = ["<unk>", "<s>", "</s>", "▁", "▁{", "{", '"', "a", ":", "1", "}", '▁"', "▁1", "▁[", "▁true", "true"]
        self.backend_tokenizer = Tokenizer(Unigram([(piece, -1.0) for piece in pieces], 0, False))
        self.backend_tokenizer.normalizer = normalizers.Sequence(
            [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
        )
        self.backend_tokenizer.decoder = decoder


@pytest.mark.parametrize("decoder", [STRIPPING, decoders.Metaspace()])
@pytest.mark.parametrize("text", ['{"a": 1}', '"a"', "1", "true"])
def test_the_first_token_may_have_the_space_that_the_tokenizer_puts_there(text: str, decoder: Any):
    tokenizer = PrefixSpaceTokenizer(decoder)
    ids = tokenizer.backend_tokenizer.encode(text).ids
    assert tokenizer.backend_tokenizer.id_to_token(ids[0]).startswith("▁")
    assert tokenizer.backend_tokenizer.decode(ids) == text
    constraint = GrammarCompiler(tokenizer, {2}).constraint(answer_grammar([Form({})]).text)  # type: ignore[arg-type]
    for token in [*ids, 2]:
        logits = np.zeros(16, dtype=np.float32)
        constraint.mask(logits)
        assert np.isfinite(logits[token])
        constraint.accept(token)


def test_no_space_is_allowed_where_the_tokenizer_puts_none():
    assert not can_write(grammar_of(PERSON), ' {"name": "x", "age": 1}')
