"""Files are read in another process, which none of them can end for the others."""

import os
from pathlib import Path

import pytest

from llm_chatbot.errors import UserError
from llm_chatbot.knowledge.reading import FileReader
from tests.document_files import pdf


def test_a_process_reads_one_file_after_another(tmp_path: Path):
    (tmp_path / "a.txt").write_text("ä 東京", encoding="utf-8")
    (tmp_path / "b.pdf").write_bytes(pdf("Page"))
    (tmp_path / "c.pdf").write_bytes(b"no")
    with FileReader() as reader:
        assert reader.read(tmp_path / "a.txt").text == "ä 東京"
        assert reader.read(tmp_path / "b.pdf").parts[0].label == "1"
        for name, key in (("c.pdf", "file_damaged"), ("none.txt", "file_unreadable")):
            with pytest.raises(UserError) as caught:
                reader.read(tmp_path / name)
            assert caught.value.key == f"knowledge.{key}" and name in str(caught.value)
        assert reader.read(tmp_path / "a.txt").text == "ä 東京"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="a file that never ends is made otherwise on Windows")
def test_a_file_that_takes_too_long_is_left_and_the_next_one_read(tmp_path: Path):
    os.mkfifo(tmp_path / "never.txt")
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    with FileReader(seconds=1.5) as reader:
        with pytest.raises(UserError) as caught:
            reader.read(tmp_path / "never.txt")
        assert caught.value.key == "knowledge.file_too_slow"
        assert reader.read(tmp_path / "a.txt").text == "text"


def test_a_process_that_ended_is_one_sentence_and_the_next_file_is_read(tmp_path: Path):
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    with FileReader() as reader:
        reader.read(tmp_path / "a.txt")
        assert reader._process is not None
        reader._process.kill()
        reader._process.wait()
        with pytest.raises(UserError, match=r"a\.txt"):
            reader.read(tmp_path / "a.txt")
        assert reader.read(tmp_path / "a.txt").text == "text"
