"""A collection is what its files are, whatever happens to them and to the process that reads them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from transformers import BertModel

from llm_chatbot.encoder.loading import load_encoder
from llm_chatbot.errors import UserError
from llm_chatbot.knowledge.collection import (
    Collection,
    all_collections,
    make_collection,
    named_collection,
    open_collection,
)
from llm_chatbot.knowledge.reading import FileReader
from llm_chatbot.knowledge.search import Searcher
from tests.document_files import pdf
from tests.encoder.small_encoders import write_bert


@pytest.fixture
def files(tmp_path: Path) -> Path:
    folder = tmp_path / "files"
    folder.mkdir()
    for name in ("apples", "pears", "plums"):
        (folder / f"{name}.md").write_text(f"# Fruit\n\nAll about {name}.", encoding="utf-8")
    return folder


@pytest.fixture
def collection(files: Path, tmp_path: Path) -> Collection:
    made = make_collection("Fruit", root=tmp_path / "knowledge")
    made.add([files])
    return made


@pytest.fixture(scope="module")
def reader():
    """One for several updates, which would close their own."""
    with FileReader() as opened:
        opened.close, close = lambda: None, opened.close  # type: ignore[method-assign]
        yield opened
        close()


def names(collection: Collection) -> dict[str, str | None]:
    """The files, each with the key of its error."""
    documents = collection.index.documents()
    return {Path(one.path).name: None if one.error is None else one.error.key for one in documents}


def found(collection: Collection, question: str) -> list[str]:
    searcher = Searcher(load_encoder)
    return [Path(one.place.path).name for one in searcher.search([collection], question) if one.fits]


def test_new_changed_and_deleted_files_are_seen(collection: Collection, files: Path, reader: FileReader):
    assert [progress.done for progress in collection.update(reader=reader)] == [1, 2, 3]
    assert found(collection, "pears") == ["pears.md"]
    (files / "pears.md").write_text("Now about quinces.", encoding="utf-8")
    (files / "apples.md").unlink()
    (files / "new.txt").write_text("And cherries.", encoding="utf-8")
    list(collection.update(reader=reader))
    assert names(collection) == {"new.txt": None, "pears.md": None, "plums.md": None}
    assert [found(collection, word) for word in ("pears", "apples", "quinces", "cherries")] == [
        [],
        [],
        ["pears.md"],
        ["new.txt"],
    ]


def test_a_file_that_is_as_it_was_is_not_read_again(collection: Collection, files: Path, reader: FileReader):
    list(collection.update(reader=reader))
    before = collection.index.generation()
    os.utime(files / "pears.md", ns=(1, 1))  # its time, and not its content

    class NoReader(FileReader):
        def read(self, path: Path):
            raise AssertionError(path)

    assert len(list(collection.update(reader=NoReader()))) == 3
    assert collection.index.generation() == before


def test_what_cannot_be_read_is_named_and_the_others_go_on(collection: Collection, files: Path, reader: FileReader):
    (files / "bad.pdf").write_bytes(b"no")
    (files / "a.pdf").write_bytes(pdf("Good page"))
    (files / "photo.jpg").write_bytes(b"\xff\xd8")
    (files / ".hidden.md").write_text("hidden", encoding="utf-8")
    (files / "node_modules").mkdir()
    (files / "node_modules" / "x.js").write_text("x", encoding="utf-8")
    errors = {progress.name: progress.error for progress in collection.update(reader=reader) if progress.error}
    assert list(errors) == ["bad.pdf"] and "bad.pdf" in str(errors["bad.pdf"])
    assert names(collection)["bad.pdf"] == "knowledge.file_damaged" and names(collection)["a.pdf"] is None
    assert len(names(collection)) == 5
    (files / "bad.pdf").write_bytes(pdf("Mended"))
    list(collection.update(reader=reader))
    assert set(names(collection).values()) == {None}


UPDATE = """
import os, sys
from pathlib import Path
from llm_chatbot.knowledge.collection import Collection
for progress in Collection(Path(sys.argv[1])).update():
    if progress.done == int(sys.argv[2]):
        os._exit(9)  # as a kill: nothing is closed
"""


def update_elsewhere(collection: Collection, ends_after: int = -1) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-c", UPDATE, str(collection.folder), str(ends_after)])


def test_an_update_that_was_killed_goes_on_where_it_was(collection: Collection, reader: FileReader):
    assert update_elsewhere(collection, ends_after=2).wait() == 9
    assert len(names(collection)) == 2
    first = {document.path: document.id for document in collection.index.documents()}
    list(collection.update(reader=reader))
    ids = {document.path: document.id for document in collection.index.documents()}
    assert len(ids) == 3 and first.items() <= ids.items()  # those two were not read again


def test_two_processes_at_a_time_leave_one_of_each(collection: Collection, files: Path):
    for number in range(12):
        (files / f"{number}.txt").write_text(f"Number {number} of them.", encoding="utf-8")
    both = [update_elsewhere(collection) for _ in range(2)]
    assert [process.wait() for process in both] == [0, 0]
    assert len(names(collection)) == 15 and collection.index.counts() == (15, 15)
    matches = collection.index.matches('"them"', 50)
    assert len(matches) == 12 and len(collection.index.places([id for id, _ in matches])) == 12


def test_a_folder_that_is_not_there_keeps_its_texts_and_a_file_does_not(collection: Collection, files: Path, reader):
    alone = files.parent / "alone.txt"
    alone.write_text("Alone.", encoding="utf-8")
    collection.add([alone])
    list(collection.update(reader=reader))
    alone.unlink()
    files.rename(files.with_name("moved"))  # as a disk that is not connected
    list(collection.update(reader=reader))
    assert set(names(collection)) == {"apples.md", "pears.md", "plums.md"}
    collection.remove(files)
    list(collection.update(reader=reader))
    assert names(collection) == {}


def test_an_uploaded_file_is_the_collections_own(collection: Collection, reader: FileReader):
    path = collection.upload("note.txt")
    path.write_text("A note.", encoding="utf-8")
    list(collection.update(reader=reader))
    assert "note.txt" in names(collection)
    collection.remove(path)
    list(collection.update(reader=reader))
    assert "note.txt" not in names(collection) and not path.exists()
    for name in ("", "../x", "a/b", ".x", "c:x", "a\0"):
        with pytest.raises(UserError):
            collection.upload(name)


def test_vectors_are_those_of_the_passages_and_an_encoder_bounds_these(files: Path, tmp_path: Path, reader: FileReader):
    write_bert(tmp_path / "encoder", BertModel)
    encoder = load_encoder(str(tmp_path / "encoder"))
    (files / "long.txt").write_text("the dog is eating food . " * 60, encoding="utf-8")
    made = make_collection("Vectors", str(tmp_path / "encoder"), tmp_path / "knowledge")
    made.add([files])
    list(made.update(encoder, reader))
    ids, vectors = made.index.vectors(encoder.dimensions)
    places = made.index.places(ids.tolist())
    texts = [f"{places[id].passage.heading}\n{places[id].text}" for id in ids.tolist()]
    assert len(ids) == made.index.counts()[1] > 10
    assert all(
        len(tokens.ids) <= encoder.max_tokens for tokens in encoder.tokenize([one.text for one in places.values()])
    )
    assert abs(vectors - encoder.embed(texts)).max() < 1e-3
    best = Searcher(load_encoder).search([made], "the dog is eating food .")
    assert best[0].place.path.endswith("long.txt") and best[0].cosine is not None


def test_collections_have_names_that_are_theirs_alone(tmp_path: Path):
    root = tmp_path / "knowledge"
    assert all_collections(root) == []
    made = [make_collection(name, root=root) for name in (" B  b ", "a")]
    assert [one.name for one in all_collections(root)] == ["a", "B b"]
    assert named_collection("a", root).id == made[1].id == open_collection(made[1].id, root).id
    for wrong in ("a", "", " ", "x" * 81):
        with pytest.raises(UserError):
            make_collection(wrong, root=root)
    with pytest.raises(UserError, match="a, B b"):
        named_collection("c", root)
    made[1].delete()
    with pytest.raises(UserError):
        open_collection(made[1].id, root)
    with pytest.raises(UserError):
        open_collection("..", root)
    assert [one.name for one in all_collections(root)] == ["B b"]


def test_a_damaged_index_is_one_sentence(collection: Collection, tmp_path: Path):
    collection.index.path.write_bytes(b"no database" * 1000)
    with pytest.raises(UserError) as caught:
        open_collection(collection.id, tmp_path / "knowledge")
    assert caught.value.key == "knowledge.index_damaged"
    assert all_collections(tmp_path / "knowledge") == []
