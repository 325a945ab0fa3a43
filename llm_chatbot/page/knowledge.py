"""The collections of the page: made, filled, brought up to date in a thread of their own, and read."""

import logging
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from llm_chatbot.catalogue.encoders import get_encoder_config
from llm_chatbot.encoder.encoder import Encoder
from llm_chatbot.encoder.loading import load_cross_encoder, load_encoder
from llm_chatbot.errors import UserError
from llm_chatbot.knowledge.collection import Collection, all_collections, make_collection, open_collection
from llm_chatbot.knowledge.search import Searcher
from llm_chatbot.texts import Text

logger = logging.getLogger(__name__)

SHOWN_ERRORS = 50  # of a collection's files


def load_fast_encoder(name: str) -> Encoder:
    return load_encoder(name, exact=False)


class PageKnowledge:
    """
    Args:
        takes_folders: whether paths of this machine may be typed: by its owner alone.
        root: of all collections; None: the user's own.
        reranker: name of a cross-encoder that puts the best passages into their order; None: there is none.

    Attributes:
        searcher: finds passages for the answers.
    """

    def __init__(self, takes_folders: bool, root: Path | None = None, reranker: str | None = None) -> None:
        self.takes_folders, self.root = takes_folders, root
        self.searcher = Searcher(load_fast_encoder, partial(load_cross_encoder, reranker) if reranker else None)
        self._updates: dict[str, _Update] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Ends what is being indexed; it goes on where it was when it is next asked for."""
        with self._lock:
            for update in self._updates.values():
                update.ending = True

    def collections(self) -> list[dict[str, Any]]:
        """All collections for the browser, each with its files' errors and how far its update is."""
        return [self._described(collection) for collection in all_collections(self.root)]

    def make(self, name: str, encoder: str) -> str:
        """Makes a collection, and returns its id.

        Raises:
            UserError: see `make_collection`; or there is no such encoder.
        """
        if encoder:
            get_encoder_config(encoder)
        return make_collection(name, encoder, self.root).id

    def add_path(self, id: str, path: str) -> None:
        """Adds a file or folder of this machine, and brings the collection up to date.

        Raises:
            UserError: it is not there, or paths are not for whoever asks.
        """
        if not self.takes_folders:
            raise UserError("knowledge.uploads_only")
        self._open(id).add([Path(path.strip()).expanduser()])
        self.update(id)

    def upload(self, id: str, name: str, content: bytes) -> None:
        """Keeps an uploaded file; `update` reads it.

        Raises:
            UserError: the name is none, or the file can't be written.
        """
        path = self._open(id).upload(name)
        try:
            path.write_bytes(content)
        except OSError as error:
            raise UserError("knowledge.not_written", path=path, reason=error.strerror or error) from error

    def update(self, id: str) -> None:
        """Begins to bring a collection up to date, unless that goes on already."""
        collection = self._open(id)
        with self._lock:
            running = self._updates.get(id)
            if running is None or not running.ask_again():
                self._updates[id] = _Update(collection, self.searcher.encoder)

    def delete(self, id: str) -> None:
        """Deletes a collection, after its update has ended."""
        with self._lock:
            update = self._updates.pop(id, None)
        if update is not None:
            update.stop()
        self._open(id).delete()

    def document(self, id: str, document: int) -> dict[str, Any]:
        """The name and text of a file.

        Raises:
            UserError: it is gone.
        """
        found = self._open(id).index.text(document)
        if found is None:
            raise UserError("knowledge.document_gone")
        path, text = found
        return {"name": Path(path).name, "text": text}

    def _open(self, id: str) -> Collection:
        return open_collection(id, self.root)

    def _described(self, collection: Collection) -> dict[str, Any]:
        documents = collection.index.documents()
        failed = [one.error.as_json() for one in documents if one.error is not None]
        with self._lock:
            update = self._updates.get(collection.id)
        return {
            "id": collection.id,
            "name": collection.name,
            "encoder": collection.encoder,
            "documents": len(documents) - len(failed),
            "passages": sum(one.count for one in documents if one.error is None),
            "errors": failed[:SHOWN_ERRORS],
            "update": update.as_json() if update else None,
        }


class _Update:
    """A thread that brings a collection up to date.

    Attributes:
        ending: it is to end after its file.
    """

    def __init__(self, collection: Collection, encoder: Callable[[str], Encoder | None]) -> None:
        self._collection, self._encoder = collection, encoder
        self.ending = False
        self._again, self._is_running = True, True
        self._lock = threading.Lock()
        self._done, self._total, self._name = 0, 0, ""
        self._error: Text | None = None
        self._thread = threading.Thread(target=self._run, name="knowledge", daemon=True)
        self._thread.start()

    def ask_again(self) -> bool:
        """Has the files looked at once more, as some were added; False if it has ended."""
        with self._lock:
            self._again = self._is_running
            return self._is_running

    def _goes_on(self) -> bool:
        with self._lock:
            self._is_running = self._again and not self.ending
            self._again = False
            return self._is_running

    def stop(self) -> None:
        self.ending = True
        self._thread.join()

    def as_json(self) -> dict[str, Any]:
        error = self._error.as_json() if self._error else None
        return {
            "running": self._is_running,
            "done": self._done,
            "total": self._total,
            "name": self._name,
            "error": error,
        }

    def _run(self) -> None:
        try:
            encoder = self._encoder(self._collection.encoder)
            while self._goes_on():
                for progress in self._collection.update(encoder):
                    self._done, self._total, self._name = progress.done, progress.total, progress.name
                    if self.ending:
                        break
        except UserError as error:
            self._error = error
        except Exception as error:  # a bug of ours: the page says so, and the log says where
            logger.exception("A collection could not be brought up to date.")
            self._error = Text("failed", reason=str(error) or type(error).__name__)
        finally:
            self._is_running = False
