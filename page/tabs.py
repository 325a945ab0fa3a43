"""What the server keeps for each open browser tab, in memory only: a conversation, and the answer in progress."""

import threading
import uuid
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from config import ModelConfig, get_model_config
from model_folder import converted_folder
from ov_llm_model import Answer, ChatSession, OVChatModel, load_model
from page.view import Message, message_of

from transformers import AutoTokenizer, PreTrainedTokenizerFast


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that is ready to chat, with what the page needs to know of it.

    Attributes:
        model: what `load_model` returned.
        tokenizer: of the same folder.
        config: the catalogue's row, for the system prompt and the example questions.
        title: how the page calls it.
    """

    model: OVChatModel
    tokenizer: PreTrainedTokenizerFast
    config: ModelConfig
    title: str

    def new_session(self) -> ChatSession:
        return ChatSession(self.model, self.tokenizer, chat_format=self.config.chat_format)


def title_of(name: str, precision: str, device: str) -> str:
    return f"{name} · {precision} · {device}"


def open_model(name: str, precision: str, device: str, root: Path) -> LoadedModel:
    """Loads a model that was converted under `root`, with its tokenizer.

    Raises:
        UserError: no such model, precision or device, or it was not converted yet.
    """
    config = get_model_config(name)
    folder = converted_folder(name, precision, root)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    return LoadedModel(load_model(folder, device), tokenizer, config, title_of(name, precision, device))


class ModelPool:
    """Loaded models by their titles. One that no tab uses any more is freed.

    Args:
        root: where the converted models are.
        loaded: the one that is there already.
    """

    def __init__(self, root: Path, loaded: LoadedModel) -> None:
        self.root = root
        self._models = WeakValueDictionary({loaded.title: loaded})
        self._loading = threading.Lock()  # one at a time: each may need most of the memory

    def get(self, name: str, precision: str, device: str) -> LoadedModel:
        """The model, loaded where no tab has it already. Raises like `open_model`."""
        title = title_of(name, precision, device)
        with self._loading:
            loaded = self._models.get(title) or open_model(name, precision, device, self.root)
            self._models[title] = loaded
            return loaded


class Tab:
    """One browser tab: its model and its conversation. One answer at a time.

    A question goes through three steps: `ask` accepts it, `begin` and `reply` answer it, `end` admits the next.

    Attributes:
        model: what answers from the next message on.
        id: of the conversation, for the browser that keeps it.
        messages: the conversation; the last one is the answer in progress while there is one.
        answer: the latest one, for its figures.
    """

    def __init__(self, model: LoadedModel) -> None:
        self.model = model
        self.open(None, [])
        self._session_model: LoadedModel | None = None
        self._idle = threading.Condition()
        self._busy = self._waiting = self._stopping = False

    def open(self, id: str | None, messages: list[Message]) -> None:
        """Goes to another conversation; None is a new one."""
        self.id = id or uuid.uuid4().hex
        self.messages = self._before = messages
        self.answer: Answer | None = None
        self._session: ChatSession | None = None  # a new one answers as if nothing had been read before

    @property
    def busy(self) -> bool:
        """Whether a question was accepted whose answer has not ended."""
        return self._busy

    @property
    def waiting(self) -> bool:
        """Whether a question was accepted that nobody answers yet."""
        return self._waiting

    def ask(self, change: Callable[[list[Message]], list[Message]]) -> bool:
        """Accepts the conversation as `change` makes it: its last message is to be answered, or continued.

        Returns:
            False where an answer is running that nobody has stopped. One that is being stopped is waited for.
        """
        with self._idle:
            if self._busy and not self._stopping:
                return False
            self._idle.wait_for(lambda: not self._busy)
            self._before, self.messages = self.messages, change(self.messages)
            self._busy, self._waiting, self._stopping = True, True, False
            return True

    def begin(self) -> bool:
        """Whether there is a question that was accepted and that nobody answers yet; from now on the caller does."""
        with self._idle:
            waiting, self._waiting = self._waiting, False
            return waiting

    def give_up(self) -> str:
        """Goes back to the conversation before the question; returns the question's text if it was a new one."""
        asked, self.messages = self.messages, self._before
        new = asked[len(self.messages) :]
        return new[0]["content"] if new else ""

    def end(self) -> None:
        """The answer is over: the next question can be accepted."""
        with self._idle:
            self._busy = self._stopping = False
            self._idle.notify_all()

    def stop(self) -> None:
        """Ends the answer in progress with its next token."""
        with self._idle:
            self._stopping = self._busy

    def leave(self) -> str | None:
        """Gives up a question that nobody answers yet, and returns its text; None where there is none."""
        if not self.begin():
            return None
        text = self.give_up()
        self.end()
        return text

    def interrupt(self) -> None:
        """Ends the answer in progress and returns when it is over. A question that still waits is given up."""
        self.leave()
        self.stop()
        with self._idle:
            self._idle.wait_for(lambda: not self._busy)

    def reply(self, system_prompt: str | None, **generation: Any) -> Generator[Answer, None, None]:
        """Answers the question that `begin` took over; `messages` holds what there is of the answer.

        Args:
            system_prompt: put before the conversation; None leaves that to the chat template.
            generation: what `ChatSession.answer` takes.

        Raises:
            UserError, RuntimeError: as `ChatSession.answer`; the latter is the runtime's.
        """
        if self._session is None or self._session_model is not self.model:
            self._session, self._session_model = self.model.new_session(), self.model
        session, asked = self._session, self.messages
        *earlier, last = asked
        continued = last["role"] == "assistant"
        system = [{"role": "system", "content": system_prompt}] if system_prompt is not None else []
        plain = [{"role": message["role"], "content": message["content"]} for message in asked]
        with closing(session.answer([*system, *plain], **generation)) as stream:
            for answer in stream:
                if self._stopping and answer.finish_reason is None:
                    answer = replace(answer, finish_reason="cancelled")
                self.answer = answer
                if answer.completion_tokens or answer.finish_reason == "stop":
                    reply = message_of(answer)
                    self.messages = [*earlier, reply] if continued else [*asked, reply]
                yield answer
                if answer.finish_reason is not None:
                    return

    def release(self) -> None:
        """Gives back the memory of the model's session, when the tab was closed."""
        self.stop()
        self._session = None
