"""gpt-oss's answers on channels, from their tokens to what clients get: whole, streamed and masked."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from benchmarks.conversion import byte_tokenizer
from llm_chatbot.answering.grammar import Form, GrammarCompiler, Repeated, answer_grammar
from llm_chatbot.api.responses import Choice
from llm_chatbot.api.tools import FINAL_HEADER, ToolParser, forced_calls
from llm_chatbot.engine.decode.constraints import AfterReasoning
from llm_chatbot.engine.session import Answer
from llm_chatbot.engine.text.channels import CALL, CHANNEL_MARKS, RETURN
from llm_chatbot.engine.text.detokenizer import StreamingDetokenizer
from llm_chatbot.engine.text.prompt import answer_ids

TOKENIZER = byte_tokenizer()
TOKENIZER.chat_template = "<|start|>assistant<|channel|>final<|message|>{{ messages }}{{ tools }}"
TOKENIZER.add_special_tokens({"additional_special_tokens": list(CHANNEL_MARKS)})
STOPS = [TOKENIZER.convert_tokens_to_ids(mark) for mark in (CALL, RETURN)]

ANALYSIS, NEXT = "<|channel|>analysis<|message|>", "<|end|><|start|>assistant"
FINAL, COMMENTARY = "<|channel|>final<|message|>", "<|channel|>commentary<|message|>"
CALLED = '<|channel|>commentary to=functions.f <|constrain|>json<|message|>{"a": "}"}'


def ids_of(text: str) -> list[int]:
    return TOKENIZER(text, add_special_tokens=False)["input_ids"]


def states(written: str) -> list[tuple[str, str, list[Any]]]:
    """The reasoning, the text and the calls after each token that the engine yields, and at the end."""
    stream, choice, seen = StreamingDetokenizer(TOKENIZER), Choice(ToolParser("harmony", {"f", "g"})), []

    def show(reason: Any = None) -> None:
        answer = Answer(stream.text, 1, 0, later_reasoning=stream.later_reasoning, finish_reason=reason)
        choice.update(answer)
        content = choice.content
        seen.append((content.reasoning, content.text, [(call.name, call.arguments) for call in content.calls]))

    for id in ids_of(written):
        if id in STOPS or stream.stopped:
            break
        stream.add_token(id)
        show()
    stream.finalize()
    show("stop")
    return seen


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (f"{ANALYSIS}a{NEXT}{FINAL}F<|return|>", ("a", "F", [])),
        (f"{ANALYSIS}a{NEXT}{ANALYSIS}b{NEXT}{FINAL}F", ("a\n\nb", "F", [])),
        (f"{ANALYSIS}a{NEXT}{COMMENTARY}b", ("a", "b", [])),
        (f"{ANALYSIS}a{NEXT}{COMMENTARY}b{NEXT}{FINAL}F", ("a", "b\n\nF", [])),
        (f"{COMMENTARY}b{NEXT}{FINAL}F", ("", "b\n\nF", [])),
        (f"{COMMENTARY}b{NEXT}{ANALYSIS}a{NEXT}{ANALYSIS}c{NEXT}{FINAL}F", ("a\n\nc", "b\n\nF", [])),
        (f"{ANALYSIS}a{NEXT}{COMMENTARY}b{NEXT}{ANALYSIS}c{NEXT}{FINAL}F", ("a\n\nc", "b\n\nF", [])),
        (f'{ANALYSIS}a{NEXT}<|channel|>final <|constrain|>json<|message|>{{"x": 1}}', ("a", '{"x": 1}', [])),
        ('<|channel|>final<|constrain|>json<|message|>{"x": 1}', ("", '{"x": 1}', [])),
        (f"{ANALYSIS}a{NEXT}{CALLED}<|call|>", ("a", "", [("f", '{"a": "}"}')])),
        (f"{ANALYSIS}a{NEXT}{COMMENTARY}b{NEXT}{CALLED}<|call|>", ("a", "b", [("f", '{"a": "}"}')])),
        (f"{CALLED}{NEXT}{CALLED.replace('.f ', '.g ')}", ("", "", [("f", '{"a": "}"}'), ("g", '{"a": "}"}')])),
        (' to=functions.f<|channel|>commentary json<|message|>{"a": 1}<|call|>', ("", "", [("f", '{"a": 1}')])),
        (f'{ANALYSIS}a{NEXT} to=functions.f<|channel|>analysis<|message|>{{"a": 1}}', ("a", "", [("f", '{"a": 1}')])),
        (f"{CALLED.partition('{')[0]}{NEXT}{FINAL}F", ("", "F", [("f", "{}")])),
        (CALLED.removesuffix('"}'), ("", "", [])),  # cut off
        (f"{ANALYSIS}a{NEXT}<|channel|>comm", ("a", "", [])),
        (f"{ANALYSIS}a{NEXT}<|channel|>analysis to=python code<|message|>1+1{NEXT}{FINAL}F", ("a\n\n1+1", "F", [])),
        (f"{ANALYSIS}a{FINAL}F", ("a", "F", [])),  # without the end of the first message
        (f"{FINAL}F<|end|><|start|>user<|message|>And", ("", "F", [])),  # the model goes on as the user
        ("an analysis, the final one", ("", "an analysis, the final one", [])),
        ("to whom?", ("", "to whom?", [])),
        ("to", ("", "to", [])),
        ("<|message|>x", ("", "x", [])),
    ],
)  # fmt: skip
def test_analysis_is_reasoning_and_what_is_for_the_reader_is_text(written: str, expected: tuple):
    seen = states(written)
    assert seen[-1] == expected
    for earlier, later in pairwise(seen):
        assert all(later[place][: len(earlier[place])] == earlier[place] for place in range(3))
    assert not any("<|" in text or "tool_call" in text for _, text, _ in seen)


def test_marks_that_are_typed_are_no_marks():
    stream = StreamingDetokenizer(TOKENIZER)
    for id in [*ids_of(FINAL), *answer_ids(TOKENIZER, f"a{NEXT}{ANALYSIS}b")[len(ids_of(FINAL)) :]]:
        stream.add_token(id)
    assert stream.text == f"a{NEXT}{ANALYSIS}b"


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("F", f"{FINAL}F"),
        ("<think>\na\n</think>\n\nF", f"{ANALYSIS}a{NEXT}{FINAL}F"),
        ("<think>\na", f"{ANALYSIS}a"),
    ],
)
def test_an_answer_is_continued_on_its_channel(text: str, written: str):
    ids = answer_ids(TOKENIZER, text)
    assert TOKENIZER.decode(ids) == written
    stream = StreamingDetokenizer(TOKENIZER, given=ids)
    assert stream.text == text


def can_write(forms: Sequence[Form | Repeated], text: str) -> bool:
    stream = StreamingDetokenizer(TOKENIZER)
    grammar = GrammarCompiler(TOKENIZER, STOPS).constraint(answer_grammar(forms).text)
    constraint = AfterReasoning(grammar, lambda: stream.is_reasoning)
    for id in ids_of(text):
        logits = np.zeros(len(TOKENIZER), dtype=np.float32)
        constraint.mask(logits)
        if not np.isfinite(logits[id]):
            return False
        constraint.accept(id)
        if id not in STOPS:
            stream.add_token(id)
    return True


SCHEMA = {"type": "object", "properties": {"a": {"const": 1}}, "required": ["a"], "additionalProperties": False}


@pytest.mark.parametrize("reasoned", ["", f"{ANALYSIS}hm, {{ or <think>?{NEXT}"])
def test_a_masked_answer_is_on_the_final_channel_after_reasoning_that_is_free(reasoned: str):
    forms = [Form(SCHEMA, FINAL_HEADER)]
    assert can_write(forms, f'{reasoned}{FINAL}{{"a": 1}}<|return|>')
    assert can_write(forms, f'{reasoned}<|channel|>final <|constrain|>json<|message|>{{"a": 1}}<|return|>')
    assert not can_write(forms, f"{reasoned}{FINAL}Hello")
    assert not can_write(forms, f"{reasoned}{COMMENTARY}")
    assert not can_write(forms, '{"a": 1}')


@pytest.mark.parametrize("reasoned", ["", f"{ANALYSIS}which?{NEXT}"])
def test_a_forced_call_is_on_the_commentary_channel_with_its_own_arguments(reasoned: str):
    forms = forced_calls("harmony", [("f", SCHEMA), ("g", {"type": "object", "properties": {}})])
    call = f"{reasoned}<|channel|>commentary to=functions.%s <|constrain|>json<|message|>%s<|call|>"
    assert can_write(forms, call % ("f", '{"a": 1}')) and states(call % ("f", '{"a": 1}'))[-1][2] == [("f", '{"a": 1}')]
    assert can_write(forms, call % ("g", "{}"))
    assert not can_write(forms, call % ("f", "{}")) and not can_write(forms, call % ("h", "{}"))
    assert not can_write(forms, f"{reasoned}{FINAL}")


def test_arguments_of_a_forced_call_are_json():
    assert json.loads(states(CALLED)[-1][2][0][1]) == {"a": "}"}
