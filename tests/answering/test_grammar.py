import json

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE

from llm_chatbot.answering.errors import GrammarError
from llm_chatbot.answering.grammar import GrammarCompiler, json_grammar, wrapped_json_grammar

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
COMPILER = GrammarCompiler(TOKENIZER, {END})  # type: ignore[arg-type]


def written(grammar: str, seed: int, most: int = 400) -> str:
    """The text of a model that chooses any token it may."""
    random, constraint = np.random.default_rng(seed), COMPILER.constraint(grammar)
    ids: list[int] = []
    while len(ids) < most:
        logits = random.normal(size=300).astype(np.float32)  # more than the tokenizer has, as some models have
        constraint.mask(logits)
        token = int(logits.argmax())
        assert np.isfinite(logits[token]) and token <= END
        constraint.accept(token)
        if token == END:
            return TOKENIZER.backend_tokenizer.decode(ids)
        ids.append(token)
    return ""


def test_whatever_the_model_prefers_the_text_matches_the_schema():
    values = [json.loads(text) for seed in range(30) if (text := written(json_grammar(PERSON), seed))]
    assert len(values) > 3, "some end within the limit"
    assert all(isinstance(value["name"], str) and isinstance(value["age"], int) for value in values)


def test_texts_around_a_value_are_fixed():
    schema = {
        "type": "object",
        "properties": {"a": {"type": "boolean"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    grammar = wrapped_json_grammar("<call>\n", schema, "\n</call>")
    assert {written(grammar, seed) for seed in range(8)} == {
        '<call>\n{"a": true}\n</call>',
        '<call>\n{"a": false}\n</call>',
    }


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"$ref": "#/nowhere"}, {"type": "object", "not": {}}])
def test_a_schema_that_can_not_be_kept_is_refused_with_the_reason(schema: dict):
    with pytest.raises(GrammarError, match="JSON schema is not supported"):
        COMPILER.constraint(json_grammar(schema))


def test_a_schema_is_never_fetched_from_elsewhere():
    with pytest.raises(GrammarError):
        COMPILER.constraint(json_grammar({"$ref": "http://127.0.0.1:9/schema.json"}))
