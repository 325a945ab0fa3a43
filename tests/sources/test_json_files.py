from pathlib import Path

import pytest

from llm_chatbot.errors import UserError
from llm_chatbot.sources.json_files import read_checkpoint_json


def test_an_object_is_read(tmp_path: Path):
    (tmp_path / "a.json").write_text('{"é": 1}', encoding="utf-8")
    assert read_checkpoint_json(tmp_path / "a.json") == {"é": 1}


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"<html></html>"])
def test_a_file_without_an_object_is_damaged(content: bytes, tmp_path: Path):
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(UserError, match=r"a\.json is damaged; delete it and download the checkpoint again\.$"):
        read_checkpoint_json(tmp_path / "a.json")


def test_a_missing_file_is_named_with_the_remedy(tmp_path: Path):
    with pytest.raises(UserError, match=r"a\.json is missing; name a complete checkpoint or download"):
        read_checkpoint_json(tmp_path / "a.json")
