"""Answers that belong to their ids, with a model of a few lines."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest

from llm_chatbot.answering.errors import ClosedError, QueueFullError
from llm_chatbot.answering.question import Question
from llm_chatbot.answering.service import Answering, with_system_prompt
from llm_chatbot.engine.session import Answer
from llm_chatbot.engine.text.prompt import too_long
from llm_chatbot.errors import UserError
from llm_chatbot.page.following import described, reading, state
from llm_chatbot.page.messages import joined
from llm_chatbot.texts import Text
from tests.page_visit import eventually

LONG = " ".join(map(str, range(30)))
CONFIG = SimpleNamespace(system_prompt="Be kind.")


class FakeModel:
    """Answers with the words of the question; after the first, it waits until it is let go.

    Attributes:
        go: set to let the answers go on.
        asked: the messages of each question.
    """

    name, title, config, model, context_length = "fake", "fake", CONFIG, SimpleNamespace(context_length=100), 100

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[list[dict]] = []

    @contextmanager
    def session(self, question: Question) -> Iterator[Any]:
        yield self

    def answer(self, messages: list[dict], generation: Any, **options: Any) -> Iterator[Answer]:
        self.asked.append(messages)
        words = messages[-1]["content"].split()
        for count in range(len(words) + 1):
            yield Answer(" ".join(words[:count]), 10, 0, completion_tokens=count)
            assert count == 0 or self.go.wait(60)
        yield Answer(
            " ".join(words), 10, 0, completion_tokens=len(words), tokens_per_second=len(words), finish_reason="stop"
        )


@pytest.fixture
def fake() -> FakeModel:
    return FakeModel()


def question(id: str, text: str = "one two three") -> Question:
    return Question([{"role": "user", "content": text}], conversation="conversation", keeps_session=True, id=id)


def answers_of(fake: FakeModel, **limits: float) -> Any:
    return Answering(lambda key: fake, **limits)  # type: ignore[arg-type, return-value]


def seen(answers: Any, id: str, **known: Any) -> Any:
    return state(answers, id, **known)


def ended(answers: Any, id: str) -> bool:
    return seen(answers, id)["phase"] == "ended"


def test_an_answer_is_followed_in_pieces_and_kept_after_its_end(fake: FakeModel):
    answers = answers_of(fake)
    fake.go.set()
    answers.ask(question("a"))
    assert eventually(lambda: ended(answers, "a"))
    now = seen(answers, "a", known_text=4)
    assert (now["from"], now["text"], now["finish_reason"]) == (0, "one two three", "stop")
    assert seen(answers, "a")["text"] == "one two three" and seen(answers, "b") is None
    assert now["figures"]["context_length"] == 100


def test_a_question_that_is_repeated_is_asked_once(fake: FakeModel):
    answers = answers_of(fake)
    fake.go.set()
    for _ in range(3):
        answers.ask(question("a"))
    assert eventually(lambda: ended(answers, "a")) and len(fake.asked) == 1


def test_questions_wait_in_order_and_a_full_queue_refuses(fake: FakeModel):
    answers = answers_of(fake, max_concurrent=1, max_waiting=2)
    for id in "abc":
        answers.ask(question(id))
    assert [seen(answers, id)["place"] for id in "abc"] == [0, 1, 2]
    with pytest.raises(QueueFullError):
        answers.ask(question("d"))
    answers.stop("b")
    assert seen(answers, "b")["finish_reason"] == "cancelled" and seen(answers, "c")["place"] == 1
    fake.go.set()
    assert eventually(lambda: ended(answers, "c")) and len(fake.asked) == 2


def test_a_stopped_answer_keeps_what_was_written(fake: FakeModel):
    answers = answers_of(fake)
    answers.ask(question("a"))
    assert eventually(lambda: seen(answers, "a").get("text") == "one")
    assert answers.stop("a") and not answers.stop("unknown")
    fake.go.set()
    assert eventually(lambda: ended(answers, "a"))
    assert seen(answers, "a")["finish_reason"] == "cancelled"
    assert seen(answers, "a")["text"] in ("one", "one two")  # it ends at the next word, if it had gone on already


def test_an_answer_is_forgotten_some_time_after_its_end(fake: FakeModel):
    answers = answers_of(fake, kept_seconds=0)
    fake.go.set()
    answers.ask(question("a"))
    assert eventually(lambda: ended(answers, "a"))
    answers.ask(question("b"))
    assert seen(answers, "a") is None


def test_a_failure_ends_the_answer_and_the_next_question_is_answered(fake: FakeModel):
    failures = iter([RuntimeError("Exception from x:\nout of memory\n"), UserError("page.one_model")])

    def model(key: object) -> Any:
        for failure in failures:
            raise failure
        return fake

    answers: Any = Answering(model, max_concurrent=1)
    fake.go.set()
    for id in "abc":
        answers.ask(question(id))
    assert eventually(lambda: ended(answers, "c"))
    assert seen(answers, "a")["error"] == Text("failed", reason="out of memory").as_json()
    assert seen(answers, "b")["error"] == UserError("page.one_model").as_json()
    assert seen(answers, "c")["finish_reason"] == "stop"


def test_a_script_that_goes_away_stops_its_answer(fake: FakeModel):
    answers = answers_of(fake)
    answers.ask(question("a"))
    following = answers.follow("a")
    next(following)
    following.close()
    fake.go.set()
    assert eventually(lambda: ended(answers, "a"))
    assert seen(answers, "a")["finish_reason"] == "cancelled"


def test_closing_ends_what_runs_and_what_waits(fake: FakeModel):
    answers = answers_of(fake, max_concurrent=1)
    answers.ask(question("a"))
    answers.ask(question("b"))
    fake.go.set()
    answers.close()
    assert ended(answers, "a") and ended(answers, "b")
    assert all(isinstance(answers.get(id).error, ClosedError) for id in ("a", "b"))  # type: ignore[union-attr]


def test_the_models_system_prompt_is_the_default_and_an_empty_one_leaves_it_out(fake: FakeModel):
    def prompts(system_prompt: str | None) -> list[str]:
        asked = Question([{"role": "user", "content": "?"}], system_prompt=system_prompt)
        read = with_system_prompt(asked, fake)  # type: ignore[arg-type]
        return [message["content"] for message in read if message["role"] == "system"]

    assert prompts(None) == ["Be kind."] and prompts("") == [] and prompts("Be brief.") == ["Be brief."]


def test_a_question_that_was_never_answered_is_joined_with_the_next():
    turns = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": ""},
        {"role": "user", "content": "two"},
    ]
    assert joined(turns) == [{"role": "user", "content": "one\n\ntwo"}]


def test_an_error_of_the_engine_is_said_by_its_key():
    sentence = "The message is too long: 9000 tokens, and the model can read 6144; please shorten it."
    values = {"length": 9000, "limit": 6144}
    assert described(too_long(9000, 6144)) == {"key": "prompt.too_long", "values": values, "text": sentence}


def test_the_seconds_left_follow_from_the_speed_so_far(monkeypatch: pytest.MonkeyPatch):
    pending = SimpleNamespace(first_read=(10.0, 100))
    monkeypatch.setattr("time.monotonic", lambda: 12.0)
    answer = SimpleNamespace(read_tokens=300, prompt_tokens=1300)
    assert reading(pending, answer) == {"read": 300, "total": 1300, "seconds": 10.0}  # type: ignore[arg-type]


def test_the_speed_of_a_model_is_that_of_its_latest_answer_that_is_long_enough_to_tell(fake: FakeModel):
    answers = answers_of(fake)
    fake.go.set()
    for id, text in (("long", LONG), ("short", "one two")):
        pending = answers.ask(question(id, text))
        assert eventually(partial(getattr, pending, "ended"))
        assert eventually(lambda: getattr(fake, "tokens_per_second", None) == 30)
    answers.close()


def test_a_summary_is_read_after_the_system_prompt_and_told_to_who_follows(fake: FakeModel):
    asked = replace(question("a"), system_prompt=None, summary="They spoke of <|im_end|>.", summarised=12)
    read = with_system_prompt(asked, fake)  # type: ignore[arg-type]
    assert [message["role"] for message in read] == ["system", "user"]
    assert read[0]["content"].startswith("Be kind.\n\nSummary") and read[0]["content"].endswith("<|im_end|>.")
    answers = answers_of(fake)
    answers.ask(asked)
    fake.go.set()
    assert eventually(lambda: ended(answers, "a")) and seen(answers, "a")["summarised"] == 12


def test_what_is_asked_in_the_background_waits_until_nothing_else_does(fake: FakeModel):
    answers = answers_of(fake)
    answers.ask(question("a"))
    answers.ask(replace(question("title"), in_background=True))
    assert not answers.get("title").started
    fake.go.set()
    assert eventually(lambda: ended(answers, "title"))
    assert seen(answers, "title")["finish_reason"] == "stop" and len(fake.asked) == 2


def test_a_question_ends_what_is_answered_in_the_background(fake: FakeModel):
    answers = answers_of(fake, max_concurrent=1)
    answers.ask(replace(question("title", LONG), in_background=True))
    assert eventually(lambda: seen(answers, "title").get("text") == "0")
    answers.ask(question("a"))
    fake.go.set()
    assert eventually(lambda: ended(answers, "a"))
    assert seen(answers, "title")["finish_reason"] == "cancelled" and seen(answers, "a")["finish_reason"] == "stop"
    answers.ask(replace(question("b"), in_background=True))
    answers.stop("b")
    assert ended(answers, "b") or eventually(lambda: ended(answers, "b"))
