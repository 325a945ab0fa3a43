"""`llm-chatbot knowledge`, as a user types it."""

from pathlib import Path

import pytest

from llm_chatbot.commands.main import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_CHATBOT_KNOWLEDGE", str(tmp_path / "knowledge"))
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "press.md").write_text("# Press\n\nThe press is oiled once a year.", encoding="utf-8")
    (tmp_path / "notes" / "bad.pdf").write_bytes(b"no")
    return tmp_path / "notes"


def test_a_collection_is_made_searched_listed_and_deleted(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["knowledge", "add", "cider", "--encoder", "none", str(folder)]) == 0
    said = capsys.readouterr()
    assert said.out == "cider\t1 files\t1 passages\twords alone\n" and "bad.pdf is damaged" in said.err
    assert main(["knowledge", "search", "cider", "When", "is", "--limit", "1", "the", "press", "oiled?"]) == 0
    found = capsys.readouterr().out
    assert found.startswith(f"[1] {folder / 'press.md'}, lines 1–3, Press\n") and "once a year" in found
    assert main(["knowledge", "list"]) == 0 and "cider" in capsys.readouterr().out
    assert main(["knowledge", "list", "cider"]) == 0
    assert [line.split("\t")[1][:7] for line in capsys.readouterr().out.splitlines()] == ["bad.pdf", "1"]
    (folder / "press.md").unlink()
    assert main(["knowledge", "add", "cider"]) == 0 and "0 files" in capsys.readouterr().out
    assert main(["knowledge", "delete", "cider"]) == 0
    assert main(["knowledge", "list"]) == 0 and capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["search", "cider", "football"], "Nothing in cider fits"),
        (["search", "wine", "press"], "no collection 'wine'"),
        (["delete", "wine"], "cider"),
        (["add", "cider", "/no/such/path"], "neither a file nor a folder"),
        (["add", "cider", "--encoder", "all-minilm-l6-v2"], "the encoder none"),
        (["add", "other", "--encoder", "no such encoder"], "no such encoder"),
        (["add"], "arguments"),
        ([], "arguments"),
    ],
)
def test_a_mistake_is_one_sentence(arguments: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["knowledge", "add", "cider", str(folder), "--encoder", "none"]) == 0
    capsys.readouterr()
    assert main(["knowledge", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error and len(error.strip().splitlines()) == 1
