"""Answers → the blocks and events of Messages."""

import secrets
from collections.abc import Sequence

from llm_chatbot.api.anthropic.requests import MessagesRequest
from llm_chatbot.api.error_forms import error_body
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.json_response import json_text
from llm_chatbot.api.responses import JSON, CallPiece, Choice, Content, TokenCounts, Writer
from llm_chatbot.machine.json_value import json_value

STOP_REASONS = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}


class MessagesWriter(Writer):
    """Writes the message, which consists of blocks, or the events by which the blocks grow.

    Reasoning is a block where the request asks for thinking; otherwise it isn't shown.
    """

    def __init__(self, body: MessagesRequest, model: str, choices: Sequence[Choice]) -> None:
        self.model, self.choices = model, choices
        self._stops, self._shows_thinking = body.stop_sequences, body.thinking.is_shown
        self._head = {"id": f"msg_{secrets.token_hex(12)}", "type": "message", "role": "assistant", "model": model}
        self._blocks: list[JSON] = []
        self._is_open = False  # whether the last block may grow

    def line(self, chunk: JSON) -> str:
        return f"event: {chunk['type']}\ndata: {json_text(chunk)}\n\n"

    def sign_of_life(self) -> str:
        return self.line({"type": "ping"})

    def begin(self) -> list[JSON]:
        unfinished: JSON = {"content": [], "stop_reason": None, "stop_sequence": None}
        counts = self.choices[0].counts
        return [{"type": "message_start", "message": {**self._head, **unfinished, "usage": messages_usage(counts)}}]

    def chunks(self, index: int, new: Content) -> list[JSON]:
        before, after = new.in_order
        events = [event for piece in before for event in self._call(piece)]
        if new.reasoning and self._shows_thinking:
            events += self._grow("thinking", new.reasoning)
        if new.text:
            events += self._grow("text", new.text)
        return [*events, *(event for piece in after for event in self._call(piece))]

    def end(self) -> list[JSON]:
        events = [] if self._blocks else self._grow("text", "")
        changed = {"type": "message_delta", "delta": self._reason(), "usage": messages_usage(self.choices[0].counts)}
        return [*events, *self._close(), changed, {"type": "message_stop"}]

    def failure(self, error: APIError) -> list[JSON]:
        return [error_body(str(error), error.status, path="/v1/messages")]

    def whole(self) -> JSON:
        content = self.choices[0].content
        self.chunks(0, content.at_once)
        self.end()
        inputs = (json_value(call.arguments) for call in content.calls)
        blocks = [{**block, "input": next(inputs)} if block["type"] == "tool_use" else block for block in self._blocks]
        return {
            **self._head,
            "content": blocks,
            **self._reason(),
            "usage": messages_usage(self.choices[0].counts),
        }

    def _reason(self) -> JSON:
        choice = self.choices[0]
        stopped_by = choice.answer.stopped_by if choice.answer else ""
        if choice.finish_reason == "stop" and stopped_by in self._stops:
            return {"stop_reason": "stop_sequence", "stop_sequence": stopped_by}
        return {"stop_reason": STOP_REASONS[choice.finish_reason or "stop"], "stop_sequence": None}

    def _grow(self, kind: str, text: str) -> list[JSON]:
        """The events by which the last block grows; one of another kind is closed before."""
        events: list[JSON] = []
        if not self._is_open or self._blocks[-1]["type"] != kind:
            own = {"signature": ""} if kind == "thinking" else {}
            events = [*self._close(), self._begin({"type": kind, kind: "", **own})]
        self._blocks[-1][kind] += text
        return [*events, self._delta({"type": f"{kind}_delta", kind: text})]

    def _call(self, piece: CallPiece) -> list[JSON]:
        """The events of a new part of a call."""
        events: list[JSON] = []
        if call := piece.begun:
            block = {"type": "tool_use", "id": f"toolu_{call.id}", "name": call.name, "input": {}}
            events = [*self._close(), self._begin(block)]
        return [*events, self._delta({"type": "input_json_delta", "partial_json": piece.arguments})]

    def _begin(self, block: JSON) -> JSON:
        self._is_open = True
        self._blocks.append(block)
        return {"type": "content_block_start", "index": len(self._blocks) - 1, "content_block": dict(block)}

    def _delta(self, delta: JSON) -> JSON:
        return {"type": "content_block_delta", "index": len(self._blocks) - 1, "delta": delta}

    def _close(self) -> list[JSON]:
        """The events that end the last block. Nobody signs reasoning here, and clients expect it to be signed."""
        if not self._is_open:
            return []
        self._is_open = False
        is_thinking = self._blocks[-1]["type"] == "thinking"
        signed = [self._delta({"type": "signature_delta", "signature": ""})] if is_thinking else []
        return [*signed, {"type": "content_block_stop", "index": len(self._blocks) - 1}]


def messages_usage(counts: TokenCounts) -> JSON:
    """The numbers of tokens; those of the prompt that were in the cache are counted apart."""
    return {
        "input_tokens": counts.prompt - counts.cached,
        "cache_read_input_tokens": counts.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": counts.completion,
        "output_tokens_details": {"thinking_tokens": counts.reasoning},
    }
