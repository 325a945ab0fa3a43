from pathlib import Path

import pytest
from starlette.requests import Request

from llm_chatbot.api.errors import APIError
from llm_chatbot.api.keys import KEYS_VARIABLE, KeyCheck, read_keys
from llm_chatbot.errors import UserError
from tests import coroutines


def request(authorization: str | None) -> Request:
    headers = [] if authorization is None else [(b"authorization", authorization.encode("latin-1"))]
    return Request({"type": "http", "headers": headers})


def test_keys_come_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv(KEYS_VARIABLE, raising=False)
    assert read_keys() == []
    monkeypatch.setenv(KEYS_VARIABLE, "one, two")
    assert read_keys() == ["one", "two"]
    path = tmp_path / "keys"
    path.write_text("three\n\nfour\n", encoding="utf-8")
    assert read_keys(path) == ["three", "four"]


@pytest.mark.parametrize("content", ["", "\n \n", "with space", "schlüssel", None])
def test_a_file_without_usable_keys_is_refused(tmp_path: Path, content: str | None):
    path = tmp_path / "keys"
    if content is not None:
        path.write_text(content, encoding="utf-8")
    with pytest.raises(UserError):
        read_keys(path)


@pytest.mark.parametrize("authorization", [None, "", "Bearer", "Bearer wrong", "Bearer on", "Basic one", "Bearer ö"])
def test_a_request_without_a_known_key_is_refused(authorization: str | None):
    with pytest.raises(APIError) as error:
        coroutines.run(KeyCheck(["one", "two"])(request(authorization)))
    assert error.value.status == 401


def test_every_key_lets_in_and_without_keys_everybody_may_ask():
    for key in ("one", "two"):
        coroutines.run(KeyCheck(["one", "two"])(request(f"bearer {key}")))
    coroutines.run(KeyCheck([])(request(None)))
