"""Load for a service with OpenAI's API, conversations of three turns: `python -m llm_chatbot.cluster.load --help`."""

import argparse
import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import numpy as np

from llm_chatbot.answering.other_servers import LineSplitter

TOPICS = ("rivers", "bread", "chess", "the moon", "bees", "bridges", "salt", "clocks")
TURNS_OF_LOAD = ("Tell me about {topic} number {number}.", "Why is that so?", "Say it in other words.")
MOST_TRIES = 12


@dataclass
class Turn:
    """One answer.

    Attributes:
        text: of the answer.
        tokens: of the answer.
        first_token: seconds from the request that was answered in the end to its first token.
        tries: requests that were needed: more than one where the server asked to come back.
        error: why there is no answer.
    """

    text: str = ""
    tokens: int = 0
    first_token: float = 0.0
    tries: int = 0
    error: str = ""


@dataclass
class Load:
    """The result of a run.

    Attributes:
        seconds: from the first request to the last token.
        conversations: their turns.
    """

    seconds: float
    conversations: list[list[Turn]] = field(default_factory=list)

    @property
    def turns(self) -> list[Turn]:
        return [turn for turns in self.conversations for turn in turns]

    @property
    def tokens_per_second(self) -> float:
        return sum(turn.tokens for turn in self.turns) / self.seconds

    def differences(self, other: "Load") -> int:
        """The number of answers whose text is another one in a run of at least as many conversations."""
        return sum(one.text != two.text for one, two in zip(self.turns, other.turns, strict=False))

    def summary(self) -> str:
        first = np.array([turn.first_token for turn in self.turns if not turn.error] or [0.0])
        median, slow = np.percentile(first, [50, 99])
        retried, failed = sum(turn.tries > 1 for turn in self.turns), sum(bool(turn.error) for turn in self.turns)
        return (
            f"{len(self.turns)} answers in {self.seconds:.1f} s, {self.tokens_per_second:.0f} tokens/s, "
            f"first token {median:.2f} s (median) {slow:.2f} s (99%), {retried} retried, {failed} failed"
        )


class Retryable(Exception):
    """The server asks to come back.

    Attributes:
        seconds: when.
    """

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(reason)
        self.seconds = seconds


async def run_load(url: str, model: str, numbers: Sequence[int], at_once: int, max_tokens: int = 32) -> Load:
    """Holds conversations with a service.

    Args:
        url: of the API, such as http://127.0.0.1:8000/v1.
        numbers: one for each conversation; what is asked depends on it.
        at_once: how many conversations are held at a time.
    """
    slots = asyncio.Semaphore(at_once)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=httpx.Limits(max_connections=None)) as client:

        async def hold(number: int) -> list[Turn]:
            async with slots:
                return await conversation(client, model, number, max_tokens)

        started = time.monotonic()
        conversations = await asyncio.gather(*map(hold, numbers))
        return Load(time.monotonic() - started, conversations)


async def conversation(client: httpx.AsyncClient, model: str, number: int, max_tokens: int) -> list[Turn]:
    messages: list[dict[str, str]] = []
    turns = []
    for question in TURNS_OF_LOAD:
        messages.append({"role": "user", "content": question.format(topic=TOPICS[number % len(TOPICS)], number=number)})
        body = {"model": model, "messages": messages, "temperature": 0, "max_tokens": max_tokens, "stream": True}
        turns.append(await answered(client, {**body, "stream_options": {"include_usage": True}}))
        messages.append({"role": "assistant", "content": turns[-1].text})
    return turns


async def answered(client: httpx.AsyncClient, body: dict) -> Turn:
    """The answer to a request, which is sent again when the server says so."""
    reason = ""
    for tries in range(1, MOST_TRIES + 1):
        try:
            turn = await one_answer(client, body)
        except Retryable as error:
            reason = str(error)
            await asyncio.sleep(error.seconds)
        except httpx.TransportError as error:
            reason = repr(error)
            await asyncio.sleep(1)
        else:
            turn.tries = tries
            return turn
    return Turn(tries=MOST_TRIES, error=reason)


async def one_answer(client: httpx.AsyncClient, body: dict) -> Turn:
    """
    Raises:
        Retryable: the server is busy, or lost the answer.
    """
    turn, started = Turn(), time.monotonic()
    async with client.stream("POST", "chat/completions", json=body) as response:
        if response.status_code in (429, 503):
            raise Retryable(f"status {response.status_code}", float(response.headers.get("Retry-After", 1)))
        if response.is_error:
            body_text = (await response.aread()).decode(errors="replace")
            return Turn(error=f"status {response.status_code}: {body_text}")
        splitter = LineSplitter()
        async for text in response.aiter_text():
            for line in splitter.feed(text):
                if line.startswith("data: {"):
                    add(json.loads(line.removeprefix("data: ")), turn, started)
    if not turn.tokens:
        raise Retryable("the stream ended early", 1)
    return turn


def add(event: dict, turn: Turn, started: float) -> None:
    """Adds an event of a stream to its answer.

    Raises:
        Retryable: the server lost the answer.
    """
    if "error" in event:
        raise Retryable(event["error"]["message"], 1)
    for choice in event["choices"]:
        text = choice["delta"].get("content") or ""
        if text and not turn.text:
            turn.first_token = time.monotonic() - started
        turn.text += text
    if usage := event.get("usage"):
        turn.tokens = usage["completion_tokens"]


def main() -> None:
    parser = argparse.ArgumentParser(description="Hold conversations with a service, and measure it.")
    parser.add_argument(
        "--url", default="http://127.0.0.1:8000/v1", help="of the API (default: that of llm-chatbot serve)"
    )
    parser.add_argument("--model", default="smollm2-135m-instruct")
    parser.add_argument("--conversations", type=int, default=64)
    parser.add_argument("--at-once", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=32, help="of each answer (default: 32)")
    arguments = parser.parse_args()
    numbers = range(arguments.conversations)
    load = run_load(arguments.url, arguments.model, numbers, arguments.at_once, arguments.max_tokens)
    print(asyncio.run(load).summary())


if __name__ == "__main__":
    main()
