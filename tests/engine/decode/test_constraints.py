import numpy as np
import pytest

from llm_chatbot.engine.decode.constraints import AfterReasoning, ThinkingBudget, TokenConstraint
from llm_chatbot.engine.text.reasoning import is_reasoning

TOKENS = ["<think>", "</think>", "\n", "a", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", False),
        ("<thin", False),
        ("\n<think>", True),
        ("<think>a", True),
        ("<think>a</think>", False),
        ("a<think>", False),
    ],
)
def test_an_answer_is_reasoning_from_its_beginning_to_the_end_mark(text: str, expected: bool):
    assert is_reasoning(text) is expected


def forced(constraint: TokenConstraint, answer: list[str], wanted: list[int]) -> None:
    """Adds the wanted tokens to an answer, or those that the constraint forces."""
    for token in wanted:
        logits = np.zeros(len(TOKENS), dtype=np.float32)
        logits[token] = 1
        constraint.mask(logits)
        constraint.accept(int(logits.argmax()))
        answer.append(TOKENS[logits.argmax()])


def test_reasoning_that_the_model_began_itself_ends_with_its_budget_once():
    answer: list[str] = []
    budget = ThinkingBudget(2, 0, [2, 1, 2], lambda: is_reasoning("".join(answer)))
    forced(budget, answer, [0, 3, 3, 4, 4, 4, 3, 0, 3, 3, 3])
    assert "".join(answer) == "<think>aa\n</think>\na<think>aaa"


def test_reasoning_that_ends_in_time_is_left_alone():
    answer: list[str] = []
    budget = ThinkingBudget(3, 0, [2, 1, 2], lambda: is_reasoning("".join(answer)))
    forced(budget, answer, [0, 3, 1, 4, 4, 4, 4])
    assert "".join(answer) == "<think>a</think>bbbb"


class OnlyB:
    def __init__(self) -> None:
        self.accepted: list[int] = []

    def mask(self, logits: np.ndarray) -> None:
        logits[:4] = -np.inf

    def accept(self, token: int) -> None:
        self.accepted.append(token)


def test_a_grammar_neither_limits_nor_sees_the_reasoning():
    answer, grammar = ["<think>"], OnlyB()
    forced(AfterReasoning(grammar, lambda: is_reasoning("".join(answer))), answer, [3, 1, 3, 2])
    assert "".join(answer) == "<think>a</think>bb" and grammar.accepted == [4, 4]


@pytest.mark.parametrize(
    ("wanted", "written", "masked"),
    [
        ([0, 3, 1, 3, 3], "<think>a</think>bb", [4, 4]),  # it thinks first
        ([4, 3], "bb", [4, 4]),  # it doesn't
        ([4, 0, 3], "bbb", [4, 4, 4]),  # only an answer's beginning is reasoning
    ],
)
def test_an_answer_may_begin_with_reasoning_that_the_prompt_did_not_begin(wanted, written: str, masked: list[int]):
    answer: list[str] = []
    grammar = OnlyB()
    forced(AfterReasoning(grammar, lambda: is_reasoning("".join(answer)), [0]), answer, wanted)
    assert "".join(answer) == written and grammar.accepted == masked


def test_what_opens_the_reasoning_is_written_to_its_end():
    answer: list[str] = []
    grammar = OnlyB()
    constraint = AfterReasoning(grammar, lambda: is_reasoning("".join(answer).removeprefix("\n")), [2, 0])
    forced(constraint, answer, [2, 3, 3, 1, 3])
    assert "".join(answer) == "\n<think>a</think>b" and grammar.accepted == [4]


def test_an_answer_that_may_begin_as_the_reasoning_does_is_left_to_the_grammar():
    answer: list[str] = []
    grammar = OnlyB()
    forced(AfterReasoning(grammar, lambda: is_reasoning("".join(answer)), [4, 0]), answer, [4, 3])
    assert "".join(answer) == "bb" and grammar.accepted == [4, 4]
