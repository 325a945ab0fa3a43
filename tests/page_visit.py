"""The page in a test: it serves one, and visits it in a browser."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from threading import Event
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Locator, Page, expect

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.answering.pending import PendingAnswer
from llm_chatbot.engine.session import Answer
from llm_chatbot.page.app import ChatPage
from llm_chatbot.page.knowledge import PageKnowledge
from llm_chatbot.page.tools import PageTools
from tests.ports import free_port

SCREENSHOTS = Path(__file__).resolve().parents[1] / "screenshots"
TIMEOUT = 60_000  # milliseconds; for a machine that is busy
FRANCE, ITALY = "Name the capital of France.", "And of Italy?"
STORY = "Write a very long story about a dragon."

# Resolves after all that was begun before: the browser keeps the order of transactions that write.
SAVED = """async () => {
  const { openDB } = await import(new URL("page/vendor/idb.js", document.baseURI));
  const database = await openDB("llm-chatbot");
  const transaction = database.transaction(database.objectStoreNames, "readwrite");
  await Promise.all([transaction.objectStore("values").count(), transaction.done]);
  database.close();
}"""

# Notes the file that the page gives, beside giving it.
NOTE_FILE = """() => {
  const { click } = HTMLAnchorElement.prototype;
  HTMLAnchorElement.prototype.click = function () {
    const { download, href } = this;
    fetch(href).then(async (file) => (window.file = [download, await file.text()]));
    click.call(this);
  };
}"""


def has_words(answer: Answer) -> bool:
    return answer.completion_tokens > 9


class Server:
    """A page that is served on a port of its own, which it keeps over a restart."""

    def __init__(
        self,
        loaded: LoadedModel,
        root: Path | None,
        knowledge: PageKnowledge | None = None,
        tools: Callable[[], PageTools] | None = None,
        **limits: int,
    ) -> None:
        bounds = limits.get("concurrent", 2), limits.get("waiting", 30)
        self.make = lambda: ChatPage(loaded, root, *bounds, knowledge=knowledge, tools=tools() if tools else None)
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self.page = self.make()
        self.page.demo.launch(server_port=self.port, prevent_thread_lock=True, quiet=True)

    def stop(self) -> None:
        self.page.demo.close(verbose=False)

    def pause_answers(self, monkeypatch: pytest.MonkeyPatch, where: Callable[[Answer], bool] = has_words) -> Event:
        """Lets answers wait where a test looks at them, until the event is set: none ends before the test is there."""
        go, update = Event(), self.page.answering._update

        def update_and_wait(pending: PendingAnswer, **changes: Any) -> None:
            update(pending, **changes)
            if "answer" in changes and where(changes["answer"]):
                go.wait(TIMEOUT / 1000)

        monkeypatch.setattr(self.page.answering, "_update", update_and_wait)
        return go


class Visit:
    """A tab in which the page is open.

    Attributes:
        page: Playwright's.
    """

    def __init__(self, context: BrowserContext, server: Server, **settings: str) -> None:
        self.page: Page = context.new_page()
        self.page.set_default_timeout(TIMEOUT)
        self.page.goto(server.address)
        self.wait_until_drawn()
        if settings:
            self.set(**settings)

    # Where things are

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name, exact=True)

    @property
    def box(self) -> Locator:
        return self.page.locator("#message textarea")

    @property
    def answers(self) -> Locator:
        return self.page.locator(".message.assistant")

    @property
    def questions(self) -> Locator:
        return self.page.get_by_test_id("user")

    @property
    def texts(self) -> Locator:
        """The text of each answer, without figures and buttons."""
        return self.page.get_by_test_id("bot")

    @property
    def notice(self) -> Locator:
        return self.page.locator("#notice")

    @property
    def meter(self) -> Locator:
        return self.page.get_by_role("meter", name=re.compile("Context used"))

    @property
    def model(self) -> Locator:
        """The name of the model in the head."""
        return self.page.locator("#model-chip")

    @property
    def names(self) -> Locator:
        """The conversations in the list."""
        return self.page.locator("#library-panel .open")

    # What is done

    def wait_until_drawn(self) -> None:
        expect(self.box).to_be_visible()

    def reload(self) -> None:
        """Reloads the page when all that it saves is saved; what a reload interrupts has tests of its own."""
        self.page.evaluate(SAVED)
        self.page.reload()
        self.wait_until_drawn()

    def begin(self) -> None:
        """Begins a new conversation."""
        self.page.locator(".new:visible").first.click()
        expect(self.questions).to_have_count(0)

    def send(self, text: str) -> None:
        self.box.fill(text)
        self.box.press("Enter")

    def wait_for_end(self, index: int = -1) -> None:
        """Waits until an answer has ended."""
        expect(self.answers.nth(index)).to_have_attribute("data-finish", re.compile("."))

    def ask(self, text: str) -> str:
        """The whole answer to a message."""
        count = self.answers.count()
        self.send(text)
        expect(self.answers).to_have_count(count + 1)
        self.wait_for_end()
        return self.texts.last.inner_text()

    def stop(self, act: Callable[[], None] | None = None) -> None:
        """Stops the answer by the button or another act, and returns when the server knows of it."""
        with self.page.expect_response("**/page/stop"):
            (act or self.button("Stop").click)()

    def wait_for_words(self) -> None:
        expect(self.texts.last).to_have_text(re.compile(r"\w+ \w+ \w+"))

    def open_panel(self, name: str) -> None:
        button = self.page.locator("header").get_by_role("button", name=name, exact=True)
        if button.get_attribute("aria-expanded") == "false":
            button.click()

    def close_panel(self, name: str) -> None:
        button = self.page.locator("header").get_by_role("button", name=name, exact=True)
        if button.get_attribute("aria-expanded") == "true":
            button.click()

    def act(self, action: str, name: str) -> None:
        """Does something with a conversation of the list, by its menu."""
        self.page.locator("#library-panel .row").filter(has=self.button(name)).hover()
        self.button(f"Actions: {name}").click()
        self.page.get_by_role("dialog", name=f"Actions: {name}").get_by_role("button", name=action, exact=True).click()

    def act_on_list(self, action: str) -> None:
        """Does something with the list of conversations, by its menu."""
        self.button("More for the list").click()
        self.page.get_by_role("dialog", name="More for the list").get_by_role("button", name=action).click()

    def set(self, **settings: str) -> None:
        """Sets numbers of the panel, by their names in `llm_chatbot.answering.options`."""
        self.open_panel("Settings")
        for name, value in settings.items():
            self.set_number(name, value)
        self.close_panel("Settings")

    def set_number(self, name: str, value: str) -> None:
        """Sets a number in the open panel."""
        number = self.page.locator(f"#set-{name}")
        number.clear()  # in Firefox, `fill` would add to the digits that are there
        number.fill(value)

    def download(self, act: Callable[[], None]) -> tuple[str, bytes]:
        """The name and the content of the file that an act gives."""
        if self.page.context.browser and self.page.context.browser.browser_type.name == "chromium":
            with self.page.expect_download() as download:
                act()
            return download.value.suggested_filename, Path(download.value.path()).read_bytes()
        # By WebDriver BiDi, Playwright tells of no download.
        self.page.evaluate(NOTE_FILE)
        act()
        self.wait_until("window.file")
        name, text = self.page.evaluate("window.file")
        return name, text.encode()

    def stored(self) -> list[dict[str, Any]]:
        """All messages that the browser has saved, in the order of their creation."""
        return self.page.evaluate(
            """async () => {
              const { openStore } = await import(new URL("page/web/store/store.js", document.baseURI));
              const { conversations } = await (await openStore()).exportAll();
              return conversations.flatMap((it) => it.messages).sort((a, b) => a.created - b.created);
            }"""
        )

    def wait_until(self, expression: str) -> None:
        """Waits for something of the page. Its policy forbids Playwright's `wait_for_function` to evaluate a text."""
        assert eventually(lambda: self.page.evaluate(f"Boolean({expression})")), expression

    def wait_until_still(self) -> None:
        """Waits for what moves or fades in; what turns for ever doesn't count."""
        moving = "it.playState == 'running' && it.effect.getTiming().iterations != Infinity"
        self.wait_until(f"!document.getAnimations().some((it) => {moving})")

    def serious_problems(self) -> list[str]:
        """Those that axe finds on the page as it stands."""
        self.wait_until_still()  # text that fades in has no contrast yet
        found = Axe().run(self.page).response["violations"]
        return [f"{it['id']}: {it['nodes']}" for it in found if it["impact"] in ("serious", "critical")]

    def screenshot(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.wait_until_still()
        self.page.screenshot(path=SCREENSHOTS / f"{name}.png")


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + TIMEOUT / 1000
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.05)
    return met
