"""The models in memory, shared by all who ask, and freed when nobody has used one for a while."""

import gc
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from llm_chatbot.answering.grammar import GrammarCompiler
from llm_chatbot.answering.model_files import model_files
from llm_chatbot.answering.question import ModelKey, Question
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.engine import loading
from llm_chatbot.engine.files import ModelFiles
from llm_chatbot.engine.session import ChatSession, Model
from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.engine.vision.reader import ImageReader
from llm_chatbot.errors import UserError
from llm_chatbot.folder.place import AS_IN_FILE
from llm_chatbot.folder.served import served_name
from llm_chatbot.machine.memory import return_freed_memory

# Conversations whose sessions are kept, and with them what they have read, where the cache is not a shared pool.
KEPT_SESSIONS = 32

LONGEST_LOOK = 1.0  # seconds between two looks for idle models


class LoadedModel:
    """A model that is ready to chat, with its tokenizer, its sessions and what else is known of it.

    Its memory can be freed while nobody uses it; then it is loaded again when it is next needed.

    Args:
        model: compiled for its device; None: it is loaded when it is first needed.
        tokenizer: from the same folder.
        config: the row of the catalogue, for the chat format, the system prompt and the example questions.
        name: as in the catalogue.
        precision, device: what it was converted to and runs on; empty where `name` says all there is to say.
        reopen: loads the model again; None: its memory is never freed.
        label: the precision for people to read, where it has another name than `precision`.
        context_length: what it is trained for, for a model that is not loaded yet.
        files: what it is loaded from, for a model that is not loaded yet.

    Attributes:
        is_remote: whether another server answers, to which the conversation is sent.
        load_seconds: how long its latest loading took; None: it was loaded elsewhere, or not yet.
        tokens_per_second: of its latest answer that was long enough to tell; None: there was none yet.
        keep_alive: seconds after its last use for which it stays in memory, infinity for as long as there is room;
            None: as long as all models do.
    """

    is_remote = False
    load_seconds: float | None = None
    tokens_per_second: float | None = None

    def __init__(
        self,
        model: Model | None,
        tokenizer: ChatTokenizer,
        config: ModelConfig,
        name: str,
        precision: str = "",
        device: str = "",
        reopen: Callable[[], Model] | None = None,
        label: str = "",
        context_length: int | None = None,
        files: ModelFiles | None = None,
    ) -> None:
        self.tokenizer, self.config, self.files = tokenizer, config, files
        self.name, self.precision, self.device = name, precision, device
        self.label = label or precision
        self.context_length = model.context_length if model else context_length
        self._model: Model | None = model
        self._reopen = reopen
        self._sessions: OrderedDict[tuple[str, tuple[float, ...]], ChatSession] = OrderedDict()
        self._users = 0
        self._opening = False
        self._picture_tokens = 0
        self.keep_alive: float | None = None
        self._used = time.monotonic()
        self._lock = threading.RLock()

    @property
    def model(self) -> Model:
        """The model, loaded again if its memory was freed; raises like `open_loaded_model` then."""
        with self._lock:
            if self._model is None:
                self._model = self._opened()
                self.context_length = self._model.context_length
            self._used = time.monotonic()
            return self._model

    def _opened(self) -> Model:
        assert self._reopen is not None
        self._opening, started = True, time.monotonic()
        try:
            model = self._reopen()
        finally:
            self._opening = False
        self.load_seconds = time.monotonic() - started
        return model

    @property
    def is_loading(self) -> bool:
        """Whether it is being loaded just now."""
        return self._opening

    @property
    def is_loaded(self) -> bool:
        """Whether it is in memory."""
        return self._model is not None

    @property
    def images(self) -> ImageReader | None:
        """Prepares pictures for it; None: it reads none, or not on its device."""
        if self._model is not None:
            return self._model.images
        return None if self.files is None or self.device.upper() != "CPU" else self.files.images

    @property
    def reads_pictures(self) -> bool:
        """Whether pictures may be sent to it."""
        return self.images is not None

    @property
    def picture_tokens(self) -> int:
        """About how many tokens a large picture takes of the context; 0: it reads none."""
        if not self._picture_tokens and self.images is not None:
            self._picture_tokens = self.images.most_tokens()
        return self._picture_tokens

    @property
    def last_used(self) -> float:
        """When it was asked for or answered last, in seconds of `time.monotonic`."""
        return self._used

    @property
    def key(self) -> ModelKey:
        """Tells loaded models apart."""
        return self.name, self.precision, self.device

    @property
    def served_name(self) -> str:
        """The name by which requests of the API call it."""
        return served_name(self.name, self.config)

    @property
    def title(self) -> str:
        """The model's name on the page."""
        return title_of(self.name, self.label, self.device)

    @cached_property
    def grammars(self) -> GrammarCompiler:
        """Compiles what an answer has to match for this model's tokens."""
        return GrammarCompiler(self.tokenizer, self.model.stop_ids)

    def new_session(self) -> ChatSession:
        return ChatSession(self.model, self.tokenizer, chat_format=self.config.chat_format)

    @contextmanager
    def session(self, question: Question) -> Iterator[ChatSession]:
        """A session for an answer, while the block runs; the model is not freed meanwhile.

        Where the question keeps its session, it is the one that answered last in its conversation. Otherwise the
        session gives back what it holds at the end; full blocks stay shared until their space is needed.
        """
        conversation = question.conversation, question.adapter_weights
        with self._lock:
            known = self._sessions.pop(conversation, None) if question.keeps_session else None
            session = known or self.new_session()
            if question.is_private:
                session.make_private()
            if question.adapter_weights and known is None:
                session.use_adapters(question.adapter_weights)
            self._users += 1
        try:
            yield session
        finally:
            if not question.keeps_session:
                session.reset()
            with self._lock:
                self._users -= 1
                self._used = time.monotonic()
                if question.keeps_session:
                    self._sessions[conversation] = session
                while len(self._sessions) > KEPT_SESSIONS:
                    self._sessions.popitem(last=False)

    def free(self, idle: float) -> bool:
        """Frees the model's memory, and what sessions have read, unless it was used in the last `idle` seconds.

        Returns:
            Whether it did.
        """
        with self._lock:
            if self._model is None or self._reopen is None or self._users or time.monotonic() - self._used < idle:
                return False
            self._model = None
            self._sessions.clear()
        gc.collect()
        return_freed_memory()
        return True


def title_of(name: str, *details: str) -> str:
    """A model's name and details on one line, for people to read."""
    return " · ".join(filter(None, (name, *details)))


def open_loaded_model(
    name: str,
    precision: str,
    device: str,
    root: Path,
    may_be_file: bool = True,
    mmproj: Path | bool = True,
    **memory: Any,
) -> LoadedModel:
    """Loads a model with its tokenizer.

    Args:
        name, precision, root, may_be_file, mmproj: see `model_files`.
        memory: where keys and values are, and the draft model; see `llm_chatbot.engine.loading.open_model`.

    Raises:
        UserError: there is no such device, or what `model_files` raises.
    """
    config, files = get_model_config(name), model_files(name, precision, root, may_be_file, mmproj)

    def reopen() -> Model:
        return loading.open_model(model_files(name, precision, root, may_be_file, mmproj), device, **memory)

    started = time.monotonic()
    model = loading.open_model(files, device, **memory)
    loaded = LoadedModel(model, files.tokenizer, config, name, precision, device, reopen, files.label)
    loaded.load_seconds = time.monotonic() - started
    return loaded


class IdleWatch:
    """Frees the memory of models that nobody has used for a while.

    Args:
        models: returns those that there are.
        idle: seconds for models that have no `keep_alive` of their own; None: never.
    """

    def __init__(self, models: Callable[[], Sequence[LoadedModel]], idle: float | None) -> None:
        self._models = models
        self._closed = threading.Event()
        threading.Thread(target=self._watch, args=(idle,), daemon=True, name="idle models").start()

    def close(self) -> None:
        """Ends the watch."""
        self._closed.set()

    def _watch(self, idle: float | None) -> None:
        while not self._closed.wait(LONGEST_LOOK if idle is None else min(idle / 4, LONGEST_LOOK)):
            self._free_now(idle)

    def _free_now(self, idle: float | None) -> None:
        for loaded in self._models():  # in a method of its own, so that no reference outlives it
            seconds = idle if loaded.keep_alive is None else loaded.keep_alive
            if seconds is not None:
                loaded.free(seconds)


class ModelPool:
    """Shares loaded models between conversations; beside the page's own, it keeps the one that was used last.

    Args:
        root: the folder of the converted models; None: the loaded model is the only one.
        loaded: a model that is loaded already.
        idle: seconds after which the memory of a model that nobody uses is freed; None: never.
        memory: for each model, see `open_loaded_model`.
    """

    def __init__(self, root: Path | None, loaded: LoadedModel, idle: float | None = None, **memory: Any) -> None:
        self.root = root
        self.own = self._latest = loaded
        self._memory = memory
        self._models = WeakValueDictionary({loaded.key: loaded})
        self._loading = threading.Lock()  # one at a time: each may need most of the memory
        self._watch = IdleWatch(self.known, idle)

    def get(self, key: ModelKey | None = None) -> LoadedModel:
        """Returns the model with this key, and loads it if it isn't there or its memory was freed.

        Args:
            key: None: the page's own.

        Raises:
            UserError: there is no such model, see `open_loaded_model`.
        """
        loaded = self._find(key)
        loaded.model  # noqa: B018, loads it again where its memory was freed
        return loaded

    def _find(self, key: ModelKey | None) -> LoadedModel:
        if key is None or key == self.own.key:
            return self.own
        if self.root is None:
            raise UserError("page.one_model")
        # Whoever asks for the page's own file on another device gets it; no other file is opened for a browser.
        may_be_file = self.own.precision == AS_IN_FILE and key[0] == self.own.name
        with self._loading:
            loaded = self._models.get(key) or open_loaded_model(*key, self.root, may_be_file, **self._memory)
            self._models[key] = self._latest = loaded
            return loaded

    def known(self) -> list[LoadedModel]:
        """The models that were loaded and are still referred to; their memory may have been freed."""
        return list(self._models.values())

    def close(self) -> None:
        """Ends the watch over idle models."""
        self._watch.close()
