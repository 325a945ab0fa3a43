"""The responses of OpenAI's Chat Completions and Completions, whole or as chunks of a stream."""

import math
import secrets
import time
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from llm_chatbot.api.error_forms import error_body
from llm_chatbot.api.errors import APIError
from llm_chatbot.api.responses import JSON, CallPiece, Choice, Content, Writer
from llm_chatbot.engine.decode.logprobs import TokenChoice, TopToken


def usage(choices: Sequence[Choice], answers_to_a_prompt: int) -> JSON:
    """The numbers of tokens of a request; a prompt counts once, however many answers it gets."""
    prompts = [choice.counts for choice in choices[::answers_to_a_prompt]]
    prompt, cached = sum(count.prompt for count in prompts), sum(count.cached for count in prompts)
    completion = sum(choice.counts.completion for choice in choices)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": sum(choice.counts.reasoning for choice in choices)},
    }


class OpenAIWriter(Writer):
    """Writes the responses of OpenAI's Chat Completions or Completions.

    The end of a choice is a chunk of its own, because clients stop reading there.

    Args:
        model: its name.
        choices: the answers, those to the same prompt side by side.
        answers_to_a_prompt: how many those are.
        logprobs: whether the response has the tokens' probabilities.
        wants_usage: whether a stream ends with the numbers of tokens.
    """

    last_line = "data: [DONE]\n\n"
    prefix = ""

    def __init__(
        self,
        model: str,
        choices: Sequence[Choice],
        answers_to_a_prompt: int,
        logprobs: bool,
        wants_usage: bool = False,
    ) -> None:
        self.model, self.choices = model, choices
        self._answers_to_a_prompt, self._logprobs, self._wants_usage = answers_to_a_prompt, logprobs, wants_usage
        self._head = {"id": self.prefix + secrets.token_hex(12), "created": int(time.time()), "model": model}

    def usage(self) -> JSON:
        return usage(self.choices, self._answers_to_a_prompt)

    def end(self) -> list[JSON]:
        return [{**self._body([]), "usage": self.usage()}] if self._wants_usage else []

    def failure(self, error: APIError) -> list[JSON]:
        return [error_body(str(error), error.status, error.param, error.code)]

    @abstractmethod
    def _body(self, choices: list[JSON]) -> JSON: ...


class ChatWriter(OpenAIWriter):
    """Writes the responses of /v1/chat/completions."""

    prefix = "chatcmpl-"

    def begin(self) -> list[JSON]:
        role = {"role": "assistant", "content": ""}
        return [self._body([_choice(index, {"delta": role}, None)]) for index in range(len(self.choices))]

    def chunks(self, index: int, new: Content) -> list[JSON]:
        choice, delta = self.choices[index], _message(replace(new, calls=()))
        if new.pieces:
            delta["tool_calls"] = [_call_delta(piece) for piece in new.pieces]
        part: JSON = {"delta": delta}
        if self._logprobs and (tokens := choice.new_tokens()):
            part["logprobs"] = chat_logprobs(tokens)
        parts = [_choice(index, part, None)] if delta or len(part) > 1 else []
        if choice.finish_reason is not None:
            parts.append(_choice(index, {"delta": {}}, choice.finish_reason))
        return [self._body([each]) for each in parts]

    def whole(self) -> JSON:
        choices = []
        for index, choice in enumerate(self.choices):
            content = choice.content
            message = {"role": "assistant", "content": content.text or (None if content.calls else "")}
            logprobs = chat_logprobs(choice.new_tokens()) if self._logprobs else None
            part = {"message": {**message, **_message(content)}, "logprobs": logprobs}
            choices.append(_choice(index, part, choice.finish_reason))
        return {**self._body(choices), "object": "chat.completion", "usage": self.usage()}

    def _body(self, choices: list[JSON]) -> JSON:
        return {**self._head, "object": "chat.completion.chunk", "choices": choices}


class CompletionWriter(OpenAIWriter):
    """Writes the responses of /v1/completions."""

    prefix = "cmpl-"

    def begin(self) -> list[JSON]:
        return []

    def chunks(self, index: int, new: Content) -> list[JSON]:
        part = self._part(index, new.text)
        reason = self.choices[index].finish_reason
        parts = [_choice(index, part, None)] if new.text or part["logprobs"] else []
        if reason is not None:
            parts.append(_choice(index, {"text": ""}, reason))
        return [self._body([each]) for each in parts]

    def whole(self) -> JSON:
        parts = [self._part(index, choice.content.text) for index, choice in enumerate(self.choices)]
        choices = [_choice(index, part, self.choices[index].finish_reason) for index, part in enumerate(parts)]
        return {**self._body(choices), "usage": self.usage()}

    def _part(self, index: int, text: str) -> JSON:
        tokens = self.choices[index].new_tokens() if self._logprobs else []
        return {"text": text, "logprobs": completion_logprobs(tokens) if tokens else None}

    def _body(self, choices: list[JSON]) -> JSON:
        return {**self._head, "object": "text_completion", "choices": choices}


def _choice(index: int, part: JSON, finish_reason: str | None) -> JSON:
    return {"index": index, "logprobs": None, **part, "finish_reason": finish_reason}


def _message(content: Content) -> JSON:
    """The fields of a message or delta that have something to say."""
    fields: JSON = {}
    if content.reasoning:
        fields["reasoning_content"] = content.reasoning
    if content.text:
        fields["content"] = content.text
    if content.calls:
        fields["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in content.calls
        ]
    return fields


def _call_delta(piece: CallPiece) -> JSON:
    """The new part of a call; its id and name come with the first piece only, or clients would join them."""
    function = {"arguments": piece.arguments}
    if piece.begun is None:
        return {"index": piece.index, "function": function}
    named = {"id": piece.begun.id, "type": "function", "function": {"name": piece.begun.name, **function}}
    return {"index": piece.index, **named}


def chat_logprobs(tokens: Sequence[TokenChoice]) -> JSON:
    """The `logprobs` of a chat's choice: each token with its text, its bytes and the likeliest ones at its place.

    Only the bytes tell pieces of characters apart.
    """

    def entry(token: TokenChoice | TopToken) -> JSON:
        return {"token": token.text, "logprob": token.logprob, "bytes": list(token.bytes)}

    return {"content": [{**entry(token), "top_logprobs": [entry(top) for top in token.top]} for token in tokens]}


def name_of(token: TokenChoice | TopToken) -> str:
    r"""A token's text, or where that is not whole its bytes, as in OpenAI's older models: "bytes:\xf0\x9f"."""
    try:
        return token.bytes.decode()
    except UnicodeDecodeError:
        return "bytes:" + "".join(f"\\x{byte:02x}" for byte in token.bytes)


def by_name(token: TokenChoice) -> dict[str, float]:
    """The likeliest tokens at a place and the chosen one. Of several with one name, the likeliest counts.

    The chosen token has its own value in any case.
    """
    return {**{name_of(top): top.logprob for top in reversed(token.top)}, name_of(token): token.logprob}


def completion_logprobs(tokens: Sequence[TokenChoice]) -> JSON:
    """The older form of the same: lists side by side."""
    return {
        "tokens": [name_of(token) for token in tokens],
        "token_logprobs": [None if math.isnan(token.logprob) else token.logprob for token in tokens],
        "top_logprobs": [None if math.isnan(token.logprob) else by_name(token) for token in tokens],
        "text_offset": [token.offset for token in tokens],
    }
