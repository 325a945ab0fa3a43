import shutil
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from llm_chatbot.catalogue.rows import DEFAULT_MODEL, SUPPORTED_LLM_MODELS
from llm_chatbot.convert.facts.model_list import model_list
from llm_chatbot.folder.manifest import REQUIRED_FILES, write_manifest
from llm_chatbot.folder.place import model_folder
from tests.gguf.test_header import write_model
from tests.hub_server import Hub


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub) -> Path:
    """LM Studio's folder with a good file and a damaged one, on a machine with no other."""
    for name in ("OLLAMA_MODELS", "LLAMA_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    folder = tmp_path / ".lmstudio" / "models" / "pub" / "repo"
    folder.mkdir(parents=True)
    write_model(folder / "good.gguf")
    (folder / "bad.gguf").write_bytes((folder / "good.gguf").read_bytes()[:5000])
    (folder / "gone.gguf").symlink_to(folder / "nothing")
    return folder


def row(lines: list[str], start: str) -> str:
    (found,) = [line for line in lines if line.strip().startswith(start)]
    return found


def test_the_list_has_the_catalogue_what_is_converted_and_every_gguf_file(tmp_path: Path):
    folder = model_folder(DEFAULT_MODEL, "INT8", tmp_path)
    folder.mkdir(parents=True)
    for name in REQUIRED_FILES:
        (folder / name).touch()
    write_manifest(folder, name=DEFAULT_MODEL)
    lines = list(model_list(tmp_path))
    converted = lines.index(f"Converted, in {tmp_path.resolve()}:")
    assert [line.split()[0] for line in lines[1:converted]] == list(SUPPORTED_LLM_MODELS)
    assert lines[converted + 1].split() == [DEFAULT_MODEL, "INT8"]
    assert row(lines, "lmstudio:pub/repo/good.gguf").endswith("llama, Q8_0, 0.0 GB: fits")
    assert "not usable" in row(lines, "lmstudio:pub/repo/bad.gguf")
    assert "not usable" in row(lines, "lmstudio:pub/repo/gone.gguf")


def test_a_terminal_gets_no_commands_from_a_file(files: Path, tmp_path: Path):
    good = (files / "good.gguf").read_bytes()
    (files / "bad.gguf").write_bytes(good.replace(b"llama", b"\x1b[2J\n", 1))
    assert r"\x1b[2J\n, Q8_0" in row(list(model_list(tmp_path)), "lmstudio:pub/repo/bad.gguf")


def test_what_does_not_fit_says_what_is_lacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(psutil, "virtual_memory", lambda: SimpleNamespace(available=1000))
    assert row(list(model_list(tmp_path)), "lmstudio:pub/repo/good.gguf").endswith(
        "too large, only 0.0 GB of memory free"
    )
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    assert "of disk free and" in row(list(model_list(tmp_path / "new")), "lmstudio:pub/repo/good.gguf")


def test_an_empty_machine_has_a_list_too(files: Path, tmp_path: Path):
    shutil.rmtree(files)
    assert [line.strip() for line in model_list(tmp_path)].count("none") == 2


@pytest.mark.parametrize("value", [b"\xff\xfe\xff\xfe\xff", None], ids=["not UTF-8", "no string"])
def test_an_architecture_that_cannot_be_read_does_not_end_the_list(value: bytes | None, files: Path, tmp_path: Path):
    damaged = (files / "good.gguf").read_bytes()
    key = b"general.architecture"
    at = damaged.index(key) + len(key)
    size = int.from_bytes(damaged[at + 4 : at + 12], "little")
    assert damaged[at + 12 : at + 12 + size] == b"llama"
    text = value or b"llama"
    number = (8 if value else 9).to_bytes(4, "little")
    array = b"" if value else (0).to_bytes(4, "little")
    changed = number + array + size.to_bytes(8, "little") + text
    (files / "bad.gguf").write_bytes(damaged[:at] + changed + damaged[at + 12 + size :])
    lines = list(model_list(tmp_path))
    assert "not usable" in row(lines, "lmstudio:pub/repo/bad.gguf")
    assert "fits" in row(lines, "lmstudio:pub/repo/good.gguf")
