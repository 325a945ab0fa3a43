"""A model as servers offer it: what they have to know of it, and its answers for an event loop."""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from llm_chatbot.answering.limits import MAX_TOKENS
from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.pending import PendingAnswer, changes_of
from llm_chatbot.answering.question import ModelKey, Question
from llm_chatbot.answering.service import Answering
from llm_chatbot.engine.files import ModelFiles
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.engine.session import Answer
from llm_chatbot.engine.text.control_tokens import plain_ids, well_formed
from llm_chatbot.engine.text.infill import InfillTokens, infill_tokens
from llm_chatbot.engine.text.pictures import row_token_of
from llm_chatbot.engine.text.prompt import completion_ids, conversation_ids, template_variables
from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.engine.vision.reader import ImageReader


@dataclass(frozen=True)
class WeightsFacts:
    """The facts about a model's weights.

    Attributes:
        architecture: as in its configuration's `model_type`.
        format: "gguf" for a file of blocks, "openvino" for a converted folder.
        precision: for people to read, such as INT4 or Q4_1.
        parameters: how many weights there are; None: unknown.
        size: of their file, in bytes.
        modified: when that file was written, in seconds since 1970.
    """

    architecture: str = ""
    format: str = ""
    precision: str = ""
    parameters: int | None = None
    size: int = 0
    modified: float = 0.0


@dataclass(frozen=True)
class ServedFacts:
    """The facts that a server needs of a model. They can be pickled.

    Attributes:
        name: what requests call it.
        max_tokens: the most tokens that one answer may have.
        context_length: of prompt and answer together, in tokens; None: no limit is known.
        chat_template: a text, or several by name; None: the model has none.
        variables: what its chat template reads besides the messages.
        weights: where its answers come from.
        is_loaded: whether it is in memory.
        expires: when it leaves the memory if nobody uses it before, in seconds since 1970; None: not of itself.
        infill: the tokens with which it fills in a text; None: it doesn't.
        special_tokens: the tokens that begin and end texts, by names such as "eos_token".
        reads_images: whether it reads pictures.
        parent: the name of the model that it is with an adapter; empty: it is one by itself.
    """

    name: str
    max_tokens: int
    context_length: int | None = None
    chat_template: Any = None
    variables: frozenset[str] = frozenset()
    weights: WeightsFacts = WeightsFacts()
    infill: InfillTokens | None = None
    is_loaded: bool = True
    expires: float | None = None
    special_tokens: Mapping[str, str] = field(default_factory=dict)
    reads_images: bool = False
    parent: str = ""


class ServedModel(Protocol):
    """Where answers come from: this process (`LocalModel`), or the replicas of a cluster (`cluster.backend`)."""

    async def facts(self) -> ServedFacts: ...

    def generate(self, question: Question) -> AsyncGenerator[Answer, None]:
        """Yields the answer so far, again and again; closing the generator ends the work.

        The part of an answer that the question begins is not repeated, and counts as prompt.

        Raises:
            UserError: the question can't be answered.
            QueueFullError: it can't be answered now.
        """
        ...

    async def prompt_ids(self, question: Question) -> Sequence[int]:
        """The ids of all that the model reads before its answer.

        Raises:
            UserError: the chat template doesn't take the messages.
        """
        ...

    async def encode(self, text: str, control_tokens: bool) -> Sequence[int]:
        """The ids of a text by itself.

        Args:
            text: any.
            control_tokens: whether a control token that is written in it is one.
        """
        ...

    async def decode(self, ids: Sequence[int]) -> str:
        """The text of all ids, control tokens included; ids that no token has are left out."""
        ...


class LocalModel:
    """A model in this process.

    Args:
        answering: generates the answers.
        loaded: the model.
        key: of the model in `answering`; None: its own.
        max_tokens: the most tokens that one answer may have.
        interval: the minimum seconds between two states of an answer that are handed on; 0 for no limit.
        adapter_name: of the adapter with which it answers; empty: none.
        adapter_weights: how much of each of the model's adapters that is.
    """

    def __init__(
        self,
        answering: Answering,
        loaded: LoadedModel,
        key: ModelKey | None = None,
        max_tokens: int = MAX_TOKENS,
        interval: float = 0.0,
        adapter_name: str = "",
        adapter_weights: tuple[float, ...] = (),
    ) -> None:
        self.answering, self._adapter_weights = answering, adapter_weights
        self._loaded, self._key, self._interval, self._tokenizer = loaded, key, interval, loaded.tokenizer
        template, variables = loaded.tokenizer.chat_template, frozenset(template_variables(loaded.tokenizer))
        name, length, weights = loaded.served_name, loaded.context_length, weights_facts(loaded)
        own_name, parent = (f"{name}:{adapter_name}", name) if adapter_name else (name, "")
        infill = infill_tokens(loaded.tokenizer.backend_tokenizer)
        special_tokens = {name: str(token) for name, token in loaded.tokenizer.special_tokens_map.items()}
        self._images = loaded.images
        self._facts = ServedFacts(
            *(own_name, max_tokens, length, template, variables, weights, infill),
            special_tokens=special_tokens,
            reads_images=self._images is not None,
            parent=parent,
        )

    async def facts(self) -> ServedFacts:
        loaded, expires = self._loaded, None
        if loaded.keep_alive is not None and loaded.keep_alive < math.inf:
            expires = time.time() + loaded.last_used + loaded.keep_alive - time.monotonic()
        length = loaded.context_length
        return replace(self._facts, context_length=length, is_loaded=loaded.is_loaded, expires=expires)

    @property
    def is_loading(self) -> bool:
        """Whether the model is being loaded."""
        return self._loaded.is_loading

    @property
    def is_loaded(self) -> bool:
        """Whether the model is in memory."""
        return self._loaded.is_loaded

    @property
    def load_seconds(self) -> float:
        """How long its latest loading took; 0 if it was never loaded."""
        return self._loaded.load_seconds or 0.0

    def keep_alive(self, seconds: float) -> None:
        """Lets the model stay in memory for so long after its last use."""
        self._loaded.keep_alive = seconds

    async def free(self) -> None:
        """Frees the model's memory, unless it answers or is never freed."""
        await asyncio.to_thread(self._loaded.free, 0)

    async def load(self) -> None:
        """Loads the model, if it isn't there.

        Raises:
            UserError: as for an answer.
        """
        await asyncio.to_thread(self.answering.load, self._key)

    @property
    def unfinished(self) -> int:
        """How many answers are generated by this model or wait for it."""
        return self.answering.count(self._key, self._adapter_weights)

    @property
    def waiting(self) -> int:
        """How many questions wait for it."""
        return self.answering.count(self._key, self._adapter_weights, only_waiting=True)

    async def generate(self, question: Question) -> AsyncGenerator[Answer, None]:
        pending = self.answering.ask(replace(question, model=self._key, adapter_weights=self._adapter_weights))
        try:
            async for answer in states(pending, self._interval):
                begun = pending.begun or answer
                yield replace(
                    answer,
                    text=answer.text[len(begun.text) :],
                    prompt_tokens=answer.prompt_tokens + begun.completion_tokens,
                    completion_tokens=answer.completion_tokens - begun.completion_tokens,
                )
        finally:
            self.answering.forget(question.id)

    async def prompt_ids(self, question: Question) -> Sequence[int]:
        return await asyncio.to_thread(question_ids, self._tokenizer, question, self._images)

    async def encode(self, text: str, control_tokens: bool) -> Sequence[int]:
        if control_tokens:
            return self._tokenizer(well_formed(text), add_special_tokens=False)["input_ids"]
        return await asyncio.to_thread(plain_ids, self._tokenizer, text)

    async def decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.decode(ids)


def weights_facts(loaded: LoadedModel) -> WeightsFacts:
    """The facts about the weights of a model on this machine; of another server's there are none.

    It is not loaded for that.
    """
    source: ModelFiles | ChatModel | None = loaded.files
    if source is None and loaded.is_loaded and isinstance(loaded.model, ChatModel):
        source = loaded.model
    if source is None:
        return WeightsFacts()
    file = source.weights_file
    format = "gguf" if file.suffix == ".gguf" else "openvino"
    stat = file.stat()
    parameters = loaded.config.parameters
    return WeightsFacts(source.config["model_type"], format, loaded.label, parameters, stat.st_size, stat.st_mtime)


def question_ids(tokenizer: ChatTokenizer, question: Question, images: ImageReader | None = None) -> list[int]:
    """The ids of all that a model reads before its answer to a question; for a picture's vectors those of its token.

    Raises:
        UserError: a picture is damaged, or the chat template doesn't take the messages.
    """
    if question.messages:
        messages = question.messages if images is None else images.prepared(question.messages)
        ids = conversation_ids(tokenizer, messages, question.template_options)
        token = None if images is None else row_token_of(tokenizer, images.processor.row_token)
        row = None if token is None else tokenizer.backend_tokenizer.token_to_id(token)
        return [row if row is not None and id < 0 else id for id in ids]
    if isinstance(question.prompt, str):
        return completion_ids(tokenizer, question.prompt)
    return list(question.prompt)


async def states(pending: PendingAnswer, interval: float = 0.0) -> AsyncGenerator[Answer, None]:
    """The latest states of an answer; those that came and went meanwhile are skipped.

    Raises:
        Exception: what the answer ended with.
    """
    version, latest = -1, None
    with changes_of([pending]) as changed:
        while pending.ended is None or version != pending.version:
            if version == pending.version:
                await changed.wait()
            changed.clear()
            version, answer, ended = pending.version, pending.answer, pending.ended is not None
            if answer is not latest and answer is not None:
                latest = answer
                yield answer
            if interval and not ended and answer is not None and answer.completion_tokens:
                await until_end(pending, changed, interval)
        if pending.error is not None:
            raise pending.error


async def until_end(pending: PendingAnswer, changed: asyncio.Event, seconds: float) -> None:
    """Waits so long, or until the answer ends."""
    end = asyncio.get_running_loop().time() + seconds
    while pending.ended is None and (left := end - asyncio.get_running_loop().time()) > 0:
        changed.clear()
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), left)
