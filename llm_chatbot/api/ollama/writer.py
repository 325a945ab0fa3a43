"""Answers → the lines of Ollama's streams."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime

from llm_chatbot.api.error_forms import error_body
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.json_response import json_text
from llm_chatbot.api.ollama.requests import OllamaRequest
from llm_chatbot.api.openai_writer import chat_logprobs
from llm_chatbot.api.responses import JSON, Choice, Content, Writer
from llm_chatbot.machine.json_value import json_value

NANOSECONDS = 1_000_000_000


class OllamaWriter(Writer):
    """Writes lines of JSON, the last of which has the numbers of tokens and durations.

    Args:
        body: the request.
        model: the name of the model that answers.
        choices: its one answer.
        is_chat: whether the answer is a message; otherwise it is a text.
    """

    media_type = "application/x-ndjson"

    def __init__(self, body: OllamaRequest, model: str, choices: Sequence[Choice], is_chat: bool) -> None:
        self.model, self.choices = model, choices
        self._wants_logprobs, self._is_chat = body.logprobs, is_chat
        self._started = time.perf_counter()
        self._calls = 0

    def line(self, chunk: JSON) -> str:
        return f"{json_text(chunk)}\n"

    def sign_of_life(self) -> str:
        return self.line(self._chunk(Content()))

    def begin(self) -> list[JSON]:
        return []

    def chunks(self, index: int, new: Content) -> list[JSON]:
        tokens = chat_logprobs(self.choices[index].new_tokens())["content"] if self._wants_logprobs else []
        logprobs = {"logprobs": tokens} if tokens else {}
        return [{**self._chunk(new), **logprobs}] if new != Content() or tokens else []

    def end(self) -> list[JSON]:
        return [{**self._chunk(Content()), **self._figures()}]

    def failure(self, error: APIError) -> list[JSON]:
        return [error_body(str(error), error.status, path="/api/")]

    def whole(self) -> JSON:
        logprobs = {"logprobs": chat_logprobs(self.choices[0].new_tokens())["content"]} if self._wants_logprobs else {}
        return {**self._chunk(self.choices[0].content), **logprobs, **self._figures()}

    def loaded(self, reason: str) -> JSON:
        """The answer to a request that only wants the model to be there, or not to be."""
        return {**self._chunk(Content()), "done": True, "done_reason": reason}

    def _chunk(self, content: Content) -> JSON:
        head = {"model": self.model, "created_at": timestamp(time.time())}
        thinking = {"thinking": content.reasoning} if content.reasoning else {}
        if not self._is_chat:
            return {**head, "response": content.text, **thinking, "done": False}
        calls = {"tool_calls": self._tool_calls(content)} if content.calls else {}
        message = {"role": "assistant", "content": content.text, **thinking, **calls}
        return {**head, "message": message, "done": False}

    def _tool_calls(self, content: Content) -> list[JSON]:
        calls = []
        for call in content.calls:
            function = {"index": self._calls, "name": call.name, "arguments": json_value(call.arguments)}
            calls.append({"id": call.id, "function": function})
            self._calls += 1
        return calls

    def _figures(self) -> JSON:
        choice = self.choices[0]
        answer, counts = choice.answer, choice.counts
        first = answer.time_to_first_token if answer else 0.0
        speed = answer.tokens_per_second if answer else 0.0
        return {
            "done": True,
            "done_reason": "length" if choice.finish_reason == "length" else "stop",
            "total_duration": int((time.perf_counter() - self._started) * NANOSECONDS),
            "load_duration": int(self.load_seconds() * NANOSECONDS),
            "prompt_eval_count": counts.prompt,
            "prompt_eval_duration": int(first * NANOSECONDS),
            "eval_count": counts.completion,
            "eval_duration": int(counts.completion / speed * NANOSECONDS) if speed else 0,
        }


def timestamp(seconds: float) -> str:
    """A time as RFC 3339 writes it.

    Args:
        seconds: since 1970.
    """
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")
