from lesson.front_end import REMOTE, shows_pages

import pytest


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    for name in ("JPY_SESSION_NAME", *REMOTE):
        monkeypatch.delenv(name, raising=False)


def test_a_page_is_shown_in_jupyterlab_on_this_machine_only(monkeypatch):
    assert not shows_pages()
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ann/llm-chatbot.ipynb")
    assert shows_pages()
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    assert not shows_pages()
