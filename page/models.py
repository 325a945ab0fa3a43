"""The models that the page has loaded."""

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import WeakValueDictionary

from config import ModelConfig, get_model_config
from engine import loading
from engine.session import ChatSession, Model
from engine.tokenizer import ChatTokenizer, FolderTokenizer
from model_folder import converted_folder


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

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells loaded models apart."""
        return self.name, self.precision, self.device

    @property
    def title(self) -> str:
        """The model's name on the page."""
        return title_of(*self.key)

    def new_session(self) -> ChatSession:
        return ChatSession(self.model, self.tokenizer, chat_format=self.config.chat_format)


def title_of(name: str, *details: str) -> str:
    """A model's name and details on one line, for people to read."""
    return " · ".join(filter(None, (name, *details)))


def open_model(name: str, precision: str, device: str, root: Path, **memory: Any) -> LoadedModel:
    """Loads a model that was converted under `root`, with its tokenizer.

    Args:
        memory: `kv_cache_gb` and `kv_cache_precision`, see `engine.loading.open_model`.

    Raises:
        UserError: there is no such model, precision or device, or the model has not been converted yet.
    """
    config = get_model_config(name)
    folder = converted_folder(name, precision, root)
    model = loading.open_model(folder, device, **memory)
    return LoadedModel(model, FolderTokenizer(folder), config, name, precision, device)


class ModelPool:
    """Shares loaded models between tabs and frees a model when no tab uses it.

    Args:
        root: the folder of the converted models.
        loaded: a model that is loaded already.
        memory: for each model, see `open_model`.
    """

    def __init__(self, root: Path, loaded: LoadedModel, **memory: Any) -> None:
        self.root = root
        self._memory = memory
        self._models = WeakValueDictionary({loaded.key: loaded})
        self._loading = threading.Lock()  # one at a time: each may need most of the memory

    def get(self, name: str, precision: str, device: str) -> LoadedModel:
        """Returns the model, and loads it if no tab has it. Raises like `open_model`."""
        key = (name, precision, device)
        with self._loading:
            loaded = self._models.get(key) or open_model(*key, self.root, **self._memory)
            self._models[key] = loaded
            return loaded
