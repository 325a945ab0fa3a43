"""The page, in a real browser and through the API that scripts use, with the real model."""

import gc
import json
import re
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from config import DEFAULT_MODEL, EXAMPLE_QUESTIONS, UserError, get_model_config
from ov_llm_model import ChatSession
from page import settings
from page.app import ChatPage, error_text
from page.models import LoadedModel
from page.server import MAX_REQUEST_BYTES

import httpx
import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import open_browser
from gradio import Request
from gradio_client import Client
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect

SCREENSHOTS = Path(__file__).resolve().parents[2] / "screenshots"
TIMEOUT = 60_000  # milliseconds; for a machine that is busy
FRANCE, ITALY = "What is the capital of France?", "And of Italy?"
STORY = "Write a very long story about a dragon."
GREEDY = {"temperature": 0, "repetition_penalty": 1}


class Server:
    """A page that is served on a port of its own, which it keeps over a restart."""

    def __init__(self, loaded: LoadedModel, root: Path | None, **limits: int) -> None:
        self.make = lambda: ChatPage(loaded, root, limits.get("concurrent", 2), limits.get("waiting", 30))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        self.page = self.make()
        self.page.demo.launch(server_port=self.port, prevent_thread_lock=True, quiet=True)

    def stop(self) -> None:
        self.page.demo.close()


@pytest.fixture(scope="module")
def loaded(model, tokenizer) -> LoadedModel:
    return LoadedModel(model, tokenizer, get_model_config(DEFAULT_MODEL), DEFAULT_MODEL, "INT4", "CPU")


@pytest.fixture(scope="module")
def server(loaded: LoadedModel, models_root: Path) -> Iterator[Server]:
    server = Server(loaded, models_root)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=TIMEOUT)
    with open_browser() as browser:
        yield browser


@pytest.fixture
def context(browser: Browser) -> Iterator[BrowserContext]:
    """A browser of its own: what it keeps is not seen by other tests."""
    with browser.new_context(
        viewport={"width": 1280, "height": 800}, permissions=["clipboard-read", "clipboard-write"]
    ) as context:
        context.set_default_timeout(TIMEOUT)
        yield context


@pytest.fixture
def page(context: BrowserContext, server: Server) -> Page:
    return open_page(context, server)


def open_page(context: BrowserContext, server: Server, **settings: str) -> Page:
    """A new tab, set to greedy decoding, so that a question has one answer."""
    page = context.new_page()
    page.goto(server.address)
    button(page, "Settings").click()
    for label, value in {"Temperature": "0", "Repetition penalty": "1", **settings}.items():
        set_number(page, label.replace("_", " "), value)
    button(page, "Settings").click()
    return page


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name, exact=True)


def set_number(page: Page, label: str, value: str) -> None:
    number = page.get_by_label(f"number input for {label}")
    number.fill(value)
    number.press("Tab")


def box(page: Page) -> Locator:
    return page.locator("#message textarea")


def answers(page: Page) -> Locator:
    return page.get_by_test_id("bot")


def questions(page: Page) -> Locator:
    return page.get_by_test_id("user")


def send(page: Page, text: str) -> None:
    box(page).fill(text)
    box(page).press("Enter")


def wait_for_the_end(page: Page, count: int) -> None:
    expect(answers(page)).to_have_count(count)
    expect(answers(page).last).to_contain_text("prompt tokens cached")
    expect(button(page, "Send")).to_be_visible()


def ask(page: Page, text: str) -> str:
    """The whole answer to a message."""
    count = answers(page).count()
    send(page, text)
    wait_for_the_end(page, count + 1)
    return answers(page).last.inner_text().split("\n\n")[0]


def wait_for_words(page: Page) -> None:
    expect(answers(page).last).to_contain_text(re.compile(r"\w+ \w+ \w+"))


def screenshot(page: Page, name: str) -> None:
    SCREENSHOTS.mkdir(exist_ok=True)
    moving = "it.playState == 'running' && it.effect.getTiming().iterations != Infinity"
    page.wait_for_function(f"!document.getAnimations().some((it) => {moving})")
    page.screenshot(path=SCREENSHOTS / f"{name}.png")


# A conversation


def test_a_conversation_of_two_turns_whose_second_answer_uses_the_first(page: Page):
    assert "Paris" in ask(page, FRANCE)
    assert "Rome" in ask(page, ITALY)
    expect(questions(page)).to_have_text([FRANCE, ITALY])
    expect(page.get_by_role("heading", name="smollm2-135m-instruct · INT4 · CPU")).to_be_visible()
    used = page.get_by_role("meter", name=re.compile("Context used"))
    assert 40 < int(used.get_attribute("aria-valuenow") or 0) < 200
    expect(answers(page).last).to_contain_text(re.compile(r"\d+ tokens · [\d.]+ tokens/s · first token after [\d.]+ s"))
    screenshot(page, "conversation")


def test_an_example_question_is_sent_with_one_click(page: Page):
    expect(page.locator("button.example")).to_have_count(len(EXAMPLE_QUESTIONS["en"]))
    screenshot(page, "start")
    page.get_by_text(EXAMPLE_QUESTIONS["en"][1]).click()
    expect(answers(page).last).to_contain_text("Paris")


def test_enter_sends_and_shift_enter_breaks_the_line(page: Page):
    page.reload()
    expect(box(page)).to_be_focused()
    page.keyboard.type("One line")
    page.keyboard.press("Shift+Enter")
    page.keyboard.type("and another")
    expect(box(page)).to_have_value("One line\nand another")
    page.keyboard.press("Enter")
    expect(questions(page)).to_have_text(re.compile(r"One line\s*and another"))


def test_a_message_sent_the_moment_after_stop_is_answered(context: BrowserContext, server: Server):
    page = open_page(context, server, Maximum_answer_length="4096")
    send(page, STORY)
    wait_for_words(page)
    screenshot(page, "streaming")
    button(page, "Stop").click()
    send(page, FRANCE)
    wait_for_the_end(page, 2)
    expect(questions(page)).to_have_text([STORY, FRANCE])
    expect(answers(page).first).to_contain_text("· stopped")


def test_what_is_typed_while_an_answer_runs_stays_in_the_box_and_is_not_sent(context: BrowserContext, server: Server):
    page = open_page(context, server, Maximum_answer_length="4096")
    send(page, STORY)
    wait_for_words(page)
    send(page, "And then?")
    button(page, "Stop").click()
    wait_for_the_end(page, 1)
    expect(box(page)).to_have_value("And then?")
    expect(questions(page)).to_have_count(1)


def test_an_empty_message_does_nothing(page: Page):
    send(page, "  ")
    assert "Paris" in ask(page, FRANCE)
    expect(questions(page)).to_have_count(1)


def test_an_answer_is_regenerated_and_a_turn_taken_back(page: Page):
    first = ask(page, FRANCE)
    button(page, "Retry").click()
    expect(answers(page).last).to_contain_text("36 of 37 prompt tokens cached")
    wait_for_the_end(page, 1)
    expect(answers(page).last).to_contain_text(first)
    meter = page.get_by_role("meter", name=re.compile("Context used"))
    expect(meter).not_to_have_attribute("aria-valuenow", "0")
    button(page, "Undo").click()
    expect(box(page)).to_have_value(FRANCE)
    expect(answers(page)).to_have_count(0)
    expect(meter).to_have_attribute("aria-valuenow", "0")


def test_a_past_message_is_edited_and_the_conversation_goes_on_from_there(page: Page):
    ask(page, "What is 1 < 2?")
    ask(page, "Thanks.")
    button(page, "Edit").first.click()
    edited = page.locator("#conversation textarea")
    expect(edited).to_have_value("What is 1 < 2?")
    edited.fill(FRANCE)
    button(page, "Submit").click()
    expect(questions(page)).to_have_text([FRANCE])
    wait_for_the_end(page, 1)
    expect(answers(page).last).to_contain_text("Paris")


def test_an_answer_that_ended_by_length_is_continued(context: BrowserContext, server: Server):
    page = open_page(context, server, Maximum_answer_length="8")
    beginning = ask(page, STORY)
    button(page, "Continue").click()
    expect(answers(page).last).to_contain_text("16 tokens")
    wait_for_the_end(page, 1)
    assert answers(page).last.inner_text().startswith(beginning)


def test_settings_hold_from_the_next_message_on_and_go_back_to_defaults(page: Page):
    first = ask(page, STORY)
    page.locator("#new").click()
    expect(answers(page)).to_have_count(0)
    assert ask(page, STORY) == first
    button(page, "Settings").click()
    screenshot(page, "settings")
    page.get_by_role("textbox", name="System prompt").fill("Answer in one word.")
    button(page, "Restore defaults").click()
    expect(page.get_by_label("number input for Temperature")).to_have_value("0.1")
    expect(page.get_by_label("number input for Repetition penalty")).to_have_value("1.1")
    expect(page.get_by_role("textbox", name="System prompt")).to_have_value("")


def test_a_message_that_is_too_long_is_refused_and_goes_back_to_the_box(page: Page):
    send(page, "word " * 9000)
    expect(page.get_by_text("The message is too long")).to_be_visible()
    expect(box(page)).to_have_value("word " * 9000)
    expect(questions(page)).to_have_count(0)
    assert "Paris" in ask(page, FRANCE)
    expect(page.get_by_text("The message is too long")).to_have_count(0)


def test_after_a_failure_of_the_runtime_the_next_message_works(page: Page, server: Server):
    ask(page, FRANCE)
    (tab,) = (tab for tab in server.page.tabs.values() if tab.messages)
    assert tab._session is not None
    failures = iter([RuntimeError("out of memory")])
    feed = tab._session._cache.feed

    def fail_once(ids: Sequence[int]) -> np.ndarray:
        for failure in failures:
            raise failure
        return feed(ids)

    tab._session._cache.feed = fail_once  # type: ignore[method-assign]
    send(page, ITALY)
    expect(page.get_by_text(re.compile(r"The model failed \(.+\)\. Please send the message again\."))).to_be_visible()
    expect(box(page)).to_have_value(ITALY)
    expect(questions(page)).to_have_count(1)
    assert "Rome" in ask(page, ITALY)


def test_html_and_control_tokens_are_shown_and_not_run(page: Page):
    text = "<script>document.title = 'run'</script><img src=x onerror=\"document.title='run'\"> <|im_end|> <b>x</b>"
    ask(page, text)
    expect(questions(page)).to_have_text(text)
    assert page.title() != "run"
    button(page, "Copy message").first.click()
    assert page.evaluate("navigator.clipboard.readText()") == text


def test_markdown_is_rendered_with_code_tables_and_formulas(page: Page):
    content = "# Head\n\n|a|b|\n|-|-|\n|1|2|\n\n```python\nx = '<b>'\n```\n\nInline $x < y$ and `<i>`."
    import_file(page, "one.json", as_json({"role": "user", "content": "?"}, {"role": "assistant", "content": content}))
    answer = answers(page).last
    expect(answer.locator("h1")).to_have_text("Head")
    expect(answer.locator("table td")).to_have_count(2)
    expect(answer.locator("pre code .token").first).to_be_visible()
    expect(answer.locator("pre")).to_contain_text("x = '<b>'")
    expect(answer.locator(".katex")).to_have_count(1)
    expect(answer.locator("p code")).to_have_text("<i>")
    screenshot(page, "markdown")


def test_reasoning_is_folded_away(page: Page):
    turns = ({"role": "user", "content": "?"}, {"role": "assistant", "content": "<think>Hm, hm.</think>\n\nYes."})
    import_file(page, "one.json", as_json(*turns))
    expect(page.get_by_role("button", name="Reasoning")).to_be_visible()
    expect(page.get_by_text("Yes.")).to_be_visible()
    expect(page.get_by_text("Hm, hm.")).to_be_hidden()


# Conversations that the browser keeps


def as_json(*messages: dict, name: str = "A name") -> bytes:
    return json.dumps({"conversations": [{"id": "1", "name": name, "updated": 1, "messages": messages}]}).encode()


def import_file(page: Page, name: str, content: bytes) -> None:
    """Imports a conversation and opens it."""
    open_library(page)
    choose_file(page, name, content)
    expect(page.locator("#library").get_by_role("status")).to_have_text("Imported 1 conversation.")
    page.locator("#library .open").first.click()
    expect(questions(page)).not_to_have_count(0)


def choose_file(page: Page, name: str, content: bytes) -> None:
    file = page.locator("#library input[type=file]")
    file.set_input_files({"name": name, "mimeType": "text/plain", "buffer": content})


def open_library(page: Page) -> None:
    button(page, "Conversations").click()
    expect(page.locator("#library-panel")).to_have_class(re.compile("open"))


def test_a_conversation_outlives_a_reload_and_a_restart_of_the_server(
    context: BrowserContext, loaded: LoadedModel, models_root: Path
):
    server = Server(loaded, models_root)
    page = open_page(context, server)
    ask(page, FRANCE)
    before = page.locator("#conversation .message-wrap").inner_text()
    meter = page.get_by_role("meter", name=re.compile("Context used"))
    used = meter.get_attribute("aria-valuenow") or ""
    assert int(used) > 37
    page.reload()
    expect(questions(page)).to_have_text([FRANCE])
    expect(meter).to_have_attribute("aria-valuenow", used)
    server.stop()
    server.start()
    page.goto(server.address)
    expect(questions(page)).to_have_text([FRANCE])
    assert page.locator("#conversation .message-wrap").inner_text() == before
    assert "Rome" in ask(page, ITALY)
    server.stop()


def test_conversations_are_named_searched_opened_and_deleted(page: Page):
    ask(page, FRANCE)
    open_library(page)
    items = page.locator("#library .open")
    page.locator("#library .new").click()
    expect(answers(page)).to_have_count(0)
    ask(page, "What is the capital of Japan?")
    expect(items).to_have_text(["What is the capital of Japan?", FRANCE])
    screenshot(page, "conversations")

    button(page, f"Rename: {FRANCE}").click()
    page.get_by_role("textbox", name="Conversation name").fill("Europe")
    page.keyboard.press("Enter")
    expect(items).to_have_text(["What is the capital of Japan?", "Europe"])

    page.get_by_role("searchbox").fill("paris")
    expect(items).to_have_text(["Europe"])
    items.first.click()
    expect(questions(page)).to_have_text([FRANCE])
    page.get_by_role("searchbox").fill("")

    page.on("dialog", lambda dialog: dialog.accept())
    button(page, "Delete: Europe").click()
    expect(items).to_have_text(["What is the capital of Japan?"])
    expect(questions(page)).to_have_count(0)


@pytest.mark.parametrize("kind", ["Export all (JSON)", "Export current (Markdown)"])
def test_what_is_exported_can_be_imported(page: Page, kind: str):
    turns = (
        {"role": "user", "content": "A heading:\n## User\nand <b>"},
        {"role": "assistant", "content": "```md\n## Assistant\n\\## User\n```"},
        {"role": "user", "content": "Thanks"},
        {"role": "assistant", "content": "日本語 🎈"},
    )
    import_file(page, "one.json", as_json(*turns))
    shown = page.locator("#conversation .message-wrap").inner_text()
    with page.expect_download() as download:
        button(page, kind).click()
    exported = Path(download.value.path()).read_bytes()
    page.on("dialog", lambda dialog: dialog.accept())
    button(page, "Delete: A name").click()
    expect(questions(page)).to_have_count(0)
    button(page, "Conversations").click()
    import_file(page, download.value.suggested_filename, exported)
    assert page.locator("#conversation .message-wrap").inner_text() == shown
    expect(page.locator("#library .open")).to_have_text(["A name"])


def test_a_file_that_holds_no_conversation_is_refused(page: Page):
    open_library(page)
    for content in (b"{}", b"{", b"# Title", b'{"conversations": [{"id": "1", "messages": [{"role": "x"}]}]}'):
        choose_file(page, "x.json", content)
        expect(page.locator("#library").get_by_role("status")).to_contain_text("No conversations found in this file")


# The model, the language, the screen


def test_the_model_can_be_changed_in_one_tab_only(context: BrowserContext, page: Page, server: Server):
    other = open_page(context, server)
    ask(page, FRANCE)
    button(page, "Settings").click()
    page.get_by_label("Model", exact=True).click()
    page.get_by_role("option", name="smollm2-135m-instruct · INT8").click()
    button(page, "Load").click()
    expect(page.get_by_text("smollm2-135m-instruct · INT8 · CPU is ready.")).to_be_visible()
    expect(page.get_by_role("heading", name="INT8")).to_be_visible()
    expect(page.get_by_role("meter", name=re.compile("Context used"))).not_to_have_attribute("aria-valuenow", "0")
    assert "Rome" in ask(page, ITALY)
    assert "Paris" in ask(other, FRANCE)
    expect(other.get_by_role("heading", name="INT4")).to_be_visible()
    page.close()
    assert eventually(lambda: gc.collect() >= 0 and len(server.page.pool._models) == 1)


def test_loading_without_a_choice_says_so(loaded: LoadedModel, models_root: Path):
    page, request = ChatPage(loaded, models_root), Request(session_hash="x")
    for choice, device in ((None, "CPU"), ('["smollm2-135m-instruct", "INT8"]', None)):
        (update,) = page.change_model(choice, device, "en", request)
        assert update == {page.load_status: "Choose a model and a device first."}


def eventually(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + TIMEOUT / 1000
    while not (met := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return met


def test_the_page_speaks_the_browsers_language_and_can_be_switched(browser: Browser, server: Server):
    with browser.new_context(locale="zh-CN", viewport={"width": 1280, "height": 800}) as context:
        page = context.new_page()
        page.goto(server.address)
        expect(button(page, "发送")).to_be_visible()
        expect(page.get_by_role("heading", name="想聊点什么？")).to_be_visible()
        button(page, "设置").click()
        page.get_by_text("日本語").click()
        expect(button(page, "送信")).to_be_visible()
        expect(box(page)).to_have_attribute("placeholder", "メッセージを入力…")
        send(page, FRANCE)
        expect(answers(page).last).to_contain_text("トークン/秒")
        page.reload()
        expect(button(page, "送信")).to_be_visible()
        expect(answers(page).last).to_contain_text("トークン/秒")
        assert page.evaluate("document.documentElement.lang") == "ja"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_scrolls_sideways(browser: Browser, server: Server, scheme):
    with browser.new_context(viewport={"width": 390, "height": 800}, color_scheme=scheme) as context:
        page = open_page(context, server)
        screenshot(page, f"phone-start-{scheme}")
        ask(page, "Print " + "x" * 300 + " in Python, in a code block.")
        screenshot(page, f"phone-{scheme}")
        for panel in ("Conversations", "Settings"):
            assert page.evaluate("document.documentElement.scrollWidth") == 390
            button(page, panel).click()
            expect(page.locator(".sidebar.open")).to_have_count(1)
            screenshot(page, f"phone-{panel.lower()}-{scheme}")
            button(page, panel).click()
            expect(page.locator(".sidebar.open")).to_have_count(0)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_serious_problem(browser: Browser, server: Server, scheme):
    def serious(page: Page) -> list[str]:
        found = Axe().run(page).response["violations"]
        return [f"{it['id']}: {it['nodes']}" for it in found if it["impact"] in ("serious", "critical")]

    with browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme=scheme) as context:
        page = open_page(context, server, Maximum_answer_length="60")
        assert serious(page) == []
        ask(page, "Write a Python function that adds two numbers, in a code block.")
        for panel in ("Conversations", "Settings"):
            button(page, panel).click()
        expect(page.locator(".sidebar.open")).to_have_count(2)
        expect(page.locator("#library .open")).to_be_visible()
        screenshot(page, f"panels-{scheme}")
        assert serious(page) == []


def test_the_page_is_used_with_the_keyboard_alone(page: Page):
    def tab_to(name: str) -> None:
        for _ in range(60):
            page.keyboard.press("Tab")
            focused = page.evaluate("document.activeElement.ariaLabel || document.activeElement.innerText")
            if focused and focused.strip() == name:
                return
        raise AssertionError(f"{name} is not reached with the Tab key")

    page.reload()
    expect(page.locator("#library")).to_contain_text("New conversation")  # the last that is drawn
    expect(box(page)).to_be_focused()
    page.keyboard.type(FRANCE)
    expect(box(page)).to_have_value(FRANCE)
    page.keyboard.press("Tab")
    expect(button(page, "Send")).to_be_focused()
    page.keyboard.press("Enter")
    wait_for_the_end(page, 1)
    expect(page.get_by_role("log")).to_have_attribute("aria-live", "polite")
    tab_to("Conversations")
    page.keyboard.press("Enter")
    expect(page.locator(".sidebar.open")).to_have_count(1)
    expect(page.locator("#library .open")).to_be_visible()
    tab_to(FRANCE)
    page.keyboard.press("Enter")
    expect(questions(page)).to_have_text([FRANCE])


# Many people


def test_those_who_wait_see_their_place_and_a_full_queue_says_so(browser: Browser, loaded: LoadedModel):
    server = Server(loaded, None, concurrent=1, waiting=1)
    contexts = [browser.new_context() for _ in range(3)]
    first, second, third = (open_page(context, server, Maximum_answer_length="4096") for context in contexts)
    send(first, STORY)
    wait_for_words(first)
    send(second, FRANCE)
    expect(second.locator("#notice").get_by_text("queue: 1/1")).to_be_in_viewport()
    screenshot(second, "waiting")
    send(third, ITALY)
    expect(third.get_by_text("Too many people are waiting")).to_be_visible()
    expect(box(third)).to_have_value(ITALY)

    button(second, "Leave queue").click()
    expect(box(second)).to_have_value(FRANCE)
    expect(questions(second)).to_have_count(0)
    expect(button(second, "Send")).to_be_visible()

    send(third, FRANCE)
    expect(third.locator("#notice").get_by_text("queue: 1/1")).to_be_in_viewport()
    contexts[0].close()  # frees its place
    expect(answers(third).last).to_contain_text("Paris")
    assert eventually(lambda: len(server.page.tabs) == 2)
    for context in contexts[1:]:
        context.close()
    server.stop()


def test_twenty_tabs_at_once_get_their_own_answers(browser: Browser, exact_model, tokenizer, monkeypatch):
    # With exact hints: the runtime rounds a token by what else is in the call.
    config = get_model_config(DEFAULT_MODEL)
    loaded = LoadedModel(exact_model, tokenizer, config, DEFAULT_MODEL, "INT4", "CPU")
    countries = "Italy Spain Japan China India Peru Chile Egypt Kenya Ghana Cuba Iran Iraq Nepal Norway Sweden Poland "
    texts = [f"What is the capital of {country}?" for country in (countries + "Greece Turkey Russia").split()]
    expected = []
    for text in texts:
        *_, whole = ChatSession(loaded.model, loaded.tokenizer).stream(text, max_new_tokens=24)
        expected.append(whole.text)
    for name, value in {"TEMPERATURE": 0, "REPETITION_PENALTY": 1, "MAX_NEW_TOKENS": 24}.items():
        monkeypatch.setattr(settings, name, value)  # quicker than to set them in every tab
    server = Server(loaded, None)
    contexts = [browser.new_context() for _ in texts]  # one browser opens six connections to a server at most
    pages = [context.new_page() for context in contexts]
    for page in pages:
        page.goto(server.address)
    for page, text in zip(pages, texts, strict=True):
        send(page, text)
    for page, text, answer in zip(pages, texts, expected, strict=True):
        wait_for_the_end(page, 1)
        expect(questions(page)).to_have_text([text])
        kept = page.evaluate("localStorage['llm-chatbot.conversation.' + sessionStorage['llm-chatbot.current']]")
        assert json.loads(kept)["messages"][1]["content"] == answer
    for context in contexts:
        context.close()
    server.stop()


# Scripts, and what is refused


def test_scripts_have_one_endpoint_that_streams(server: Server):
    client = Client(server.address, verbose=False)
    api = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert list(api) == ["/chat"]
    assert [parameter["parameter_name"] for parameter in api["/chat"]["parameters"]][:2] == ["message", "history"]
    job = client.submit(FRANCE, **GREEDY, api_name="/chat")
    assert "Paris" in job.result()
    assert len(job.outputs()) > 1
    turns = [{"role": "user", "content": FRANCE}, {"role": "assistant", "content": "Paris."}]
    assert "Rome" in client.predict(ITALY, turns, **GREEDY, api_name="/chat")
    with pytest.raises(Exception, match="A conversation is a list of messages"):
        client.predict(ITALY, [{"role": "robot"}], api_name="/chat")


def test_files_and_requests_too_large_for_a_chat_are_refused(server: Server):
    def chunks() -> Iterator[bytes]:
        yield b"{}"

    api = f"{server.address}/gradio_api"
    assert httpx.post(f"{api}/upload", files={"files": ("x.txt", b"x")}).status_code == 403
    for path in (
        "file=/etc/hostname",
        "file/etc/hostname",
        "proxy=http://example.com/",
        "monitoring/summary",
        "%66ile=x",
    ):
        assert httpx.get(f"{api}/{path}").status_code == 403, path
    join = f"{api}/queue/join"
    assert httpx.post(join, content=b"x" * (MAX_REQUEST_BYTES + 1)).status_code == 413
    assert httpx.post(join, content=chunks()).status_code == 411
    assert "default-src 'self'" in httpx.get(server.address).headers["content-security-policy"]


def test_a_failure_is_a_sentence():
    assert error_text(UserError("Too long."), "en") == "Too long."
    said = error_text(RuntimeError("Exception from x:\nout of memory\n"), "en")
    assert said == "The model failed (out of memory). Please send the message again."
