"""The models that the page has loaded."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from weakref import WeakValueDictionary

from config import ModelConfig, get_model_config
from engine import loading
from engine.session import ChatSession, Model
from engine.tokenizer import ChatTokenizer, FolderTokenizer
from model_folder import converted_folder

ModelKey = tuple[str, str, str]  # name, precision, device

# Conversations whose sessions are kept, and with them what they have read, where the cache is not a shared pool.
KEPT_SESSIONS = 32


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model that is ready to chat, with what the page needs to know about it.

    Attributes:
        model: compiled for its device.
        tokenizer: from the same folder.
        config: the row of the catalogue, for the chat format, the system prompt and the example questions.
        name: as in the catalogue.
        precision, device: what it was converted to and runs on; empty where `name` says all there is to say.
    """

    model: Model
    tokenizer: ChatTokenizer
    config: ModelConfig
    name: str
    precision: str = ""
    device: str = ""
    _sessions: OrderedDict[str, ChatSession] = field(default_factory=OrderedDict)

    @property
    def key(self) -> ModelKey:
        """What tells loaded models apart."""
        return self.name, self.precision, self.device

    @property
    def title(self) -> str:
        """The model's name on the page."""
        return title_of(*self.key)

    def new_session(self) -> ChatSession:
        return ChatSession(self.model, self.tokenizer, chat_format=self.config.chat_format)

    @contextmanager
    def session(self, conversation: str) -> Iterator[ChatSession]:
        """The session that answered last in a conversation, or a new one, while the block runs."""
        session = self._sessions.pop(conversation, None) or self.new_session()
        try:
            yield session
        finally:
            self._sessions[conversation] = session
            while len(self._sessions) > KEPT_SESSIONS:
                self._sessions.popitem(last=False)


def title_of(name: str, *details: str) -> str:
    """A model's name and details on one line, for people to read."""
    return " · ".join(filter(None, (name, *details)))


def open_model(name: str, precision: str, device: str, root: Path, kv_cache_gb: float | None = None) -> LoadedModel:
    """Loads a model that was converted under `root`, with its tokenizer.

    Args:
        kv_cache_gb: see `engine.model.ChatModel`.

    Raises:
        UserError: there is no such model, precision or device, or the model has not been converted yet.
    """
    config = get_model_config(name)
    folder = converted_folder(name, precision, root)
    model = loading.open_model(folder, device, kv_cache_gb=kv_cache_gb)
    return LoadedModel(model, FolderTokenizer(folder), config, name, precision, device)


class ModelPool:
    """Shares loaded models between conversations; beside the page's own, it keeps the one that was used last.

    Args:
        root: the folder of the converted models.
        loaded: a model that is loaded already.
        kv_cache_gb: for each model, see `engine.model.ChatModel`.
    """

    def __init__(self, root: Path, loaded: LoadedModel, kv_cache_gb: float | None = None) -> None:
        self.root = root
        self.own = self._latest = loaded
        self._kv_cache_gb = kv_cache_gb
        self._models = WeakValueDictionary({loaded.key: loaded})
        self._loading = threading.Lock()  # one at a time: each may need most of the memory

    def get(self, name: str, precision: str, device: str) -> LoadedModel:
        """Returns the model, and loads it if it isn't there. Raises like `open_model`."""
        key = (name, precision, device)
        if (own := self._models.get(key)) is self.own:
            return own
        with self._loading:
            loaded = self._models.get(key) or open_model(*key, self.root, self._kv_cache_gb)
            self._models[key] = self._latest = loaded
            return loaded
