"""Answers → the items and events of Responses."""

import secrets
import time
from collections.abc import Sequence
from typing import Any

from llm_chatbot.api.errors import APIError
from llm_chatbot.api.json_response import json_text
from llm_chatbot.api.openai_responses.requests import ResponsesRequest
from llm_chatbot.api.openai_writer import chat_logprobs
from llm_chatbot.api.responses import JSON, CallPiece, Choice, Content, TokenCounts, Writer

# The kinds of items that grow: (prefix of their ids, type of their one part).
GROWING = {"reasoning": ("rs_", "reasoning_text"), "message": ("msg_", "output_text")}

# What the events of a call's arguments are called.
ARGUMENTS = "response.function_call_arguments"


class ResponsesWriter(Writer):
    """Writes the response, which lists the items that an answer consists of, or the events by which they grow."""

    def __init__(self, body: ResponsesRequest, model: str, choices: Sequence[Choice]) -> None:
        self.model, self.choices = model, choices
        self._wants_logprobs = body.wants_logprobs
        self._namespaces = {tool.name: namespace for tool, namespace in body.functions if namespace}
        self._response = described_response(body, model)
        self._items: list[JSON] = []
        self._open: JSON | None = None  # the last item, while it grows
        self._logprobs: list[JSON] = []  # of tokens whose text is held back
        self._sent = 0

    def line(self, chunk: JSON) -> str:
        return f"event: {chunk['type']}\ndata: {json_text(chunk)}\n\n"

    def begin(self) -> list[JSON]:
        return [
            self._event("response.created", response=self._snapshot("in_progress")),
            self._event("response.in_progress", response=self._snapshot("in_progress")),
        ]

    def chunks(self, index: int, new: Content) -> list[JSON]:
        if self._wants_logprobs:
            self._logprobs += chat_logprobs(self.choices[index].new_tokens())["content"]
        before, after = new.in_order
        events = [event for piece in before for event in self._call(piece)]
        if new.reasoning:
            events += self._grow("reasoning", new.reasoning)
        if new.text:
            events += self._grow("message", new.text)
        return [*events, *(event for piece in after for event in self._call(piece))]

    def end(self) -> list[JSON]:
        events: list[JSON] = [] if self._items else self._grow("message", "")
        is_cut = self.choices[0].finish_reason == "length"
        status = "incomplete" if is_cut else "completed"
        events += self._close(status)
        final = self._snapshot(status)
        final["usage"] = responses_usage(self.choices[0].counts)
        final |= (
            {"incomplete_details": {"reason": "max_output_tokens"}} if is_cut else {"completed_at": int(time.time())}
        )
        return [*events, self._event(f"response.{status}", response=final)]

    def failure(self, error: APIError) -> list[JSON]:
        code = {429: "rate_limit_exceeded", 400: "invalid_prompt"}.get(error.status, "server_error")
        failed = {**self._snapshot("failed"), "error": {"code": code, "message": str(error)}}
        return [self._event("response.failed", response=failed)]

    def whole(self) -> JSON:
        *_, last = [*self.chunks(0, self.choices[0].content.at_once), *self.end()]
        return last["response"]

    def _grow(self, kind: str, text: str) -> list[JSON]:
        """The events by which the open item grows; one of another kind is closed before."""
        events: list[JSON] = []
        if self._open is None or self._open["type"] != kind:
            events = [*self._close(), *self._begin(kind)]
        assert self._open is not None
        part = self._open["content"][0]
        part["text"] += text
        delta: JSON = {"delta": text}
        if kind == "message":
            delta["logprobs"], self._logprobs = self._logprobs, []
            part["logprobs"] += delta["logprobs"]
        return [*events, self._event(f"response.{part['type']}.delta", **self._place(), content_index=0, **delta)]

    def _begin(self, kind: str) -> list[JSON]:
        prefix, part_type = GROWING[kind]
        own: JSON = {"role": "assistant"} if kind == "message" else {"summary": []}
        item: JSON = {"id": new_id(prefix), "type": kind, "status": "in_progress", **own, "content": []}
        added = self._add(item)
        part: JSON = {"type": part_type, "text": ""}
        if kind == "message":
            part |= {"annotations": [], "logprobs": []}
        self._open = {**item, "content": [part]}
        self._items[-1] = self._open
        shown = {**part, "logprobs": []} if kind == "message" else dict(part)
        return [added, self._event("response.content_part.added", **self._place(), content_index=0, part=shown)]

    def _close(self, status: str = "completed") -> list[JSON]:
        """The events that end the open item."""
        if self._open is None:
            return []
        item, self._open = self._open, None
        item["status"] = status
        if item["type"] == "function_call":
            return [
                self._event(f"{ARGUMENTS}.done", **self._place(), name=item["name"], arguments=item["arguments"]),
                self._event("response.output_item.done", output_index=len(self._items) - 1, item=item),
            ]
        part, place = item["content"][0], {**self._place(), "content_index": 0}
        ended: JSON = {"text": part["text"]} | ({"logprobs": part["logprobs"]} if "logprobs" in part else {})
        return [
            self._event(f"response.{part['type']}.done", **place, **ended),
            self._event("response.content_part.done", **place, part=part),
            self._event("response.output_item.done", output_index=len(self._items) - 1, item=item),
        ]

    def _call(self, piece: CallPiece) -> list[JSON]:
        """The events of a new part of a call."""
        events: list[JSON] = []
        if call := piece.begun:
            item: JSON = {"id": new_id("fc_"), "type": "function_call", "call_id": call.id, "name": call.name}
            if call.name in self._namespaces:
                item["namespace"] = self._namespaces[call.name]
            item |= {"arguments": "", "status": "in_progress"}
            events = [*self._close(), self._add(dict(item))]
            self._open = self._items[-1] = item
        assert self._open is not None
        self._open["arguments"] += piece.arguments
        return [*events, self._event(f"{ARGUMENTS}.delta", **self._place(), delta=piece.arguments)]

    def _add(self, item: JSON) -> JSON:
        self._items.append(item)
        return self._event("response.output_item.added", output_index=len(self._items) - 1, item=item)

    def _place(self) -> JSON:
        return {"item_id": self._items[-1]["id"], "output_index": len(self._items) - 1}

    def _snapshot(self, status: str) -> JSON:
        return {**self._response, "status": status, "output": [] if status == "in_progress" else self._items}

    def _event(self, kind: str, **fields: Any) -> JSON:
        self._sent += 1
        return {"type": kind, "sequence_number": self._sent - 1, **fields}


def new_id(prefix: str) -> str:
    return prefix + secrets.token_hex(12)


def described_response(body: ResponsesRequest, model: str) -> JSON:
    """The response's fields that are known before its answer: what was asked for, and that nothing is stored."""
    asked = body.model_dump(include={"instructions", "max_output_tokens", "metadata", "parallel_tool_calls"})
    asked |= body.model_dump(include={"prompt_cache_key", "temperature", "top_p", "tool_choice", "truncation"})
    return {
        "id": new_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "model": model,
        **asked,
        "background": False,
        "error": None,
        "incomplete_details": None,
        "previous_response_id": None,
        "reasoning": {"effort": body.reasoning.effort, "summary": None},
        "store": False,
        "text": {"format": body.text.format.model_dump(by_alias=True, exclude_unset=True) or {"type": "text"}},
        "tools": [tool.model_dump() for tool, _ in body.functions],
        "top_logprobs": body.top_logprobs or 0,
        "usage": None,
    }


def responses_usage(counts: TokenCounts) -> JSON:
    return {
        "input_tokens": counts.prompt,
        "input_tokens_details": {"cached_tokens": counts.cached, "cache_write_tokens": 0},
        "output_tokens": counts.completion,
        "output_tokens_details": {"reasoning_tokens": counts.reasoning},
        "total_tokens": counts.prompt + counts.completion,
    }
