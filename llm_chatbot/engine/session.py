"""A streaming conversation with a model.

Layers, each a loop over the one below: `Cache.feed` turns tokens into logits, `decode/generation.py` yields token ids,
`ChatSession.answer` yields text. They are generators that the caller drives and closes; there is no background thread.
"""

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Literal, Protocol

import numpy as np

from llm_chatbot.catalogue.chat_formats import CHECKPOINTS_OWN, ChatFormat
from llm_chatbot.engine.cache.pace import Pace
from llm_chatbot.engine.decode.constraints import AfterReasoning, ThinkingBudget, TokenConstraint
from llm_chatbot.engine.decode.draft_model import DraftFigures
from llm_chatbot.engine.decode.dry import DryPenalty, token_breakers
from llm_chatbot.engine.decode.generation import Generation, decode, prefill, prefill_all
from llm_chatbot.engine.decode.logprobs import TokenChoice, first_choice, token_choice
from llm_chatbot.engine.errors import ContextLengthError
from llm_chatbot.engine.text.channels import END, FINAL_BEGUN
from llm_chatbot.engine.text.detokenizer import StreamingDetokenizer
from llm_chatbot.engine.text.pictures import has_pictures, pictures_in
from llm_chatbot.engine.text.prompt import (
    NO_OPTIONS,
    NOTHING_ASKED,
    Message,
    TemplateOptions,
    answer_ids,
    check_ids,
    completion_ids,
    fitting_prompt,
    prompt_ids,
    too_long,
)
from llm_chatbot.engine.text.reasoning import begun_answer, reasoning_closing, reasoning_opening
from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.engine.vision.reader import ImageReader
from llm_chatbot.errors import UserError

# How many tokens of a prompt are decoded with what follows it: a character has up to four.
DETOKENIZER_CONTEXT = 4

FinishReason = Literal["stop", "length", "cancelled"]


class Model(Protocol):
    """The model that a conversation needs; see `llm_chatbot.engine.model.ChatModel`."""

    @property
    def context_length(self) -> int | None: ...

    @property
    def stop_ids(self) -> set[int]: ...

    @property
    def pace(self) -> Pace: ...

    @property
    def images(self) -> ImageReader | None: ...

    def new_cache(self) -> Any: ...

    def in_use(self, cache: Any) -> AbstractContextManager[None]: ...


@dataclass(frozen=True)
class Answer:
    """A snapshot of an answer.

    Attributes:
        text: the text so far.
        prompt_tokens: length of the prompt.
        cached_tokens: how many of those were already in the KV cache.
        dropped_turns: how many of the oldest turns were left out to make the rest fit.
        completion_tokens: length of the answer so far.
        time_to_first_token: seconds.
        tokens_per_second: decoding speed, without the first token; 0.0 before the second.
        finish_reason: "stop" if the model ended the answer, "length" if it reached the maximum length, "cancelled" if
            the stream was closed; None while it is running.
        read_tokens: how many tokens of the prompt are in the KV cache so far.
        later_reasoning: the reasoning that came after the first words for the reader, which `text` is without.
        reasoning_tokens: how many of the new tokens came before the reasoning's end.
        stopped_by: the stop string that ended the answer; empty if none did.
        tokens: with `top_logprobs`, what was generated; of an answer that was continued, only the continuation; with
            `echo` also the prompt. All snapshots share one growing list, which may be ahead of the text: that is held
            back where a stop string may begin.
        drafted_tokens, accepted_tokens, draft_gain: see `DraftFigures`; 0, 0 and 1.0 without a draft model.
    """

    text: str
    prompt_tokens: int
    cached_tokens: int
    dropped_turns: int = 0
    completion_tokens: int = 0
    time_to_first_token: float = 0.0
    tokens_per_second: float = 0.0
    finish_reason: FinishReason | None = None
    read_tokens: int = 0
    later_reasoning: str = ""
    reasoning_tokens: int = 0
    stopped_by: str = ""
    tokens: Sequence[TokenChoice] = ()
    drafted_tokens: int = 0
    accepted_tokens: int = 0
    draft_gain: float = 1.0


class ChatSession:
    """One conversation with a model.

    `answer` gets the messages from the caller; `stream` keeps them in the session; `complete` continues a text.

    Attributes:
        messages: the turns of `stream`, as `{"role": …, "content": …}`; may be changed between answers.
        system_prompt: the system message that `stream` puts first; None leaves it to the chat template.
        chat_format: stop strings and replacements for answers.
        last_answer: the final state of the latest answer, even if it was cancelled.
    """

    def __init__(
        self,
        model: Model,
        tokenizer: ChatTokenizer,
        system_prompt: str | None = None,
        chat_format: ChatFormat = CHECKPOINTS_OWN,
    ) -> None:
        self.messages: list[Message] = []
        self.system_prompt = system_prompt
        self.chat_format = chat_format
        self.last_answer: Answer | None = None
        self._model = model
        self._tokenizer = tokenizer
        self._cache = model.new_cache()
        self._detokenizer: StreamingDetokenizer | None = None  # of the latest answer

    def reset(self) -> None:
        """Clears the conversation."""
        self.messages = []
        self._cache.reset()

    def make_private(self) -> None:
        """From now on, nothing that this conversation reads is kept on the disk. Caches without blocks keep nothing."""
        make: Callable[[], None] | None = getattr(self._cache, "make_private", None)
        if make is not None:
            make()

    def use_adapters(self, weights: Sequence[float]) -> None:
        """From now on, so much of each of the model's adapters is added; see `PagedCache.use_adapters`.

        Caches without blocks have no adapters.
        """
        use: Callable[[Sequence[float]], None] | None = getattr(self._cache, "use_adapters", None)
        if use is not None:
            use(weights)

    def stream(self, text: str, *, images: Sequence[bytes] = (), **generation: Any) -> Generator[Answer, None, None]:
        """Sends a message and yields the answer after every token; both are added to `messages`.

        Closing the iterator stops the answer; `messages` keeps the part that was generated.

        Args:
            text: the user's message.
            images: files with pictures, which stand before the text.
            generation: see `answer`.

        Raises:
            UserError: the message alone does not fit into the context, or as for `answer`.
        """
        parts = [*({"type": "image", "image": image} for image in images), {"type": "text", "text": text}]
        system = [] if self.system_prompt is None else [{"role": "system", "content": self.system_prompt}]
        asked = [*self.messages, {"role": "user", "content": parts if images else text}]
        with closing(self.answer([*system, *asked], **generation)) as answers:
            for answer in answers:
                if answer.completion_tokens or answer.finish_reason:
                    self.messages = [*asked, {"role": "assistant", "content": answer.text}]
                yield answer

    def answer(
        self,
        messages: Sequence[Message],
        generation: Generation | None = None,
        *,
        template_options: TemplateOptions = NO_OPTIONS,
        room: int | None = None,
        **options: Any,
    ) -> Generator[Answer, None, None]:
        """Yields the answer to a conversation after every token. Does not change `messages`.

        Closing the iterator stops the answer. Before the prompt is read, and after each chunk of it, an answer without
        new text is yielded, so that prefill can be stopped too.

        Args:
            messages: the conversation. It ends with a message of the user or a tool, or with an answer that is to be
                continued. A content may be a list of parts: `{"type": "text", "text": …}` and, with the bytes of a
                file, `{"type": "image", "image": …}`.
            template_options: variables for the chat template, such as `enable_thinking` or `tools`; see
                `llm_chatbot.engine.text.prompt.template_variables`.
            generation: how the answer is generated; None: as the `options` say.
            room: how many tokens of the context the answer needs; a prompt that leaves fewer is refused. None: the
                oldest turns are left out of a prompt that leaves too few.
            options: the attributes of `Generation`.

        Raises:
            ContextLengthError: the prompt does not leave the `room`.
            UserError: the last message alone does not fit into the context, or the chat template fails.
            ValueError: an option is out of range.
        """
        started, generation = time.perf_counter(), generation or Generation(**options)
        answer_prefix, continued_ids, text = "", [], ""
        if messages[-1]["role"] == "assistant":
            messages, text = messages[:-1], messages[-1]["content"] or ""
            empty = prompt_ids(self._tokenizer, NOTHING_ASKED, template_options)
            answer_prefix = begun_answer(self._tokenizer, empty)
            continued_ids = self._continued_ids(text, answer_prefix)
        messages = self._with_pictures(messages)
        limit = self._prompt_limit(len(continued_ids), generation.max_new_tokens) if room is None else None
        prompt, dropped = fitting_prompt(self._tokenizer, messages, limit, template_options)
        if not continued_ids:
            answer_prefix = begun_answer(self._tokenizer, prompt)

        detokenizer = StreamingDetokenizer(
            self._tokenizer, self.chat_format, answer_prefix, continued_ids, generation.stop
        )
        if detokenizer.has_channels and continued_ids:
            text = detokenizer.text
        answer = Answer(text, len(prompt), 0, dropped, len(continued_ids))
        show: Callable[[Sequence[Any]], None] | None = getattr(self._cache, "show", None)
        if show is not None:
            show(pictures_in(messages))
        yield from self._generate([*prompt, *continued_ids], answer, detokenizer, generation, started, room)

    def _with_pictures(self, messages: Sequence[Message]) -> Sequence[Message]:
        """The messages with each picture prepared for the model.

        Raises:
            UserError: the model reads none, or one is damaged.
        """
        if not has_pictures(messages):
            return messages
        if (images := self._model.images) is None:
            raise UserError("prompt.reads_no_pictures")
        return images.prepared(messages)

    def complete(
        self,
        prompt: str | Sequence[int],
        generation: Generation | None = None,
        *,
        room: int | None = None,
        **options: Any,
    ) -> Generator[Answer, None, None]:
        """Yields what follows a text after every token, like `answer`, but without a chat format.

        Nothing in a text becomes a control token. Does not change `messages`.

        Args:
            prompt: the text, or its token ids as they are to be read. The answers do not contain it, unless
                `generation` says so.
            generation, room, options: as for `answer`.

        Raises:
            ContextLengthError: the prompt does not leave the `room`.
            UserError: there is no text, it does not fit into the context, or an id is none of the model's.
            ValueError: an option is out of range.
        """
        started, generation = time.perf_counter(), generation or Generation(**options)
        if isinstance(prompt, str):
            ids = completion_ids(self._tokenizer, prompt)
        else:
            check_ids(self._tokenizer, ids := list(prompt))
        if not ids:
            raise UserError("prompt.empty")
        limit = self._prompt_limit(0, generation.max_new_tokens) if room is None else None
        if limit is not None and len(ids) > limit:
            raise too_long(len(ids), limit)
        start = self._shown_prompt(prompt) if generation.echo else ""
        detokenizer = StreamingDetokenizer(
            self._tokenizer, None, start, stop=generation.stop, after=ids[-DETOKENIZER_CONTEXT:]
        )
        yield from self._generate(ids, Answer("", len(ids), 0), detokenizer, generation, started, room)

    def _shown_prompt(self, prompt: str | Sequence[int]) -> str:
        """A prompt as the text that an answer repeats, without special tokens."""
        backend = self._tokenizer.backend_tokenizer
        return prompt if isinstance(prompt, str) else backend.decode(list(prompt), skip_special_tokens=True)

    def _generate(
        self,
        ids: Sequence[int],
        answer: Answer,
        detokenizer: StreamingDetokenizer,
        generation: Generation,
        started: float,
        room: int | None,
    ) -> Generator[Answer, None, None]:
        """Yields `answer` as it grows with what follows `ids`: the prompt, and the answer's tokens in `detokenizer`."""
        check_ids(self._tokenizer, generation.logit_bias)
        constraints = self._constraints(generation, detokenizer, ids)
        token_limit = self._token_limit(len(ids), generation.max_new_tokens, room)
        num_continued, count = answer.completion_tokens, 0
        choices: list[TokenChoice] = []
        with self._model.in_use(self._cache):
            # 1. Prefill: the tokens that are not cached. The last token is always fed, for its logits.
            cached = self._keep_prefix(ids, generation)
            answer = replace(answer, cached_tokens=min(cached, answer.prompt_tokens), tokens=choices)
            for read, logits in self._prefill(ids, cached, generation, choices):  # noqa: B007, used below
                yield replace(answer, read_tokens=min(cached + read, answer.prompt_tokens))
            assert logits is not None

            # 2. Decode. From the first token on, a cancelled answer is kept.
            self._detokenizer = detokenizer
            stop_ids = self._model.stop_ids | generation.end_ids
            sampling = generation.without(stop_ids) if generation.ignore_eos else generation
            exact = generation.top_logprobs is not None
            decoded = decode(self._cache, logits, sampling, stop_ids, generation.seed, constraints, exact)
            with closing(decoded) as stream:
                for count, (token, logits) in enumerate(islice(stream, token_limit), start=1):
                    if count == 1:
                        first = time.perf_counter()
                        answer = replace(answer, read_tokens=answer.prompt_tokens, time_to_first_token=first - started)
                    if (top := generation.top_logprobs) is not None:
                        backend = self._tokenizer.backend_tokenizer
                        offset = len(detokenizer.start) + detokenizer.num_characters
                        choices.append(token_choice(backend, token, logits, top, offset))
                    detokenizer.add_token(token)
                    if detokenizer.stopped:
                        break
                    answer = self._grown(
                        answer,
                        detokenizer,
                        num_continued + count,
                        tokens_per_second=(count - 1) / (time.perf_counter() - first),
                        reasoning_tokens=answer.reasoning_tokens + detokenizer.is_reasoning,
                    )
                    self.last_answer = replace(answer, finish_reason="cancelled")  # unless the caller continues
                    yield answer

        # 3. The end: show the text that was held back.
        detokenizer.finalize()
        reason: FinishReason = "length" if count == token_limit and not detokenizer.stopped else "stop"
        self.last_answer = self._grown(
            answer, detokenizer, num_continued + count, finish_reason=reason, stopped_by=detokenizer.stopped_by
        )
        yield self.last_answer

    def _keep_prefix(self, ids: Sequence[int], generation: Generation) -> int:
        """Makes the cache a prefix of all ids but the last, and returns its length."""
        cached = self._cache.trim_to_prefix(ids[:-1])
        if generation.echo and generation.top_logprobs is not None:
            self._cache.truncate(0)  # what is cached has no logits any more
            return 0
        return cached

    def _grown(
        self, answer: Answer, detokenizer: StreamingDetokenizer, completion_tokens: int, **changes: Any
    ) -> Answer:
        """The answer with what there is of it by now, and with other changes."""
        drafts = getattr(self._cache, "draft_figures", None) or DraftFigures()
        return replace(
            answer,
            text=detokenizer.text,
            later_reasoning=detokenizer.later_reasoning,
            completion_tokens=completion_tokens,
            drafted_tokens=drafts.drafted,
            accepted_tokens=drafts.accepted,
            draft_gain=drafts.gain,
            **changes,
        )

    def _prefill(
        self, ids: Sequence[int], cached: int, generation: Generation, choices: list[TokenChoice]
    ) -> Generator[tuple[int, np.ndarray | None], None, None]:
        """As `prefill`. The tokens of a prompt that is repeated are noted in `choices`, if probabilities are wanted."""
        if not generation.echo or generation.top_logprobs is None:
            yield from prefill(self._cache, ids[cached:], self._model.pace)
            return
        backend, shown = self._tokenizer.backend_tokenizer, StreamingDetokenizer(self._tokenizer, None)
        choices.append(first_choice(backend, ids[0]))
        shown.add_token(ids[0])
        yield 0, None
        for read, logits in prefill_all(self._cache, ids):
            following = ids[read - len(logits) + 1 : read + 1]
            for token, row in zip(following, logits, strict=False):  # none follows the last token
                choices.append(token_choice(backend, token, row, generation.top_logprobs, shown.num_characters))
                shown.add_token(token)
            yield read, logits[-1]

    def _token_limit(self, num_prompt_tokens: int, max_new_tokens: int | None, room: int | None) -> int | None:
        """The maximum number of new tokens; None: there is none.

        Raises:
            ContextLengthError: the context does not have the `room` that the answer needs.
        """
        context_length = self._model.context_length
        if context_length is None:
            return max_new_tokens
        left = context_length - num_prompt_tokens
        if room is not None and left < room:
            raise ContextLengthError(num_prompt_tokens, room, context_length)
        return left if max_new_tokens is None else min(max_new_tokens, left)

    def _constraints(
        self, generation: Generation, detokenizer: StreamingDetokenizer, ids: Sequence[int]
    ) -> list[TokenConstraint]:
        """The limits on the answer's tokens; the end of its reasoning has the last word."""
        budget = self._thinking_budget(generation, detokenizer)
        constraints: list[TokenConstraint] = [] if budget is None else [budget]
        if generation.constraint is not None:
            begins_freely = detokenizer.ids or detokenizer.has_channels  # the grammar says how channels begin
            opening = [] if begins_freely else reasoning_opening(self._tokenizer, ids)

            def is_reasoning() -> bool:
                return detokenizer.is_reasoning or (budget is not None and budget.is_closing)

            constraints.insert(0, AfterReasoning(generation.constraint, is_reasoning, opening))
        if (dry := generation.dry) is not None and dry.multiplier and dry.last_n:
            spoken = [id for id in ids if id >= 0]
            constraints.insert(0, DryPenalty(dry, spoken, token_breakers(self._tokenizer, dry.breakers)))
        return constraints

    def _thinking_budget(self, generation: Generation, detokenizer: StreamingDetokenizer) -> ThinkingBudget | None:
        if generation.thinking_budget is None:
            return None
        end = reasoning_closing(self._tokenizer)
        if detokenizer.has_channels:
            end = END if generation.constraint else "".join(map("".join, FINAL_BEGUN))
        ids = self._tokenizer(end, add_special_tokens=False)["input_ids"]
        return ThinkingBudget(generation.thinking_budget, len(detokenizer.ids), ids, lambda: detokenizer.is_reasoning)

    def _continued_ids(self, text: str, answer_prefix: str) -> list[int]:
        """The tokens of an answer that is to be continued, after the `answer_prefix` that the prompt contains.

        If this session generated the answer, its original tokens are used: tokenizing the text may give others.
        """
        latest = self._detokenizer
        if latest is not None and (latest.text, latest.start) == (text, answer_prefix) and not latest.stopped:
            return list(latest.ids)
        return answer_ids(self._tokenizer, text.removeprefix(answer_prefix))

    def _prompt_limit(self, num_continued: int, max_new_tokens: int | None) -> int | None:
        """The maximum length of a prompt, which leaves up to a quarter of the context for the answer; None: no limit.

        `num_continued` is the length of the answer that is to be continued.
        """
        if self._model.context_length is None:
            return None
        left = self._model.context_length - num_continued
        return left - min(max_new_tokens or left, left // 4)
