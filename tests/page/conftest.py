"""A page that is served, and browsers that visit it; shared by all tests of the page."""

from collections.abc import Iterator
from pathlib import Path

from config import DEFAULT_MODEL, get_model_config
from page import settings
from page.models import LoadedModel

import pytest
from browser import open_browser
from page_visit import TIMEOUT, Server, Visit
from playwright.sync_api import Browser, BrowserContext, Page, expect
from web_modules import open_modules


@pytest.fixture(scope="session")
def greedy() -> Iterator[None]:
    """Greedy decoding is the default, so that a question has one answer."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(settings, "TEMPERATURE", 0)
        monkeypatch.setattr(settings, "REPETITION_PENALTY", 1)
        yield


@pytest.fixture(scope="session")
def loaded(exact_model, tokenizer) -> LoadedModel:
    """The embedded model with exact hints: otherwise the runtime rounds a token by what else is in the call."""
    return LoadedModel(exact_model, tokenizer, get_model_config(DEFAULT_MODEL), DEFAULT_MODEL, "INT4", "CPU")


@pytest.fixture(scope="session")
def server(loaded: LoadedModel, models_root: Path, greedy: None) -> Iterator[Server]:
    server = Server(loaded, models_root)
    yield server
    server.stop()


@pytest.fixture
def own_server(loaded: LoadedModel, models_root: Path, greedy: None) -> Iterator[Server]:
    """A server that the test may stop."""
    server = Server(loaded, models_root)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=TIMEOUT)
    with open_browser() as browser:
        yield browser


@pytest.fixture(scope="session")
def modules(browser: Browser) -> Iterator[Page]:
    """A page on which the page's modules are called without being seen; each is a global variable."""
    names = "attachments", "differences", "get_model", "markdown", "parts", "presets", "search", "transfer"
    with open_modules(browser, *names) as page:
        yield page


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of its own: what it keeps is not seen by other tests."""
    with browser.new_context(
        viewport={"width": 1280, "height": 800}, permissions=["clipboard-read", "clipboard-write"]
    ) as context:
        context.set_default_timeout(TIMEOUT)
        yield context


@pytest.fixture
def visit(context: BrowserContext, server: Server) -> Visit:
    return Visit(context, server)
