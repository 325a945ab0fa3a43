"""Answers in threads beside the event loop, of an engine that is a fake: each of its tokens is a letter."""

import asyncio
import threading
from collections.abc import Generator, Sequence
from contextlib import aclosing
from typing import Any

import pytest

from llm_chatbot.api import backend
from llm_chatbot.api.backend import Call, LocalBackend
from llm_chatbot.api.errors import APIError
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.engine.session import Answer
from llm_chatbot.errors import UserError
from tests import coroutines

CONFIG = ModelConfig(model_id="fake", description="", license="")


class FakeTokenizer:
    """A token for each letter; the "chat template" only joins the messages."""

    chat_template = None

    def __call__(self, text: str, *, add_special_tokens: bool) -> dict[str, list[int]]:
        return {"input_ids": [*map(ord, text)]}


class FakeModel:
    """
    Attributes:
        gate: the tokens after the first wait for it.
        sessions: how many have been given back.
    """

    context_length = 20
    stop_ids: set[int] = set()  # noqa: RUF012

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.sessions = 0
        self.tokens = 0


class FakeSession:
    def __init__(self, model: FakeModel, tokenizer: Any, chat_format: Any) -> None:
        self.model = model

    def answer(self, messages: Sequence[Any], **options: Any) -> Generator[Answer, None, None]:
        if messages[0]["content"] == "fail":
            raise UserError("It fails; ask something else.")
        begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        yield Answer(begun, 5, 0, completion_tokens=len(begun))
        for count in range(1, options["max_new_tokens"] + 1):
            if count > 1:
                self.model.gate.wait(timeout=30)
            self.model.tokens += 1
            yield Answer(begun + "x" * count, 5, 0, completion_tokens=len(begun) + count)
        yield Answer(begun + "x" * count, 5, 0, completion_tokens=len(begun) + count, finish_reason="length")

    def reset(self) -> None:
        self.model.sessions += 1


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    monkeypatch.setattr(backend, "ChatSession", FakeSession)
    monkeypatch.setattr(backend, "template_variables", lambda tokenizer: set())
    monkeypatch.setattr(backend, "prompt_ids", lambda tokenizer, messages, options: [*messages[0]["content"]])
    monkeypatch.setattr(backend, "answer_ids", lambda tokenizer, text: [*text])
    return FakeModel()


def call(text: str = "Hello", *, begun: str = "", limit: int | None = 5) -> Call:
    messages: list[dict[str, Any]] = [{"role": "user", "content": text}]
    if begun:
        messages.append({"role": "assistant", "content": begun})
    return Call(tuple(messages), options={"template_options": {}}, limit=limit)


def local(model: FakeModel, **options: Any) -> LocalBackend:
    return LocalBackend("fake", model, FakeTokenizer(), CONFIG, **options)  # type: ignore[arg-type]


async def answers(of: LocalBackend, asked: Call) -> list[Answer]:
    async with aclosing(of.generate(asked)) as states:
        return [state async for state in states]


def test_the_last_state_always_arrives_and_nothing_is_left_behind(model: FakeModel):
    model.gate.set()
    for interval in (0.0, 3600.0):
        used = local(model, interval=interval)
        assert coroutines.run(answers(used, call()))[-1].text == "xxxxx"
        assert used.active == 0
    assert model.sessions == 2


def test_the_part_that_was_begun_counts_as_prompt_and_is_not_repeated(model: FakeModel):
    model.gate.set()
    last = coroutines.run(answers(local(model), call(begun="abc")))[-1]
    assert (last.text, last.prompt_tokens, last.completion_tokens) == ("xxxxx", 8, 5)


def test_the_event_loop_is_free_and_closing_ends_the_answer_within_a_token(model: FakeModel):
    async def leave() -> int:
        used = local(model)
        async with aclosing(used.generate(call(limit=10))) as states:
            async for state in states:
                if state.completion_tokens:
                    break
        model.gate.set()
        while not model.sessions:
            await asyncio.sleep(0.01)
        return used.active

    assert coroutines.run(leave()) == 0
    assert model.tokens <= 2


def test_answers_wait_for_their_turn_and_beyond_the_queue_are_refused(model: FakeModel):
    async def ask() -> list[list[Answer] | BaseException]:
        used = local(model, max_concurrent=1, max_waiting=1)
        asked = [asyncio.create_task(answers(used, call())) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert (used.active, used.waiting) == (2, 1)
        model.gate.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    first, second, third = coroutines.run(ask())
    assert isinstance(first, list) and isinstance(second, list)
    assert isinstance(third, APIError) and third.status == 429 and (third.retry_after or 0) >= 1


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (call("x" * 16), "has 20 tokens, but the prompt has 16 and 5 were asked for"),
        (call("x" * 20, limit=None), "has 20 tokens, but the prompt has 20 and an answer needs at least 1"),
        (call("x" * 13, begun="abc"), "the prompt has 16"),
        (call(limit=7), "at most 6 tokens here"),
        (call("fail"), "It fails"),
    ],
)
def test_what_can_not_be_answered_is_refused_and_frees_its_place(model: FakeModel, asked: Call, expected: str):
    used = local(model, max_tokens=6)
    with pytest.raises(UserError, match=expected):
        coroutines.run(answers(used, asked))
    assert used.active == 0 and model.sessions == 1


def test_without_a_limit_an_answer_may_fill_the_context(model: FakeModel):
    model.gate.set()
    assert coroutines.run(answers(local(model), call("x" * 12, limit=None)))[-1].completion_tokens == 8
