from collections.abc import Callable

import pytest
from IPython.core.interactiveshell import InteractiveShell
from playwright.sync_api import Browser

from llm_chatbot.lesson.front_end import FRAME, REMOTE, notebook_language, shows_pages


@pytest.fixture(autouse=True)
def nowhere(monkeypatch):
    for name in ("JPY_SESSION_NAME", "LLM_CHATBOT_LANGUAGE", *REMOTE):
        monkeypatch.delenv(name, raising=False)


def test_a_page_is_shown_in_jupyterlab_on_this_machine_only(monkeypatch):
    assert not shows_pages()
    monkeypatch.setenv("JPY_SESSION_NAME", "/home/ann/llm-chatbot.ipynb")
    assert shows_pages()
    monkeypatch.setenv("JUPYTERHUB_USER", "ann")
    assert not shows_pages()


# JupyterLab's own page has these attributes; that it runs the scripts of an output was seen by hand.
@pytest.mark.parametrize(
    ("light", "theme"), [("data-jp-theme-light=false", "dark"), ("data-jp-theme-light=true", "light"), ("", None)]
)
def test_a_page_in_the_notebook_is_told_the_front_ends_theme(light: str, theme: str, browsers: Callable[..., Browser]):
    with browsers("chromium").new_page() as page:
        page.route("http://127.0.0.1:9/**", lambda route: route.fulfill(body="<p>The page</p>"))
        page.set_content(f"<body {light}>{FRAME.format(address='http://127.0.0.1:9/')}")
        page.frame_locator("iframe").get_by_text("The page").wait_for()
        assert page.frames[1].url == f"http://127.0.0.1:9/{f'?__theme={theme}' if theme else ''}"


@pytest.mark.parametrize(
    ("path", "language"),
    [
        ("/home/ann/llm-chatbot.ipynb", "en"),
        ("/home/ann/docs/llm-chatbot.ja.ipynb", "ja"),
        (r"C:\Users\ann.zh\docs\llm-chatbot.zh-Copy1.ipynb", "zh"),
        (r"C:\Users\ann.zh\llm-chatbot.ipynb", "en"),
        ("/home/ann/notes.jar.ipynb", "en"),
    ],
)
def test_a_notebooks_name_says_its_language(path: str, language: str, monkeypatch):
    monkeypatch.setenv("JPY_SESSION_NAME", path)
    assert notebook_language() == language
    monkeypatch.setenv("LLM_CHATBOT_LANGUAGE", "zh")
    assert notebook_language() == "zh"
    monkeypatch.setenv("LLM_CHATBOT_LANGUAGE", "de")
    assert notebook_language() == language


def test_vs_code_names_the_notebook_in_a_variable_of_the_kernel(monkeypatch):
    shell = InteractiveShell()
    shell.user_ns["__vsc_ipynb_file__"] = "/home/ann/docs/llm-chatbot.ja.ipynb"
    monkeypatch.setattr("llm_chatbot.lesson.front_end.get_ipython", lambda: shell)
    assert notebook_language() == "ja"
