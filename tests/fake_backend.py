"""A backend without a model: it says what it is told to, and notes what it was asked."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from llm_chatbot.api.backend import Call, ModelInfo
from llm_chatbot.engine.session import Answer


@dataclass
class FakeBackend:
    """
    Attributes:
        answers: what it yields for each call; an exception is raised in its place.
        pause: seconds after each of them.
        calls: what it was asked.
        closed: how many generators have ended, in whatever way.
    """

    answers: Sequence[Answer | Exception]
    pause: float = 0.0
    about: ModelInfo = field(default_factory=lambda: ModelInfo("fake", 100))
    calls: list[Call] = field(default_factory=list)
    closed: int = 0

    async def info(self) -> ModelInfo:
        return self.about

    async def generate(self, call: Call) -> AsyncGenerator[Answer, None]:
        self.calls.append(call)
        try:
            for answer in self.answers:
                if isinstance(answer, Exception):
                    raise answer
                yield answer
                await asyncio.sleep(self.pause)
        finally:
            self.closed += 1


def said(*texts: str) -> list[Answer]:
    """The states of an answer that grows to the last of the texts."""
    states = [Answer(text, 10, 4, completion_tokens=place) for place, text in enumerate(texts, 1)]
    return [*states, Answer(texts[-1], 10, 4, completion_tokens=len(texts), finish_reason="stop")]
