"""A model that says what it is told to, and notes what it was asked."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field

from llm_chatbot.answering.question import Question
from llm_chatbot.answering.served import ServedFacts
from llm_chatbot.engine.session import Answer


@dataclass
class FakeModel:
    """
    Attributes:
        answers: what it yields for each question; an exception is raised in its place.
        pause: seconds after each of them.
        questions: what it was asked.
        closed: how many generators have ended, in whatever way.
    """

    answers: Sequence[Answer | Exception]
    pause: float = 0.0
    about: ServedFacts = field(default_factory=lambda: ServedFacts("fake", 100))
    questions: list[Question] = field(default_factory=list)
    closed: int = 0

    async def facts(self) -> ServedFacts:
        return self.about

    async def generate(self, question: Question) -> AsyncGenerator[Answer, None]:
        self.questions.append(question)
        try:
            for answer in self.answers:
                if isinstance(answer, Exception):
                    raise answer
                yield answer
                await asyncio.sleep(self.pause)
        finally:
            self.closed += 1

    async def prompt_ids(self, question: Question) -> Sequence[int]:
        self.questions.append(question)
        return range(7)

    async def encode(self, text: str, control_tokens: bool) -> Sequence[int]:
        return [ord(letter) for letter in text]

    async def decode(self, ids: Sequence[int]) -> str:
        return "".join(map(chr, ids))


def said(*texts: str) -> list[Answer]:
    """The states of an answer that grows to the last of the texts."""
    states = [Answer(text, 10, 4, completion_tokens=place) for place, text in enumerate(texts, 1)]
    return [*states, Answer(texts[-1], 10, 4, completion_tokens=len(texts), finish_reason="stop")]
