from pathlib import Path

import pytest

from llm_chatbot.sources import hub_notes
from llm_chatbot.sources.hub_notes import note_files, noted_files


def test_each_revision_of_a_repository_keeps_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub_notes, "cache_folder", lambda: tmp_path)
    for commit, sizes in (("1a", {"config.json": 1}), ("2b", {"config.json": 2, "a.safetensors": 3})):
        note_files("some/model", commit, sizes)
    assert noted_files("some/model", "1a") == {"config.json": 1}
    assert noted_files("some/model", "2b") == {"config.json": 2, "a.safetensors": 3}
    assert noted_files("some/model", "3c") == noted_files("other/model", "1a") == {}
    for path in tmp_path.rglob("*.json"):
        path.write_text("[]", encoding="utf-8")
    assert noted_files("some/model", "1a") == {}
