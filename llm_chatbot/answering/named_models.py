"""Models by the names that requests call them, each loaded when it is first asked for."""

import logging
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from llm_chatbot.answering.errors import NoRoomError
from llm_chatbot.answering.model_files import model_files
from llm_chatbot.answering.models import IdleWatch, LoadedModel
from llm_chatbot.answering.question import ModelKey
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.engine import loading
from llm_chatbot.engine.files import ModelFiles
from llm_chatbot.engine.model import trained_context
from llm_chatbot.folder.served import Source
from llm_chatbot.machine.memory import available_memory

logger = logging.getLogger(__name__)

# What a model takes before it was measured: its weights, and this share of them for what is computed.
SHARE_BESIDE_WEIGHTS = 0.2


class NamedModels:
    """The models of a server, which share this machine's memory.

    A model is loaded when it is first asked for. Where the memory isn't enough, those that no answer runs on are freed
    first, the one that was used longest ago before the others.

    Args:
        sources: by the names that requests call them.
        device: where they run.
        idle: seconds after which the memory of a model that nobody uses is freed; None: only when it is needed.
        mmproj: for each model, see `model_files`.
        options: for each model, see `llm_chatbot.engine.loading.open_model`.

    Attributes:
        models: by name.
    """

    def __init__(
        self,
        sources: Mapping[str, Source],
        device: str,
        idle: float | None = None,
        mmproj: Path | bool = True,
        **options: Any,
    ) -> None:
        """
        Raises:
            UserError: what `model_files` raises, or a draft model has other tokens than one of the models.
        """
        self._device, self._mmproj, self._options = device, mmproj, options
        self._needs: dict[str, int] = {}  # bytes
        self._loading = threading.Lock()  # one at a time: each may need most of the memory
        self.models = {name: self._not_loaded(name, source) for name, source in sources.items()}
        self._by_key = {loaded.key: loaded for loaded in self.models.values()}
        self._watch = IdleWatch(lambda: list(self.models.values()), idle)

    def _not_loaded(self, name: str, source: Source) -> LoadedModel:
        place = (source.model, source.precision, source.root)
        files = model_files(*place, mmproj=self._mmproj)
        if (draft := self._options.get("draft")) is not None:
            loading.check_vocabulary(files, draft)
        self._needs[name] = needed_memory(files)

        def load() -> Any:
            return loading.open_model(model_files(*place, mmproj=self._mmproj), self._device, **self._options)

        details = (get_model_config(source.model), name, source.precision, self._device, load, files.label)
        return LoadedModel(None, files.tokenizer, *details, trained_context(files.config), files)

    def get(self, key: ModelKey | None) -> LoadedModel:
        """The model with this key, in memory.

        Raises:
            NoRoomError: others that answer have the memory.
            UserError: it can't be loaded.
        """
        assert key is not None
        loaded = self._by_key[key]
        if not loaded.is_loaded:
            with self._loading:
                self._load(loaded)
        loaded.model  # noqa: B018, notes its use
        return loaded

    def _load(self, loaded: LoadedModel) -> None:
        if loaded.is_loaded:  # meanwhile
            return
        self._make_room(loaded)
        before = available_memory()
        loaded.model  # noqa: B018, loads it
        used = before - available_memory()
        logger.info("model=%s loaded, %.1f GB", loaded.name, used / 1e9)
        self._needs[loaded.name] = max(self._needs[loaded.name], used)

    def _make_room(self, wanted: LoadedModel) -> None:
        needed = self._needs[wanted.name]
        others = [loaded for loaded in self.models.values() if loaded.is_loaded and loaded is not wanted]
        for other in sorted(others, key=lambda loaded: loaded.last_used):
            if available_memory() >= needed:
                return
            if other.free(idle=0):
                logger.info("model=%s freed", other.name)
        if any(other.is_loaded for other in others) and (available := available_memory()) < needed:
            raise NoRoomError(wanted.name, needed, available)

    def close(self) -> None:
        """Ends the watch over idle models."""
        self._watch.close()


def needed_memory(files: ModelFiles) -> int:
    """An estimate of the memory that a model takes, in bytes, by the size of its weights."""
    return int(sum(path.stat().st_size for path in files.graph_files) * (1 + SHARE_BESIDE_WEIGHTS))
