"""A hundred clients of each protocol, which go away at random: is any answer lost, stuck or another one?

    python -m benchmarks.api_soak [--minutes 2] [--clients 100] [--protocol chat] [--max-concurrent 16]
    python -m benchmarks.api_soak --haproxy /usr/sbin/haproxy --max-concurrent 1

Starts a server with the embedded model's file and exact hints. An answer is right if it is the one, or the beginning of
the one, that the same request got when nobody else asked. Lost is an answer that ended without its end, or with an
error; stuck is one that goes on when all clients have gone away. With `--haproxy`, HAProxy stands in front and closes
connections on which nothing is sent for 60 seconds; with one answer at a time, most requests wait longer than that.
"""

import argparse
import asyncio
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil

from llm_chatbot.answering.other_servers import LineSplitter
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from tests.ports import free_port

TOPICS = ("rivers", "bread", "chess", "the moon", "bees", "bridges", "salt", "clocks", "paper", "bells")
TOKENS = 24
GOES_AWAY = 0.4  # how often a client doesn't wait for the end
SECONDS_TO_END = 30

PROXY = """
global
    maxconn 500
defaults
    mode http
    timeout connect 5s
    timeout client 60s
    timeout server 60s
listen front
    bind 127.0.0.1:{front}
    server model 127.0.0.1:{port}
"""


@dataclass(frozen=True)
class Protocol:
    """
    Attributes:
        path: of the request.
        body: the fields of the request for a question.
        text: the text of an event of the stream.
        is_end: whether a line is the stream's last.
    """

    path: str
    body: Callable[[str], dict[str, Any]]
    text: Callable[[dict[str, Any]], str]
    is_end: Callable[[str], bool]


def _asked(question: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": question}]


def _choice(event: dict[str, Any]) -> dict[str, Any]:
    return (event.get("choices") or [{}])[0]


def _done(line: str) -> bool:
    return line == "data: [DONE]"


PROTOCOLS = {
    "chat": Protocol(
        "/v1/chat/completions",
        lambda question: {"messages": _asked(question), "max_tokens": TOKENS, "temperature": 0},
        lambda event: _choice(event).get("delta", {}).get("content") or "",
        _done,
    ),
    "completions": Protocol(
        "/v1/completions",
        lambda question: {"prompt": question, "max_tokens": TOKENS, "temperature": 0, "ignore_eos": True},
        lambda event: _choice(event).get("text", ""),
        _done,
    ),
    "responses": Protocol(
        "/v1/responses",
        lambda question: {"input": question, "max_output_tokens": TOKENS, "temperature": 0},
        lambda event: event["delta"] if event["type"] == "response.output_text.delta" else "",
        lambda line: line.startswith(("event: response.completed", "event: response.incomplete")),
    ),
    "messages": Protocol(
        "/v1/messages",
        lambda question: {"messages": _asked(question), "max_tokens": TOKENS, "temperature": 0},
        lambda event: event["delta"]["text"] if event["type"] == "content_block_delta" else "",
        lambda line: line == "event: message_stop",
    ),
    "ollama": Protocol(
        "/api/chat",
        lambda question: {"messages": _asked(question), "options": {"num_predict": TOKENS, "temperature": 0}},
        lambda event: event["message"]["content"],
        lambda line: line.startswith("{") and json.loads(line)["done"],
    ),
}


@dataclass
class Counts:
    """Numbers of answers.

    Attributes:
        whole, left: those that a client waited for, and those that it left.
        lost, different: see above.
        busy: those that were refused with a 429 and asked for again.
        wait: the longest time to an answer's first piece, in seconds.
    """

    whole: int = 0
    left: int = 0
    lost: int = 0
    different: int = 0
    busy: int = 0
    wait: float = 0.0

    def add(self, other: "Counts") -> None:
        for name in ("whole", "left", "lost", "different", "busy"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.wait = max(self.wait, other.wait)


@dataclass
class Heard:
    """What a client got of an answer."""

    text: str = ""
    pieces: int = 0
    has_ended: bool = False
    wait: float = 0.0


async def lines(client: httpx.AsyncClient, protocol: Protocol, question: str) -> AsyncIterator[str]:
    """
    Raises:
        httpx.HTTPStatusError: the request is refused.
    """
    body = {"model": DEFAULT_MODEL, "stream": True, **protocol.body(question)}
    async with client.stream("POST", protocol.path, json=body) as response:
        response.raise_for_status()
        splitter = LineSplitter()
        async for text in response.aiter_text():
            for line in splitter.feed(text):
                yield line


def said(protocol: Protocol, line: str) -> str:
    event = line.removeprefix("data: ")
    return protocol.text(json.loads(event)) if event.startswith("{") and event != "{}" else ""


async def answer(client: httpx.AsyncClient, protocol: Protocol, question: str, most: float) -> Heard:
    """An answer, up to `most` pieces."""
    heard, asked = Heard(), time.monotonic()
    async for line in lines(client, protocol, question):
        if piece := said(protocol, line):
            heard.wait = heard.wait or time.monotonic() - asked
            heard.text, heard.pieces = heard.text + piece, heard.pieces + 1
        heard.has_ended = heard.has_ended or protocol.is_end(line)
        if heard.pieces >= most:
            break
    return heard


async def ask(client: httpx.AsyncClient, protocol: Protocol, expected: dict[str, str], chance: random.Random) -> Counts:
    """Asks one question, and may go away before the answer ends."""
    question = chance.choice(list(expected))
    most = chance.randrange(1, TOKENS) if chance.random() < GOES_AWAY else float("inf")
    try:
        heard = await answer(client, protocol, question, most)
    except httpx.HTTPStatusError as error:
        await asyncio.sleep(float(error.response.headers.get("Retry-After", 1)))
        return Counts(busy=1) if error.response.status_code == 429 else Counts(lost=1)
    except httpx.TransportError:
        return Counts(lost=1)
    if heard.pieces >= most:
        return Counts(left=1, different=not expected[question].startswith(heard.text), wait=heard.wait)
    different = heard.has_ended and heard.text != expected[question]
    return Counts(whole=1, lost=not heard.has_ended, different=different, wait=heard.wait)


async def soak(url: str, name: str, clients: int, seconds: float) -> Counts:
    """Lets clients use a protocol for some seconds."""
    protocol, counts = PROTOCOLS[name], Counts()
    questions = [f"Tell me about {topic}." for topic in TOPICS]

    async def use(client: httpx.AsyncClient, seed: int) -> None:
        chance = random.Random(seed)
        while time.monotonic() < end:
            counts.add(await ask(client, protocol, expected, chance))

    async with httpx.AsyncClient(base_url=url, timeout=600, limits=httpx.Limits(max_connections=None)) as client:
        expected = {question: (await answer(client, protocol, question, float("inf"))).text for question in questions}
        assert all(expected.values()), expected
        end = time.monotonic() + seconds
        await asyncio.gather(*(use(client, seed) for seed in range(clients)))
    return counts


def stuck(url: str) -> int:
    """How many answers still run a while after their clients have gone."""
    for _ in range(SECONDS_TO_END):
        metrics = httpx.get(f"{url}/metrics").text.splitlines()
        running = sum(float(line.split()[-1]) for line in metrics if line.startswith("llm_chatbot_answers{"))
        if not running:
            return 0
        time.sleep(1)
    return int(running)


@contextmanager
def server(max_concurrent: int) -> Iterator[tuple[int, psutil.Process]]:
    """A server's port and its process."""
    port = free_port()
    command = [sys.executable, "-m", "llm_chatbot", "serve", "--exact", "--port", str(port), "--kv-cache-gb", "0.5"]
    command += ["--max-concurrent", str(max_concurrent), "--max-waiting", "100"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        process.stdout.readline()
        yield port, psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def proxy(program: Path, port: int) -> Iterator[int]:
    """The port of HAProxy in front of another one."""
    front = free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "haproxy.cfg"
        settings.write_text(PROXY.format(front=front, port=port), encoding="utf-8")
        process = subprocess.Popen([str(program), "-f", str(settings)])
        time.sleep(1)
        try:
            yield front
        finally:
            process.terminate()
            process.wait(10)


def main() -> int:
    parser = argparse.ArgumentParser(description="Use a server by many clients that go away at random.")
    parser.add_argument("--minutes", type=float, default=2)
    parser.add_argument("--clients", type=int, default=100)
    parser.add_argument("--protocol", choices=PROTOCOLS, action="append", help="one; may be given more than once")
    parser.add_argument("--max-concurrent", type=int, default=16, help="answers at a time")
    parser.add_argument("--haproxy", type=Path, help="the program HAProxy, to stand in front")
    arguments = parser.parse_args()
    faults = 0
    with (
        server(arguments.max_concurrent) as (port, process),
        proxy(arguments.haproxy, port) if arguments.haproxy else nullcontext(port) as asked,
    ):
        for name in arguments.protocol or PROTOCOLS:
            before = process.memory_info().rss / 1e6
            counts = asyncio.run(soak(f"http://127.0.0.1:{asked}", name, arguments.clients, 60 * arguments.minutes))
            left, after = stuck(f"http://127.0.0.1:{port}"), process.memory_info().rss / 1e6
            faults += counts.lost + counts.different + left
            print(
                f"{name}: {counts.whole} whole, {counts.left} left, {counts.busy} asked again; {counts.lost} lost, "
                f"{left} stuck, {counts.different} different; longest wait {counts.wait:.0f} s; "
                f"{before:.0f} MB before, {after:.0f} MB after",
                flush=True,
            )
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
