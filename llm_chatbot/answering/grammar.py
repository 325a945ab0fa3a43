"""Grammars that an answer has to match: masks of llguidance on the engine's logits.

llguidance needs neither PyTorch nor a GPU and is only imported once somebody asks for a grammar.
"""

import json
from collections.abc import Collection
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_chatbot.answering.errors import GrammarError
from llm_chatbot.engine.text.tokenizer import ChatTokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

# Compact JSON, one space after a comma or colon. Free white space would let a small model write nothing else.
JSON_STYLE: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}

# Compiling and masking are bounded, whatever the schema.
LIMITS: dict[str, Any] = {"initial_lexer_fuel": 1_000_000, "step_lexer_fuel": 200_000, "max_lexer_states": 50_000}


def json_grammar(schema: dict[str, Any]) -> str:
    """The grammar of the JSON values that match a schema."""
    from llguidance import LLMatcher

    return LLMatcher.grammar_from_json_schema(json.dumps(schema), overrides=JSON_STYLE)


def wrapped_json_grammar(before: str, schema: dict[str, Any], after: str) -> str:
    """Like `json_grammar`, with fixed texts around the value."""
    from llguidance import LLMatcher

    parts = [json.dumps(before)] * bool(before) + ["value"] + [json.dumps(after)] * bool(after)
    styled = json.dumps({**schema, "x-guidance": JSON_STYLE})
    return LLMatcher.grammar_from_lark(f"start: {' '.join(parts)}\nvalue: %json {styled}\n")


class GrammarCompiler:
    """Makes the constraints of one model's answers.

    Args:
        tokenizer: the model's.
        stop_ids: the tokens that end an answer; allowed where the grammar is satisfied.
    """

    def __init__(self, tokenizer: ChatTokenizer, stop_ids: Collection[int]) -> None:
        self._tokenizer, self._stop_ids = tokenizer, sorted(stop_ids)

    def constraint(self, grammar: str) -> "GrammarConstraint":
        """
        Raises:
            GrammarError: the grammar can't be compiled.
        """
        from llguidance import LLMatcher, LLParserLimits

        matcher = LLMatcher(self._vocabulary, grammar, log_level=0, limits=LLParserLimits(**LIMITS))
        if matcher.is_error():
            reason = " ".join(matcher.get_error().split())[:300]
            raise GrammarError("api.schema", reason=reason)
        return GrammarConstraint(matcher)

    @cached_property
    def _vocabulary(self) -> "LLTokenizer":
        from llguidance import LLTokenizer

        return LLTokenizer(self._tokenizer.backend_tokenizer.to_str(), eos_token=self._stop_ids)


class GrammarConstraint:
    """Keeps one answer to its grammar; an `llm_chatbot.engine.decode.constraints.TokenConstraint`."""

    def __init__(self, matcher: "LLMatcher") -> None:
        self._matcher = matcher

    def mask(self, logits: np.ndarray) -> None:
        """Sets the logits of the tokens that can't follow to minus infinity, in place."""
        allowed = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        bits = np.unpackbits(allowed, bitorder="little")[: logits.size]
        logits[: bits.size][bits == 0] = -np.inf
        logits[bits.size :] = -np.inf

    def accept(self, token: int) -> None:
        self._matcher.consume_token(token)
