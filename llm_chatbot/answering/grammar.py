"""Grammars that an answer has to match: masks of llguidance on the engine's logits.

llguidance needs neither PyTorch nor a GPU and is only imported once somebody asks for a grammar.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from llm_chatbot.answering.element_rules import ElementRules, SeedElementRules
from llm_chatbot.answering.errors import GrammarError
from llm_chatbot.answering.notations import MARKED, FunctionGemmaRules, GemmaRules, PythonRules
from llm_chatbot.answering.rules import Rules
from llm_chatbot.answering.schemas import Schema
from llm_chatbot.catalogue.tool_formats import Notation
from llm_chatbot.engine.text.tokenizer import ChatTokenizer

if TYPE_CHECKING:
    from llguidance import LLMatcher, LLTokenizer

# Compiling and masking are bounded, whatever the schema.
LIMITS: dict[str, Any] = {"initial_lexer_fuel": 1_000_000, "step_lexer_fuel": 200_000, "max_lexer_states": 50_000}

# What llguidance calls the state of an answer after which nothing can follow.
DEAD_ENDS = {"NoExtensionBias": "no value matches a part of it"}

# Of vocabularies with "▁" for a space.
SENTENCEPIECE_DECODER = {
    "type": "Sequence",
    "decoders": [
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "ByteFallback"},
        {"type": "Fuse"},
    ],
}

NOTATIONS: dict[Notation, type[Rules]] = {
    "json": Rules,
    "gemma": GemmaRules,
    "function-gemma": FunctionGemmaRules,
    "python": PythonRules,
    "elements": ElementRules,
    "seed-elements": SeedElementRules,
}

# Where only one text can follow, llguidance would choose the tokens that the tokenizer makes of it, and so a control
# token for its letters in a schema's value.
_OPTIONS = '%llguidance {"no_forcing": true}\n'

# How each grammar begins; where a tokenizer's first token has a space of its own, that comes before the answer.
_START, _START_AFTER_SPACE = f"{_OPTIONS}start: answer\n", f'{_OPTIONS}start: " "? answer\n'


@dataclass(frozen=True)
class Form:
    """One form that an answer can have: JSON values that match a schema, with something around them.

    Attributes:
        schema: of each value.
        before, after: what stands around all of them, in llguidance's Lark.
        between: what stands between two of them; None: there is only one.
        most: how many there may be.
        notation: of the values.
    """

    schema: Schema
    before: str = ""
    after: str = ""
    between: str | None = None
    most: int = 1
    notation: Notation = "json"

    def rule(self, value: str) -> str:
        """The form in Lark, with the name of the rule for a value."""
        further = "" if self.between is None else f"({self.between} {value}){{0,{self.most - 1}}}"
        return " ".join(filter(None, [self.before, value, further, self.after]))


@dataclass(frozen=True)
class Repeated:
    """Several forms one after the other, in any order; the other attributes are those of `Form`.

    Attributes:
        forms: of which each has one value.
    """

    forms: Sequence[Form]
    before: str = ""
    after: str = ""
    between: str | None = None
    most: int = 1


@dataclass(frozen=True)
class Grammar:
    """
    Attributes:
        text: for `GrammarCompiler`, in llguidance's Lark.
        unmasked: the keywords of the schemas that it says nothing of, so that an answer may break them.
    """

    text: str
    unmasked: frozenset[str] = frozenset()


def answer_grammar(forms: Sequence[Form | Repeated]) -> Grammar:
    """The grammar of the answers in one of the forms; their schemas are valid ones of 2020-12."""
    rules: list[Rules] = []
    groups: list[str] = []

    def written(form: Form | Repeated) -> str:
        if isinstance(form, Repeated):
            groups.append(f"group{len(groups)}: {' | '.join(map(written, form.forms))}")
            name = groups[-1].partition(":")[0]
            return Form(True, form.before, form.after, form.between, form.most).rule(name)
        rules.append(NOTATIONS[form.notation](form.schema, f"form{len(rules)}_"))
        return form.rule(rules[-1].root)

    lines = [_START, f"answer: {' | '.join(map(written, forms))}", *groups]
    lines += [line for own in rules for line in own.lines]
    return Grammar("\n".join([*lines, ""]), frozenset().union(*(own.unmasked for own in rules)))


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

        grammar = MARKED.sub(lambda mark: self._mark(mark[1]), grammar)
        if self._adds_space:
            grammar = grammar.replace(_START, _START_AFTER_SPACE, 1)
        source = LLMatcher.grammar_from_lark(grammar)
        matcher = LLMatcher(self._vocabulary, source, log_level=0, limits=LLParserLimits(**LIMITS))
        check_matcher(matcher)
        return GrammarConstraint(matcher)

    def _mark(self, mark: str) -> str:
        """A mark in Lark: as its token, else as its letters."""
        added = self._tokenizer.backend_tokenizer.get_added_tokens_decoder()
        ids = [id for id, token in added.items() if token.content == mark]
        return f"<[{ids[0]}]>" if ids else json.dumps(mark, ensure_ascii=False)

    @cached_property
    def _adds_space(self) -> bool:
        """Whether the first token of a text has a space before it that its decoder takes away, as Llama 2's has."""
        first, *_ = self._tokenizer.backend_tokenizer.encode("{", add_special_tokens=False).ids
        has_space = self._vocabulary.decode_bytes([first]).startswith(b" ")
        return has_space and not self._tokenizer.backend_tokenizer.decode([first]).startswith(" ")

    @cached_property
    def _vocabulary(self) -> "LLTokenizer":
        from llguidance import LLTokenizer

        description = self._tokenizer.backend_tokenizer.to_str()
        try:
            return LLTokenizer(description, eos_token=self._stop_ids)
        except ValueError:  # it knows two kinds of decoders, and SentencePiece's by a third part that some leave out
            tokenizer = json.loads(description)
            if "\u2581" not in json.dumps(tokenizer["decoder"], ensure_ascii=False):
                raise
            return LLTokenizer(json.dumps({**tokenizer, "decoder": SENTENCEPIECE_DECODER}), eos_token=self._stop_ids)


def check_matcher(matcher: "LLMatcher") -> None:
    """
    Raises:
        GrammarError: it has failed. Many matchers fail only once an answer gets to what is too large for `LIMITS`, or
            to what nothing matches, and would then let it end anywhere.
    """
    if matcher.is_error():
        reason = " ".join(matcher.get_error().partition("<state>")[0].split())[:300]
        raise GrammarError("api.schema", reason=DEAD_ENDS.get(reason, reason))


class GrammarConstraint:
    """Keeps one answer to its grammar; an `llm_chatbot.engine.decode.constraints.TokenConstraint`."""

    def __init__(self, matcher: "LLMatcher") -> None:
        self._matcher = matcher

    def mask(self, logits: np.ndarray) -> None:
        """Sets the logits of the tokens that can't follow to minus infinity, in place.

        Raises:
            GrammarError: the answer can't go on as the grammar asks.
        """
        allowed = np.frombuffer(self._matcher.compute_bitmask(), dtype=np.uint8)
        check_matcher(self._matcher)
        bits = np.unpackbits(allowed, bitorder="little")[: logits.size]
        logits[: bits.size][bits == 0] = -np.inf
        logits[bits.size :] = -np.inf

    def accept(self, token: int) -> None:
        self._matcher.consume_token(token)
