from pathlib import Path

import pytest

from llm_chatbot.machine.cache import cache_folder, measured_once


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_the_cache_is_where_the_user_says(cache: Path):
    assert cache_folder() == cache


def test_each_key_is_measured_once(cache: Path):
    results = iter([1, 2, 3])
    found = [measured_once("some.json", key, lambda: next(results)) for key in ("a", "b", "a", "b")]
    assert found == [1, 2, 1, 2]


@pytest.mark.parametrize("content", [b"damaged", b"[]", b"\xff"])
def test_a_damaged_file_is_replaced(content: bytes, cache: Path):
    cache.mkdir()
    (cache / "some.json").write_bytes(content)
    assert [measured_once("some.json", "a", lambda: 1), measured_once("some.json", "a", lambda: 2)] == [1, 1]


def test_a_folder_that_cannot_be_written_to_costs_another_measurement(cache: Path, logged: pytest.LogCaptureFixture):
    cache.touch()
    assert [measured_once("some.json", "a", lambda: 1), measured_once("some.json", "a", lambda: 2)] == [1, 2]
    assert "measured again next time" in logged.text
