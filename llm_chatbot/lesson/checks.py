"""Checks a reader's answers to the lesson's questions: right, or a hint, and a score."""

import math
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from numbers import Real
from typing import Any

from llm_chatbot.lesson.words import say

MOST_POINTS = 3  # of a question
TOLERANCE = 0.02  # of numbers: an estimate is an answer


@dataclass(frozen=True)
class Exercise:
    """A question whose answer can be checked.

    Attributes:
        accepts: whether an answer is right.
        hint: in English, for another answer; translated with `say`.
    """

    accepts: Callable[[Any], bool]
    hint: str


def _number(expected: float) -> Callable[[Any], bool]:
    return lambda answer: (
        isinstance(answer, Real)
        and not isinstance(answer, bool)
        and math.isclose(float(answer), expected, rel_tol=TOLERANCE)
    )


def _yes_or_no(expected: bool) -> Callable[[Any], bool]:
    return lambda answer: answer is expected


def _word(expected: str) -> Callable[[Any], bool]:
    return lambda answer: isinstance(answer, str) and answer.strip().casefold() == expected


QUESTIONS = {
    1: Exercise(_yes_or_no(True), "Nothing is left to chance yet. What could make the second answer another?"),
    2: Exercise(_yes_or_no(False), "Look at the ids: words bring the space before them along."),
    3: Exercise(_number(30), "Read the last column of the picture from below, and look only for Rome."),
    4: Exercise(
        _number(0.75), "Add up the bytes in the boxes whose names begin with ffn, and divide by those of all boxes."
    ),
    5: Exercise(_word("playing"), "How many words are left to draw from after top-k?"),
    6: Exercise(_number(4), "Logits are logarithms: dividing them by 0.5 squares the ratio."),
    7: Exercise(_number(3.2), "Each call gives eight tokens in 2.5 times the time."),
    8: Exercise(
        _number(3e9 / 0.55),
        "Divide the memory by the bytes of a weight; the answer is a number of parameters, such as 7e9.",
    ),
    9: Exercise(_number(4.625), "Add what a group shares, divided by its weights, to the bits of a code."),
}

_right: set[int] = set()  # the questions that this reader has answered
_tries: Counter[int] = Counter()  # answers to each until it was right


def check(number: int, answer: Any) -> None:
    """Prints whether an answer is right, or a hint, and how many questions were answered.

    Args:
        number: of the question, from 1 on.
        answer: True or False, a number (two percent more or less are right), or a word. None: no answer yet.

    Raises:
        KeyError: there is no such question.
    """
    question = QUESTIONS[number]
    if answer is not None and number not in _right:
        _tries[number] += 1
    if question.accepts(answer):
        _right.add(number)
        print(say("Right."), score())
    elif answer is None:
        print(say("Put your answer in place of None."), score())
    else:
        print(say("Not yet."), say(question.hint))


def print_score() -> None:
    """Prints a line for each question, and points: three for a right answer at the first try, then two, then one."""
    points = {number: max(MOST_POINTS - _tries[number] + 1, 1) if number in _right else 0 for number in QUESTIONS}
    for number, earned in points.items():
        state = say("Right.") if number in _right else say("Not yet.") if _tries[number] else say("No answer.")
        print(f"{number}  {'★' * earned}{'☆' * (MOST_POINTS - earned)}  {state}")
    print(score(), say("{points} of {most} points.", points=sum(points.values()), most=MOST_POINTS * len(QUESTIONS)))


def score() -> str:
    """How many of the questions were answered rightly."""
    return say("{right} of {all} questions answered.", right=len(_right), all=len(QUESTIONS))
