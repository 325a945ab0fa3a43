"""Collections: files and folders whose texts are found together.

A collection is a folder in the user's data, with the index and the files that were uploaded to it.
"""

import hashlib
import os
import shutil
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import numpy as np
from platformdirs import user_data_path

from llm_chatbot.encoder.encoder import Encoder
from llm_chatbot.errors import UserError
from llm_chatbot.knowledge.index import FileState, Index, IndexedFile
from llm_chatbot.knowledge.readers.file_text import FileText
from llm_chatbot.knowledge.readers.read import KNOWN_SUFFIXES
from llm_chatbot.knowledge.reading import FileReader
from llm_chatbot.knowledge.splitting import PASSAGE_TOKENS, Passage, split
from llm_chatbot.knowledge.tokens import estimate_tokens

INDEX, UPLOADS = "index.sqlite", "files"
MAX_NAME = 80  # characters
VARIABLE = "LLM_CHATBOT_KNOWLEDGE"

UNREAD_FOLDERS = {"node_modules", "__pycache__"}  # folders; hidden ones too


@dataclass(frozen=True)
class UpdateProgress:
    """How far a collection's update is.

    Attributes:
        done, total: files.
        name: of the file that was read last.
        error: why that has no passages.
    """

    done: int
    total: int
    name: str
    error: UserError | None = None


def knowledge_folder() -> Path:
    """`LLM_CHATBOT_KNOWLEDGE`, or the place that the operating system has for a user's data."""
    return Path(os.environ.get(VARIABLE) or user_data_path("llm-chatbot", appauthor=False) / "knowledge")


class Collection:
    """
    Args:
        folder: of the collection.

    Attributes:
        id: name of the folder.
        index: of its texts.

    Raises:
        UserError: see `Index`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.id = folder, folder.name
        self.index = Index(folder / INDEX)

    @property
    def name(self) -> str:
        return self.index.setting("name")

    @property
    def encoder(self) -> str:
        """Name of the encoder whose vectors it has; empty: it is searched by words alone."""
        return self.index.setting("encoder")

    def add(self, paths: Iterable[Path]) -> None:
        """Adds files and folders, which the next update reads.

        Raises:
            UserError: one is not there.
        """
        absolute = [path.absolute() for path in paths]
        for path in absolute:
            if not path.exists():
                raise UserError("knowledge.no_path", path=path)
        self.index.add_sources(absolute)

    def upload(self, name: str) -> Path:
        """Where an uploaded file is to be put; one with the same name is replaced.

        Raises:
            UserError: it is no name of a file.
        """
        if not name or name != Path(name).name or name.startswith(".") or set(name) & set('/\\:*?"<>|\0'):
            raise UserError("knowledge.file_name", name=repr(name))
        uploads = self.folder / UPLOADS
        uploads.mkdir(exist_ok=True)
        self.index.add_sources([uploads.absolute()])
        return uploads / name

    def remove(self, path: Path) -> None:
        """Takes a file or folder out of the collection at the next update; an uploaded file is deleted."""
        if path.parent == (self.folder / UPLOADS).absolute():
            path.unlink(missing_ok=True)
        self.index.remove_source(path)

    def delete(self) -> None:
        """Deletes the collection with its uploaded files; the files that it was made of stay.

        Raises:
            UserError: a file of it can't be deleted.
        """
        try:
            shutil.rmtree(self.folder)
        except OSError as error:
            raise UserError("knowledge.not_deleted", path=self.folder, reason=error.strerror or error) from error

    def update(self, encoder: Encoder | None = None, reader: FileReader | None = None) -> Iterator[UpdateProgress]:
        """Makes the index what the files are now: new and changed ones are read, those that are gone are deleted.

        Each file is kept when it is done, so an update that was ended goes on where it was. A folder that is not there
        keeps its texts: its disk may come back.

        Args:
            encoder: the collection's own, for vectors; None: there are none.

        Yields:
            After each file that was looked at.

        Raises:
            UserError: the index can't be written.
        """
        known = {document.path: document for document in self.index.documents()}
        sources = self.index.sources()
        wanted = list(dict.fromkeys(path for source in sources for path in files_of(source)))
        absent = [source for source in sources if not source.exists()]
        there = {str(path) for path in wanted}
        gone = [path for path in known if path not in there and not any(one in Path(path).parents for one in absent)]
        self.index.delete(gone)
        with reader or FileReader() as opened:
            for done, path in enumerate(wanted, 1):
                error = self._update_file(path, known.get(str(path)), encoder, opened)
                yield UpdateProgress(done, len(wanted), path.name, error)

    def _update_file(
        self, path: Path, known: IndexedFile | None, encoder: Encoder | None, reader: FileReader
    ) -> UserError | None:
        state = FileState(0, 0, "")
        try:
            stat = path.stat()
            if known and (known.state.size, known.state.mtime) == (stat.st_size, stat.st_mtime_ns):
                return known.error
            state = FileState(stat.st_size, stat.st_mtime_ns, _digest(path))
            if known and known.state.digest == state.digest:
                self.index.touch(path, state)
                return known.error
            file_text = reader.read(path)
        except (OSError, UserError) as error:
            refused = error if isinstance(error, UserError) else unreadable(path, error)
            self.index.put(path, state, FileText(""), error=refused)
            return refused
        self._put(path, state, file_text, encoder)
        return None

    def _put(self, path: Path, state: FileState, file_text: FileText, encoder: Encoder | None) -> None:
        count, most = estimate_tokens, PASSAGE_TOKENS
        if encoder is not None:
            most = min(PASSAGE_TOKENS, encoder.max_tokens - 2)

            def count(texts: Sequence[str]) -> list[int]:
                return [len(tokens.ids) for tokens in encoder.tokenize(texts)]

        passages = split(file_text, count, most)
        vectors = None if encoder is None else embed_passages(encoder, file_text.text, passages)
        self.index.put(path, state, file_text, passages, vectors)


def embed_passages(encoder: Encoder, text: str, passages: Sequence[Passage]) -> np.ndarray:
    """The vectors of a text's passages with their headings, float32 [passages, dimensions]."""
    texts = [f"{passage.heading}\n{text[passage.start : passage.end]}" for passage in passages]
    return encoder.embed(texts, shorten=True)


def files_of(source: Path) -> Iterator[Path]:
    """The files of a folder that are read, without hidden ones; or the file itself."""
    if source.is_file():
        yield source
    for folder, folders, names in os.walk(source):
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in UNREAD_FOLDERS)
        for name in sorted(names):
            path = Path(folder, name)
            if not name.startswith(".") and path.suffix.lower() in KNOWN_SUFFIXES and path.is_file() and _is_utf8(name):
                yield path


def _is_utf8(name: str) -> bool:
    """Whether a file's name is text: SQLite takes no other."""
    return name.encode("utf-8", "replace").decode("utf-8") == name


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def unreadable(path: Path, error: OSError) -> UserError:
    return UserError("knowledge.file_unreadable", name=path.name, reason=error.strerror or str(error))


# All collections of a user


def make_collection(name: str, encoder: str = "", root: Path | None = None) -> Collection:
    """Makes an empty collection.

    Args:
        encoder: name of the encoder for its vectors; empty: it is searched by words alone.
        root: of all collections; None: `knowledge_folder`.

    Raises:
        UserError: the name is empty, too long, or another collection has it; the folder can't be written.
    """
    root, name = root or knowledge_folder(), " ".join(name.split())
    if not 0 < len(name) <= MAX_NAME:
        raise UserError("knowledge.name", limit=MAX_NAME)
    if any(collection.name == name for collection in all_collections(root)):
        raise UserError("knowledge.same_name", name=name)
    folder = root / uuid4().hex[:12]
    try:
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.mkdir(mode=0o700)
    except OSError as error:
        raise UserError("knowledge.not_written", path=folder, reason=error.strerror or error) from error
    collection = Collection(folder)
    collection.index.change_settings(name=name, encoder=encoder, created=str(int(time.time())))
    return collection


def all_collections(root: Path | None = None) -> list[Collection]:
    """All collections by their names; one whose index is damaged is left out."""
    found = []
    for path in sorted((root or knowledge_folder()).glob(f"*/{INDEX}")):
        try:
            collection = Collection(path.parent)
            found.append((collection.name.lower(), collection))
        except UserError:
            continue
    return [collection for name, collection in sorted(found, key=lambda one: one[0]) if name]


def open_collection(id: str, root: Path | None = None) -> Collection:
    """A collection by its id.

    Raises:
        UserError: there is none.
    """
    folder = (root or knowledge_folder()) / id
    if not id.isalnum() or not (folder / INDEX).is_file():
        raise UserError("knowledge.gone")
    return Collection(folder)


def named_collection(name: str, root: Path | None = None) -> Collection:
    """A collection by its name.

    Raises:
        UserError: there is none.
    """
    collections = all_collections(root)
    for collection in collections:
        if collection.name == name:
            return collection
    known = ", ".join(collection.name for collection in collections) or "–"
    raise UserError("knowledge.no_collection", name=repr(name), known=known)
