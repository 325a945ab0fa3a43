"""Figures for Prometheus: https://prometheus.io/docs/practices/naming/."""

import time
from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

from llm_chatbot.api.responses import Choice

FIRST_TOKEN_SECONDS = (0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
ANSWER_SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """The figures of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        registry: dict[str, Any] = {"registry": self.registry}
        self._responses = Counter("llm_chatbot_responses", "Responses by status.", ["path", "status"], **registry)
        self._prompt = Counter("llm_chatbot_prompt_tokens", "Tokens of prompts.", ["model"], **registry)
        self._cached = Counter("llm_chatbot_cached_tokens", "Prompt tokens in the KV cache.", ["model"], **registry)
        self._generated = Counter("llm_chatbot_generated_tokens", "Tokens of answers.", ["model"], **registry)
        self._answers = Gauge("llm_chatbot_answers", "Answers that are generated or wait.", ["model"], **registry)
        self._waiting = Gauge("llm_chatbot_waiting_answers", "Answers that wait to begin.", ["model"], **registry)
        self._first_token = Histogram(
            "llm_chatbot_first_token_seconds",
            "Seconds from the request to the first token.",
            ["model"],
            buckets=FIRST_TOKEN_SECONDS,
            **registry,
        )
        self._answer = Histogram(
            "llm_chatbot_answer_seconds", "Seconds for whole answers.", ["model"], buckets=ANSWER_SECONDS, **registry
        )

    def watch(self, model: str, answers: Callable[[], float], waiting: Callable[[], float]) -> None:
        """Reports how many answers of a model are unfinished, and how many of those have not begun."""
        self._answers.labels(model).set_function(answers)
        self._waiting.labels(model).set_function(waiting)

    def note_response(self, path: str, status: int) -> None:
        self._responses.labels(path, str(status)).inc()

    def note_answer(self, model: str, choice: Choice) -> None:
        self._prompt.labels(model).inc(choice.counts.prompt)
        self._cached.labels(model).inc(choice.counts.cached)
        self._generated.labels(model).inc(choice.counts.completion)

    def note_read(self, model: str, tokens: int) -> None:
        """Notes what an encoder read."""
        self._prompt.labels(model).inc(tokens)

    def stopwatch(self, model: str) -> "Stopwatch":
        return Stopwatch(self._first_token.labels(model), self._answer.labels(model))

    def response(self) -> Response:
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)


class Stopwatch:
    """Measures one answer."""

    def __init__(self, first_token: Histogram, answer: Histogram) -> None:
        self._first_token, self._answer = first_token, answer
        self._started = time.monotonic()
        self._begun = False

    def note(self, choice: Choice) -> None:
        """Called with each state of the answer."""
        seconds = time.monotonic() - self._started
        if not self._begun and choice.counts.completion:
            self._begun = True
            self._first_token.observe(seconds)
        if choice.finish_reason is not None:
            self._answer.observe(seconds)
