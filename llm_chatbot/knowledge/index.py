"""A collection's index: one SQLite file with texts, passages, their words and their vectors.

Each document is written in one transaction, with all that belongs to it. So what a killed process had written stays
right, and several processes may write at a time.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm_chatbot.errors import UserError
from llm_chatbot.knowledge.readers.file_text import FilePart, FileText
from llm_chatbot.knowledge.splitting import Passage
from llm_chatbot.knowledge.terms import terms_of

VERSION = 1  # of the tables and of `terms_of`
WAIT_SECONDS = 60.0  # for another process that writes

TABLES = """
CREATE TABLE settings(name TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE sources(path TEXT PRIMARY KEY);
CREATE TABLE documents(
    id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, size INTEGER NOT NULL, mtime INTEGER NOT NULL,
    digest TEXT NOT NULL, text TEXT NOT NULL, error TEXT, count INTEGER NOT NULL, vectors BLOB
);
CREATE TABLE passages(
    id INTEGER PRIMARY KEY, document INTEGER NOT NULL, start INTEGER NOT NULL, end INTEGER NOT NULL,
    heading TEXT NOT NULL, part_kind TEXT NOT NULL, part_label TEXT NOT NULL,
    first_line INTEGER NOT NULL, last_line INTEGER NOT NULL
);
CREATE INDEX passages_of ON passages(document);
CREATE VIRTUAL TABLE words USING fts5(terms, content='', tokenize='porter unicode61 remove_diacritics 2');
"""


@dataclass(frozen=True)
class FileState:
    """A file as it was when it was read.

    Attributes:
        mtime: of its last change, in nanoseconds.
        digest: SHA-256.
    """

    size: int
    mtime: int
    digest: str


@dataclass(frozen=True)
class IndexedFile:
    """A file of a collection.

    Attributes:
        count: of its passages.
        error: why it has none.
    """

    id: int
    path: str
    state: FileState
    count: int
    error: UserError | None


@dataclass(frozen=True)
class PassagePlace:
    """Where a passage stands in its file.

    Attributes:
        document: id of the file.
        path: of the file.
        passage: its place and the headings above it.
        text: of the passage.
    """

    document: int
    path: str
    passage: Passage
    text: str


class Index:
    """
    Args:
        path: of the file, which is made if it is not there.

    Raises:
        UserError: the file is damaged, of another version, or can't be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._connected() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                self._make_tables(connection)
            elif version != VERSION:
                raise UserError("knowledge.other_version", path=path)

    @staticmethod
    def _make_tables(connection: sqlite3.Connection) -> None:
        connection.execute("PRAGMA journal_mode = WAL")
        with _writing(connection):
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:  # no other process was faster
                for statement in TABLES.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _connected(self) -> Iterator[sqlite3.Connection]:
        """A connection of its own for each use: they don't belong to a thread, and close a deleted file."""
        try:
            with closing(sqlite3.connect(self.path, timeout=WAIT_SECONDS, isolation_level=None)) as connection:
                yield connection
        except sqlite3.OperationalError as error:
            raise UserError("knowledge.not_written", path=self.path, reason=error) from error
        except sqlite3.DatabaseError as error:
            raise UserError("knowledge.index_damaged", path=self.path) from error

    # Settings and sources

    def setting(self, name: str) -> str:
        with self._connected() as connection:
            found = connection.execute("SELECT value FROM settings WHERE name = ?", (name,)).fetchone()
        return found[0] if found else ""

    def change_settings(self, **values: str) -> None:
        with self._connected() as connection, _writing(connection):
            connection.executemany("INSERT OR REPLACE INTO settings VALUES (?, ?)", values.items())

    def sources(self) -> list[Path]:
        """The files and folders that the collection is made of."""
        with self._connected() as connection:
            return [Path(path) for (path,) in connection.execute("SELECT path FROM sources ORDER BY path")]

    def add_sources(self, paths: Iterable[Path]) -> None:
        with self._connected() as connection, _writing(connection):
            connection.executemany("INSERT OR IGNORE INTO sources VALUES (?)", [(str(path),) for path in paths])

    def remove_source(self, path: Path) -> None:
        with self._connected() as connection, _writing(connection):
            connection.execute("DELETE FROM sources WHERE path = ?", (str(path),))

    # Documents

    def documents(self) -> list[IndexedFile]:
        query = "SELECT id, path, size, mtime, digest, count, error FROM documents ORDER BY path"
        with self._connected() as connection:
            return [_document(*row) for row in connection.execute(query)]

    def counts(self) -> tuple[int, int]:
        """How many files were read, and how many passages they have."""
        with self._connected() as connection:
            query = "SELECT count(*), coalesce(sum(count), 0) FROM documents WHERE error IS NULL"
            return connection.execute(query).fetchone()

    def text(self, document: int) -> tuple[str, str] | None:
        """The path and text of a document; None if it is gone."""
        with self._connected() as connection:
            return connection.execute("SELECT path, text FROM documents WHERE id = ?", (document,)).fetchone()

    def put(
        self,
        path: Path,
        state: FileState,
        file_text: FileText,
        passages: Sequence[Passage] = (),
        vectors: np.ndarray | None = None,
        error: UserError | None = None,
    ) -> None:
        """Writes a document in place of what was there under its path.

        Args:
            vectors: of the passages, float [passages, dimensions].
            error: why it has no passages.
        """
        said = None if error is None else json.dumps(error.as_json())
        packed = None if vectors is None else vectors.astype(np.float16).tobytes()
        values = (str(path), state.size, state.mtime, state.digest, file_text.text, said, len(passages), packed)
        names = "path, size, mtime, digest, text, error, count, vectors"
        with self._connected() as connection, _writing(connection):
            _delete(connection, str(path))
            query = f"INSERT INTO documents({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
            document = connection.execute(query, values).lastrowid
            for passage in passages:
                _insert(connection, document, file_text.text, passage)
            _note_change(connection)

    def touch(self, path: Path, state: FileState) -> None:
        """Notes that a file with another time has the same content."""
        with self._connected() as connection, _writing(connection):
            connection.execute("UPDATE documents SET mtime = ? WHERE path = ?", (state.mtime, str(path)))

    def delete(self, paths: Iterable[str]) -> None:
        for path in paths:
            with self._connected() as connection, _writing(connection):
                _delete(connection, path)
                _note_change(connection)

    # For the search

    def matches(self, expression: str, limit: int) -> list[tuple[int, float]]:
        """The passages that fit an expression of FTS5 best, with BM25's score, the larger the better."""
        query = "SELECT rowid, -bm25(words) FROM words WHERE words MATCH ? ORDER BY bm25(words), rowid LIMIT ?"
        with self._connected() as connection:
            return connection.execute(query, (expression, limit)).fetchall()

    def frequency(self, term: str) -> int:
        """How many passages have a term of `query_terms`."""
        with self._connected() as connection:
            return connection.execute("SELECT count(*) FROM words WHERE words MATCH ?", (term,)).fetchone()[0]

    def having(self, term: str, ids: Sequence[int]) -> set[int]:
        """Those of the passages that have a term."""
        marks = ",".join("?" * len(ids))
        query = f"SELECT rowid FROM words WHERE words MATCH ? AND rowid IN ({marks})"
        with self._connected() as connection:
            return {row[0] for row in connection.execute(query, (term, *ids))}

    def generation(self) -> str:
        """Another one after each change."""
        return self.setting("generation")

    def vectors(self, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
        """The ids of all passages with vectors, int64 [n], and these, float32 [n, dimensions]."""
        ids: list[int] = []
        parts: list[np.ndarray] = []
        with self._connected() as connection, _reading(connection):
            query = "SELECT id, vectors FROM documents WHERE vectors IS NOT NULL ORDER BY id"
            of_document: dict[int, list[int]] = {}
            for document, passage in connection.execute("SELECT document, id FROM passages ORDER BY id"):
                of_document.setdefault(document, []).append(passage)
            for document, packed in connection.execute(query):
                ids.extend(of_document.get(document, ()))
                parts.append(np.frombuffer(packed, np.float16).reshape(-1, dimensions))
        whole = np.concatenate(parts) if parts else np.empty((0, dimensions), np.float16)
        return np.array(ids, np.int64), whole.astype(np.float32)

    def places(self, ids: Sequence[int]) -> dict[int, PassagePlace]:
        """Passages by their ids, without those that are gone."""
        query = f"""
            SELECT passages.id, document, path, start, end, heading, part_kind, part_label, first_line, last_line,
                substr(text, start + 1, end - start)
            FROM passages JOIN documents ON documents.id = document WHERE passages.id IN ({",".join("?" * len(ids))})
        """
        with self._connected() as connection:
            return {row[0]: _place(*row[1:]) for row in connection.execute(query, list(ids))}


@contextmanager
def _writing(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")  # waits for another writer, where a later upgrade of the lock would fail
    with connection:
        yield


@contextmanager
def _reading(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN")
    with connection:
        yield


def _delete(connection: sqlite3.Connection, path: str) -> None:
    found = connection.execute("SELECT id, text FROM documents WHERE path = ?", (path,)).fetchone()
    if found is None:
        return
    document, text = found
    # A table without content is told what it had.
    query = "SELECT id, start, end, heading FROM passages WHERE document = ?"
    for id, start, end, heading in connection.execute(query, (document,)).fetchall():
        terms = terms_of(f"{heading}\n{text[start:end]}")
        connection.execute("INSERT INTO words(words, rowid, terms) VALUES ('delete', ?, ?)", (id, terms))
    connection.execute("DELETE FROM passages WHERE document = ?", (document,))
    connection.execute("DELETE FROM documents WHERE id = ?", (document,))


def _insert(connection: sqlite3.Connection, document: int | None, text: str, passage: Passage) -> None:
    part = passage.part
    values = (document, passage.start, passage.end, passage.heading, part.kind, part.label)
    names = "document, start, end, heading, part_kind, part_label, first_line, last_line"
    query = f"INSERT INTO passages({names}) VALUES (?, ?, ?, ?, ?, ?, ?, ?)"
    id = connection.execute(query, (*values, passage.first_line, passage.last_line)).lastrowid
    terms = terms_of(f"{passage.heading}\n{text[passage.start : passage.end]}")
    connection.execute("INSERT INTO words(rowid, terms) VALUES (?, ?)", (id, terms))


def _note_change(connection: sqlite3.Connection) -> None:
    query = """
        INSERT INTO settings VALUES ('generation', '1')
        ON CONFLICT(name) DO UPDATE SET value = CAST(value AS INTEGER) + 1
    """
    connection.execute(query)


def _document(id: int, path: str, size: int, mtime: int, digest: str, count: int, error: str | None) -> IndexedFile:
    said = None if error is None else UserError.from_json(json.loads(error))
    return IndexedFile(id, path, FileState(size, mtime, digest), count, said)


def _place(
    document: int,
    path: str,
    start: int,
    end: int,
    heading: str,
    kind: Any,
    label: str,
    first: int,
    last: int,
    text: str,
) -> PassagePlace:
    return PassagePlace(document, path, Passage(start, end, heading, FilePart(kind, label), first, last), text)
