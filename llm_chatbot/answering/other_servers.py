"""A model behind another server's OpenAI API, taken as one of this process."""

import json
import math
import os
import re
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import httpx

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.sent_pictures import (
    asks_about_pictures,
    card_reads_pictures,
    has_data_urls,
    with_data_urls,
    with_words,
)
from llm_chatbot.answering.variables import KEY_VARIABLE
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.engine.decode.generation import Generation
from llm_chatbot.engine.decode.logprobs import UNLIKELY, TokenChoice, TopToken
from llm_chatbot.engine.session import Answer
from llm_chatbot.engine.text.control_tokens import well_formed
from llm_chatbot.engine.text.prompt import NO_OPTIONS, TemplateOptions
from llm_chatbot.engine.text.reasoning import REASONING_END, REASONING_START
from llm_chatbot.errors import UserError

TIMEOUT = httpx.Timeout(10, read=300)  # seconds; the first token of a long prompt takes a while

# Options that most servers of open models know besides OpenAI's, with the values that change nothing.
EXTRA_OPTIONS = {"top_k": 0, "min_p": 0.0, "repetition_penalty": 1.0}

# Refusals that pictures are no reason for: of the key, or for now, also while a server loads its model.
PASSING_STATUSES = (401, 403, 408, 429, 502, 503, 504)

TOKENS_OF_A_PICTURE = 576  # LLaVA's; many models take more of a large picture


class RemoteModel(LoadedModel):
    """A `LoadedModel` whose answers come from another server.

    Args:
        name: of the model there.
        context_length: in tokens; None: unknown.
        client: for requests to that server.
        vision: whether it reads pictures; None: unknown, so it is tried.
    """

    is_remote = True

    def __init__(self, name: str, context_length: int | None, client: httpx.Client, vision: bool | None = None) -> None:
        facts: Any = RemoteFacts(context_length)
        config = ModelConfig(model_id=name, description=f"A model of {client.base_url.host}.", license="")
        super().__init__(facts, facts, config, name, device=client.base_url.host)
        self._client, self._vision = client, vision

    @property
    def reads_pictures(self) -> bool:
        return self._vision is not False

    @property
    def picture_tokens(self) -> int:
        """A guess, so that the page takes pictures: how many it makes of one, the server doesn't say."""
        return TOKENS_OF_A_PICTURE if self.reads_pictures else 0

    def new_session(self) -> Any:
        return RemoteSession(self._client, self.name, self._vision)


@dataclass(frozen=True)
class RemoteFacts:
    """Facts of a model and a tokenizer, as far as the server says them.

    Attributes:
        context_length: in tokens; None: unknown.
        chat_template: always None; the server applies it.
        images: always None; the server prepares pictures.
    """

    context_length: int | None = None
    chat_template: None = None
    images: None = None


def open_remote(base_url: str, name: str, client: httpx.Client | None = None) -> RemoteModel:
    """A model of the server at `base_url`, such as http://127.0.0.1:8000/v1.

    The API key is that in the environment, if there is one.

    Args:
        client: sends the requests, in place of a new one.

    Raises:
        UserError: the server can't be reached, refuses the key, or doesn't have the model.
    """
    client = client or new_client(base_url)
    with translated_errors():
        response = client.get("models")
        check_status(response)
    cards = {card["id"]: card for card in response.json()["data"]}
    if name not in cards:
        raise UserError("server.no_model", address=client.base_url, name=repr(name), models=", ".join(cards))
    return RemoteModel(name, cards[name].get("max_model_len"), client, card_reads_pictures(cards[name]))


def new_client(base_url: str) -> httpx.Client:
    """
    Raises:
        UserError: it is no address.
    """
    if not base_url.startswith(("http://", "https://")):
        raise UserError("server.address", address=repr(base_url))
    key = os.environ.get(KEY_VARIABLE)
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return httpx.Client(base_url=base_url, headers=headers, timeout=TIMEOUT)


class RemoteSession:
    """Answers like an `llm_chatbot.engine.session.ChatSession`; the server keeps no conversation.

    Args: as for `RemoteModel`.
    """

    def __init__(self, client: httpx.Client, model: str, vision: bool | None = None) -> None:
        self._client, self._model, self._vision = client, model, vision
        self._takes_extra_options = True

    def answer(
        self,
        messages: Sequence[dict[str, Any]],
        generation: Generation | None = None,
        *,
        template_options: TemplateOptions = NO_OPTIONS,
        room: int | None = None,
        **options: Any,
    ) -> Generator[Answer, None, None]:
        """Yields the answer to a conversation as it arrives; closing the generator ends it on the server too.

        Args:
            messages: see `ChatSession.answer`. Whether an answer at the end is continued is up to the server. Where
                it refuses pictures of earlier turns, it is asked again with words for them.
            generation: without its `thinking_budget` and `constraint`.
            template_options: of these, `enable_thinking` and `reasoning_effort`.
            room: without effect; the server knows its context.
            options: the attributes of `Generation`, where no `generation` is given.

        Raises:
            UserError: the server can't be reached or refuses.
        """
        body = request_body(self._model, messages, generation or Generation(**options), template_options)
        begun = messages[-1]["content"] if messages[-1]["role"] == "assistant" else ""
        if not self._takes_extra_options:
            body = without_extra_options(body)
        with translated_errors():
            while True:
                try:
                    yield from self._stream(body, begun)
                    return
                except UnknownOptionError:
                    self._takes_extra_options = False
                    body = without_extra_options(body)
                except PicturesRefusedError:
                    if asks_about_pictures(messages):
                        raise
                    body["messages"] = messages = with_words(messages)

    def _stream(self, body: dict[str, Any], begun: str) -> Generator[Answer, None, None]:
        received = Received(begun)
        yield received.answer
        content = well_formed(json.dumps(body, ensure_ascii=False)).encode()
        headers = {"Content-Type": "application/json"}
        with self._client.stream("POST", "chat/completions", content=content, headers=headers) as response:
            if response.is_error:
                response.read()
                check_options(response, body)
                if self._vision is None and has_data_urls(body["messages"]):
                    check_pictures(response)
                check_status(response)
            for event in received_events(lines_of(response.iter_text())):
                received.add(event)
                yield received.answer
        yield received.ended()

    def reset(self) -> None:
        """There is nothing to forget here."""


class UnknownOptionError(UserError):
    """The server refuses an option that isn't OpenAI's."""


class PicturesRefusedError(UserError):
    """The server refuses a conversation with pictures, and it is not known whether its model reads them."""


class Received:
    """The part of an answer that has arrived.

    Attributes:
        answer: so far. Until the server tells the numbers of tokens, each event counts as one.
    """

    def __init__(self, begun: str) -> None:
        self._begun, self._text, self._reasoning = begun, "", ""  # as they came: halves of a character may be apart
        self._started = time.monotonic()
        self._first = 0.0
        self._finish_reason: str | None = None
        self._tokens: list[TokenChoice] = []
        self.answer = Answer(begun, 0, 0, tokens=self._tokens)

    def add(self, event: dict[str, Any]) -> None:
        """
        Raises:
            UserError: the event says that the server failed.
        """
        if "error" in event:
            raise UserError("server.ended", reason=message_of(event))
        if usage := event.get("usage"):
            cached = (usage.get("prompt_tokens_details") or {}).get("cached_tokens") or 0
            self.answer = replace(
                self.answer,
                prompt_tokens=usage["prompt_tokens"],
                completion_tokens=usage["completion_tokens"],
                cached_tokens=cached,
                read_tokens=usage["prompt_tokens"],
            )
        for choice in event.get("choices", []):
            self._finish_reason = choice.get("finish_reason") or self._finish_reason
            self._tokens += token_choices(choice.get("logprobs"))
            self._add_delta(choice.get("delta") or {})

    def _add_delta(self, delta: dict[str, Any]) -> None:
        reasoning, text = delta.get("reasoning_content") or delta.get("reasoning") or "", delta.get("content") or ""
        if not reasoning and not text:
            return
        self._reasoning += reasoning
        self._text += text
        now, count = time.monotonic(), self.answer.completion_tokens + 1
        self._first = self._first or now
        self.answer = replace(
            self.answer,
            text=self._begun + with_reasoning(without_half(self._reasoning), without_half(self._text)),
            completion_tokens=count,
            time_to_first_token=self._first - self._started,
            tokens_per_second=(count - 1) / (now - self._first) if now > self._first else 0.0,
        )

    def ended(self) -> Answer:
        """The answer once nothing more arrives."""
        text = self._begun + with_reasoning(well_formed(self._reasoning), well_formed(self._text))
        return replace(self.answer, text=text, finish_reason="length" if self._finish_reason == "length" else "stop")


def request_body(
    model: str, messages: Sequence[dict[str, Any]], generation: Generation, template_options: TemplateOptions
) -> dict[str, Any]:
    """A question in the words of the API; options that change nothing are left out."""
    body: dict[str, Any] = {
        "model": model,
        "messages": with_data_urls(messages),
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": generation.temperature,
        "top_p": generation.top_p,
    }
    extra = {name: getattr(generation, name) for name in EXTRA_OPTIONS}
    body |= {name: value for name, value in extra.items() if value != EXTRA_OPTIONS[name]}
    if generation.seed is not None:
        body["seed"] = generation.seed
    if generation.max_new_tokens is not None:
        body["max_tokens"] = generation.max_new_tokens
    if generation.stop:
        body["stop"] = list(generation.stop)
    if generation.top_logprobs is not None:
        body |= {"logprobs": True, "top_logprobs": generation.top_logprobs}
    if "reasoning_effort" in template_options:
        body["reasoning_effort"] = template_options["reasoning_effort"]
    if "enable_thinking" in template_options:
        body["chat_template_kwargs"] = {"enable_thinking": template_options["enable_thinking"]}
    return body


def without_extra_options(body: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in body.items() if name not in EXTRA_OPTIONS}


def without_half(text: str) -> str:
    """A growing text without a first half of a character at its end, whose second half may come; then well-formed."""
    return well_formed(text[:-1] if text and "\ud800" <= text[-1] <= "\udbff" else text)


def with_reasoning(reasoning: str, text: str) -> str:
    """An answer as a model writes it that reasons between marks."""
    if not reasoning:
        return text
    return f"{REASONING_START}\n{reasoning}\n{REASONING_END}\n\n{text}" if text else f"{REASONING_START}\n{reasoning}"


class LineSplitter:
    """Splits a stream of server-sent events into lines, which end at CR and LF alone.

    Python's and httpx's own splitting also ends lines at U+2028 and others, which may stand in a text.
    """

    def __init__(self) -> None:
        self._rest = ""

    def feed(self, text: str) -> list[str]:
        """The lines that are complete with the next part of the stream."""
        *lines, self._rest = re.split(r"\r\n|\n|\r(?!\Z)", self._rest + text)
        return lines


def lines_of(texts: Iterable[str]) -> Iterator[str]:
    splitter = LineSplitter()
    for text in texts:
        yield from splitter.feed(text)
    yield from splitter.feed("\n")


def received_events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """The JSON objects of a stream of server-sent events."""
    for line in lines:
        if line.startswith("data:") and (data := line.removeprefix("data:").strip()) != "[DONE]":
            yield json.loads(data)


def token_choices(logprobs: dict[str, Any] | None) -> list[TokenChoice]:
    """The probabilities of an event's tokens. Their ids are not known here: -1."""
    return [
        TokenChoice(*_token(entry), tuple(map(_token, entry.get("top_logprobs", []))))
        for entry in (logprobs or {}).get("content") or []
    ]


def _token(entry: dict[str, Any]) -> TopToken:
    logprob = entry["logprob"]
    is_finite = isinstance(logprob, int | float) and math.isfinite(logprob)  # others write NaN, infinities and null
    return TopToken(-1, entry["token"], logprob if is_finite else UNLIKELY, bytes(entry.get("bytes") or []))


def check_options(response: httpx.Response, body: dict[str, Any]) -> None:
    """Raises an `UnknownOptionError` if a refusal names an option that the request can do without."""
    if response.status_code in (400, 422) and any(name in response.text for name in EXTRA_OPTIONS if name in body):
        raise UnknownOptionError("server.unknown_option")


def check_pictures(response: httpx.Response) -> None:
    """Raises a `PicturesRefusedError` for a refusal that pictures may be the reason for; servers' statuses differ."""
    if response.status_code not in PASSING_STATUSES:
        status = {"status": response.status_code, "reason": stated_reason(response)}
        raise PicturesRefusedError("server.pictures", host=response.url.host, **status)


def check_status(response: httpx.Response) -> None:
    """Raises a `UserError` if the server refused."""
    if response.status_code in (401, 403):
        raise UserError("server.key", host=response.url.host, variable=KEY_VARIABLE)
    if response.status_code == 429:
        seconds = response.headers.get("Retry-After", "some")
        raise UserError("server.busy", host=response.url.host, seconds=seconds)
    if not response.is_success:
        status = {"status": response.status_code, "reason": stated_reason(response)}
        raise UserError("server.status", host=response.url.host, **status)


def stated_reason(response: httpx.Response) -> str:
    """Why a server refused, as it says it."""
    try:
        return message_of(response.json())
    except ValueError:
        return response.reason_phrase


def message_of(body: Any) -> str:
    """The message of an error in OpenAI's shape, on one line."""
    error = body.get("error", body) if isinstance(body, dict) else body
    message = error.get("message", error) if isinstance(error, dict) else error
    return " ".join(str(message).split()).rstrip(".")[:300]


@contextmanager
def translated_errors() -> Iterator[None]:
    """Says in a sentence what is wrong with the connection or with what came over it."""
    try:
        yield
    except httpx.HTTPError as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError("server.not_reached", reason=reason) from error
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise UserError("server.other_api") from error
