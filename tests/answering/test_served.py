"""Answers for an event loop, of an engine that is a fake: each of its tokens is a letter."""

import asyncio
import threading
from collections.abc import Generator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer
from tokenizers.models import BPE

from llm_chatbot.answering import models, served
from llm_chatbot.answering.errors import QueueFullError
from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.question import Question
from llm_chatbot.answering.served import LocalModel
from llm_chatbot.answering.service import Answering
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.engine.decode.generation import Generation
from llm_chatbot.engine.session import Answer
from llm_chatbot.errors import UserError
from tests import coroutines
from tests.page_visit import eventually

CONFIG = ModelConfig(model_id="fake", description="", license="")
FAILURES = (
    UserError("verbatim", text="It fails; ask something else."),
    IndexError("list index"),
    KeyError("x"),
    MemoryError(),
    OSError(5),
)


class FakeTokenizer:
    chat_template = None
    backend_tokenizer = Tokenizer(BPE())
    special_tokens_map: dict[str, str] = {}  # noqa: RUF012


class FakeModel:
    """
    Attributes:
        gate: the tokens after the first wait for it.
        sessions: how many have been given back.
        tokens: how many were generated.
    """

    context_length = 20
    images = None
    stop_ids: set[int] = set()  # noqa: RUF012

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.sessions = 0
        self.tokens = 0


class FakeSession:
    def __init__(self, model: FakeModel, tokenizer: Any, chat_format: Any) -> None:
        self.model = model

    def answer(self, messages: Sequence[Any], generation: Generation, **options: Any) -> Generator[Answer, None, None]:
        for failure in FAILURES:
            if messages[0]["content"] == type(failure).__name__:
                raise failure
        begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        yield Answer(begun, 5, 0, completion_tokens=len(begun))
        assert generation.max_new_tokens
        for count in range(1, generation.max_new_tokens + 1):
            if count > 1:
                self.model.gate.wait(timeout=30)
            self.model.tokens += 1
            yield Answer(begun + "x" * count, 5, 0, completion_tokens=len(begun) + count)
        yield Answer(begun + "x" * count, 5, 0, completion_tokens=len(begun) + count, finish_reason="length")

    def reset(self) -> None:
        self.model.sessions += 1


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> FakeModel:
    monkeypatch.setattr(models, "ChatSession", FakeSession)
    monkeypatch.setattr(served, "template_variables", lambda tokenizer: set())
    return FakeModel()


def question(text: str = "Hello", *, begun: str = "", limit: int = 5) -> Question:
    messages: list[dict[str, Any]] = [{"role": "user", "content": text}]
    if begun:
        messages.append({"role": "assistant", "content": begun})
    return Question(tuple(messages), generation=Generation(max_new_tokens=limit))


def local(model: FakeModel, interval: float = 0.0, **bounds: Any) -> LocalModel:
    loaded = LoadedModel(model, FakeTokenizer(), CONFIG, "fake")  # type: ignore[arg-type]
    return LocalModel(Answering(lambda key: loaded, **bounds), loaded, interval=interval)


async def answers(of: LocalModel, asked: Question) -> list[Answer]:
    async with aclosing(of.generate(asked)) as states:
        return [state async for state in states]


async def idle(used: LocalModel) -> None:
    """Returns when no answer is generated any more."""
    while used.answering.unfinished:
        await asyncio.sleep(0.01)


async def answered(used: LocalModel, asked: Question) -> list[Answer]:
    try:
        return await answers(used, asked)
    finally:
        await asyncio.wait_for(idle(used), 10)


def test_the_last_state_always_arrives_and_nothing_is_left_behind(model: FakeModel):
    model.gate.set()
    for interval in (0.0, 3600.0):
        used = local(model, interval=interval)
        assert coroutines.run(answered(used, question()))[-1].text == "xxxxx"
    assert model.sessions == 2


@pytest.mark.parametrize(
    ("name", "checkpoint", "served_name"),
    [
        ("tiny", None, "tiny"),
        ("org/tiny", None, "org/tiny"),
        ("some/where/x.gguf", Path("some/where/x.gguf"), "x.gguf"),
    ],
)
def test_a_local_file_is_served_by_its_own_name(model: FakeModel, name: str, checkpoint: Path | None, served_name: str):
    config = ModelConfig(model_id="x", description="", license="", checkpoint=checkpoint)
    loaded = LoadedModel(model, FakeTokenizer(), config, name)  # type: ignore[arg-type]
    assert coroutines.run(LocalModel(Answering(lambda key: loaded), loaded).facts()).name == served_name


def test_the_part_that_was_begun_counts_as_prompt_and_is_not_repeated(model: FakeModel):
    model.gate.set()
    last = coroutines.run(answers(local(model), question(begun="abc")))[-1]
    assert (last.text, last.prompt_tokens, last.completion_tokens) == ("xxxxx", 8, 5)


def test_the_event_loop_is_free_and_closing_ends_the_answer_within_a_token(model: FakeModel):
    async def leave() -> None:
        used = local(model)
        async with aclosing(used.generate(question(limit=10))) as states:
            async for state in states:
                if state.completion_tokens:
                    break
        model.gate.set()
        await asyncio.wait_for(idle(used), 10)

    coroutines.run(leave())
    assert model.tokens <= 2 and model.sessions == 1


def test_answers_wait_for_their_turn_and_beyond_the_queue_are_refused(model: FakeModel):
    async def ask() -> list[list[Answer] | BaseException]:
        used = local(model, max_concurrent=1, max_waiting=1)
        asked = [asyncio.create_task(answers(used, question())) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert (used.answering.unfinished, used.answering.waiting) == (2, 1)
        model.gate.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    first, second, third = coroutines.run(ask())
    assert isinstance(first, list) and isinstance(second, list)
    assert isinstance(third, QueueFullError) and third.seconds >= 1


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: type(failure).__name__)
def test_whatever_an_answer_raises_reaches_who_asked_and_frees_its_place(model: FakeModel, failure: Exception):
    used = local(model)
    with pytest.raises(type(failure)):
        coroutines.run(answered(used, question(type(failure).__name__)))
    assert model.sessions == 1
    model.gate.set()
    assert coroutines.run(answered(used, question()))[-1].finish_reason == "length"


def test_the_page_and_the_api_share_one_queue(model: FakeModel):
    async def ask() -> None:
        used = local(model, max_concurrent=1, max_waiting=0)
        used.answering.ask(question())  # as the page does
        with pytest.raises(QueueFullError):
            await answers(used, question())
        model.gate.set()
        await asyncio.wait_for(idle(used), 10)

    coroutines.run(ask())


def test_a_model_is_not_freed_while_an_answer_runs_on_it(model: FakeModel):
    loaded = LoadedModel(model, FakeTokenizer(), CONFIG, "fake", reopen=lambda: model)  # type: ignore[arg-type, return-value]
    used = LocalModel(Answering(lambda key: loaded), loaded)

    async def ask() -> list[bool]:
        freed: list[bool] = []
        async with aclosing(used.generate(question())) as states:
            async for state in states:
                if state.completion_tokens and not freed:  # it waits at the gate
                    freed.append(loaded.free(idle=0))
                    model.gate.set()
        await asyncio.wait_for(idle(used), 10)
        return freed

    assert coroutines.run(ask()) == [False]
    assert loaded.free(idle=0)


def test_each_answer_is_a_line_in_the_log(model: FakeModel, caplog: pytest.LogCaptureFixture):
    caplog.set_level("INFO", "llm_chatbot.answering.service")
    model.gate.set()
    used = local(model)
    coroutines.run(answered(used, question()))
    with pytest.raises(IndexError):
        coroutines.run(answered(used, question("IndexError")))
    assert eventually(lambda: len(caplog.records) == 3)  # the line is written once the next answer may begin
    first, second, third = [record.getMessage() for record in caplog.records]
    assert first.startswith("model=fake prompt_tokens=5 cached_tokens=0 new_tokens=5 first_token=")
    assert first.endswith("end=length")
    assert second == "An answer failed." and caplog.records[1].exc_info
    assert third == "model=fake end=error"
