"""A page that is served, and browsers that visit it; shared by all tests of the page."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, ViewportSize, expect

from llm_chatbot.answering import options as settings
from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from tests.browser import permissions
from tests.page_visit import TIMEOUT, Server, Visit
from tests.web_modules import open_modules

# Which words a small model makes a title of is no matter of most tests.
NO_TITLES = "localStorage.getItem('llm-chatbot.titles') ?? localStorage.setItem('llm-chatbot.titles', 'off')"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "browser" in metafunc.fixturenames:
        both = metafunc.definition.get_closest_marker("firefox")
        names = (
            ["firefox"] if metafunc.config.getoption("firefox") else ["chromium", "firefox"] if both else ["chromium"]
        )
        metafunc.parametrize("browser", names, indirect=True, scope="session")


@pytest.fixture(scope="session")
def greedy() -> Iterator[None]:
    """Greedy decoding is the default, so that a question has one answer."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(settings, "TEMPERATURE", 0)
        monkeypatch.setattr(settings, "REPETITION_PENALTY", 1)
        monkeypatch.setattr(settings, "MAX_NEW_TOKENS", 256)  # a small model may go on until the context is full
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
def browser(request: pytest.FixtureRequest, browsers: Callable[..., Browser]) -> Browser:
    """Chromium; for tests that are marked `firefox` that too, and with `--firefox` Firefox for all."""
    expect.set_options(timeout=TIMEOUT)
    return browsers(request.param)


@pytest.fixture(scope="session")
def modules(browser: Browser) -> Iterator[Page]:
    """A page on which the page's modules are called without being seen; each is a global variable."""
    composer = "composer/attach", "composer/attachments", "composer/message_text", "composer/parts"
    pure = "store/presets", "store/branches", "store/prompts", "panels/search", "exchange/transfer"
    with open_modules(browser, *composer, *pure, "models/get_model", "markdown/markdown") as page:
        yield page


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of its own: what it keeps is not seen by other tests."""
    viewport = ViewportSize(width=1280, height=800)
    with browser.new_context(viewport=viewport, permissions=permissions(browser)) as context:
        context.set_default_timeout(TIMEOUT)
        context.add_init_script(NO_TITLES)
        yield context


@pytest.fixture
def visit(context: BrowserContext, server: Server) -> Visit:
    return Visit(context, server)
