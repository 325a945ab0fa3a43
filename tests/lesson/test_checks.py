from collections import Counter
from typing import Any

import pytest

from llm_chatbot.lesson import checks
from llm_chatbot.lesson.checks import QUESTIONS, check, print_score
from llm_chatbot.texts import texts

# A right answer to each question, another right one, and a wrong one.
ANSWERS = {
    1: (True, True, False),
    2: (False, False, True),
    3: (30, 30.0, 28),
    4: (0.75, 0.745, 0.25),
    5: ("playing", " Playing ", "sleeping"),
    6: (4, 4.0, 2),
    7: (3.2, 3.25, 2.5),
    8: (5.45e9, 5.5e9, 3e9),
    9: (4.625, 4.6, 4),
}


@pytest.fixture(autouse=True)
def nothing_answered(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(checks, "_right", set())
    monkeypatch.setattr(checks, "_tries", Counter())


def test_every_question_has_answers_here():
    assert ANSWERS.keys() == QUESTIONS.keys()


@pytest.mark.parametrize("number", ANSWERS)
def test_right_answers_count_and_wrong_ones_get_a_hint(number: int, capsys: pytest.CaptureFixture):
    right, also_right, wrong = ANSWERS[number]
    check(number, wrong)
    assert capsys.readouterr().out == f"Not yet. {QUESTIONS[number].hint}\n"
    for answer in (right, also_right):
        check(number, answer)
        assert capsys.readouterr().out == f"Right. 1 of {len(QUESTIONS)} questions answered.\n"


@pytest.mark.parametrize("number", ANSWERS)
def test_an_answer_of_another_kind_is_not_right(number: int, capsys: pytest.CaptureFixture):
    others: list[Any] = ["", "?", 10**6, [], float("nan")]
    for answer in others:
        check(number, answer)
    assert "Right" not in capsys.readouterr().out


def test_no_answer_is_no_wrong_one(capsys: pytest.CaptureFixture):
    check(1, None)
    assert capsys.readouterr().out == f"Put your answer in place of None. 0 of {len(QUESTIONS)} questions answered.\n"


def test_a_right_answer_counts_on_after_a_wrong_one(capsys: pytest.CaptureFixture):
    for number, answer in ((1, True), (2, False), (1, False), (1, True)):
        check(number, answer)
    assert capsys.readouterr().out.splitlines()[-1].startswith("Right. 2 of ")


@pytest.mark.parametrize("language", ["ja", "zh"])
def test_hints_are_in_the_notebooks_language(language: str, monkeypatch, capsys: pytest.CaptureFixture):
    monkeypatch.setenv("LLM_CHATBOT_LANGUAGE", language)
    for question in QUESTIONS.values():
        assert f"lesson.{question.hint}" in texts(language)
    check(2, True)
    assert "ID" in capsys.readouterr().out.upper()
    assert texts(language)["lesson.Not yet."]["other"] != "Not yet."


def test_the_score_counts_tries(capsys: pytest.CaptureFixture):
    given: dict[int, list[Any]] = {1: [True], 2: [True, False], 3: [1, 2, 3, 30, 4], 4: [0.25], 5: [None]}
    for number, answers in given.items():
        for answer in answers:
            check(number, answer)
    capsys.readouterr()
    print_score()
    first, second, third, fourth, fifth, *_, last = capsys.readouterr().out.splitlines()
    assert (first, second, third) == ("1  ★★★  Right.", "2  ★★☆  Right.", "3  ★☆☆  Right.")
    assert (fourth, fifth) == ("4  ☆☆☆  Not yet.", "5  ☆☆☆  No answer.")
    assert last == f"3 of {len(QUESTIONS)} questions answered. 6 of {3 * len(QUESTIONS)} points."
