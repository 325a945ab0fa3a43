"""The page on screens of several sizes, in light and dark, in three languages, with the keyboard, and for everybody."""

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from tests.page_visit import FRANCE, STORY, Server, Visit

MAX_PAGE_BYTES = 600_000


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1024, 1920])
def test_nothing_scrolls_sideways_and_axe_finds_no_serious_problem(
    browsers: Callable[..., Browser], browser: Browser, server: Server, width: int, scheme
):
    if browser.browser_type.name == "firefox" and scheme == "dark":
        browser = browsers("firefox", True)
    with browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme) as context:
        visit = Visit(context, server, max_new_tokens="60")
        colours = visit.page.evaluate("getComputedStyle(document.querySelector('#chat-page')).colorScheme")
        assert (colours == "dark") == (scheme == "dark")  # those of scrollbars too
        visit.screenshot(f"start-{width}-{scheme}")
        visit.ask("Write a Python function that adds two numbers, in a code block. " + "x" * 300)
        assert visit.page.evaluate("document.documentElement.scrollWidth") == width
        assert visit.serious_problems() == []
        visit.screenshot(f"conversation-{width}-{scheme}")
        for panel in ("Conversations", "Settings"):
            visit.open_panel(panel)
            if width == 390:
                visit.screenshot(f"{panel.lower()}-{width}-{scheme}")
                visit.close_panel(panel)
        visit.screenshot(f"panels-{width}-{scheme}")
        visit.close_panel("Settings")  # no part of the head covers its button
        visit.open_panel("Settings")
        assert visit.page.evaluate("document.documentElement.scrollWidth") == width
        assert visit.serious_problems() == []


def test_the_list_is_open_on_wide_screens(browser: Browser, server: Server):
    for width, shown in ((1920, True), (1000, False)):
        with browser.new_context(viewport={"width": width, "height": 900}) as context:
            visit = Visit(context, server)
            expect(visit.page.locator("#library-panel")).to_be_visible(visible=shown)


@pytest.mark.parametrize(
    ("locale", "send", "first"),
    [
        ("en-US", "Send", "Name the capital of France."),
        ("de-DE", "Send", "Name the capital of France."),
        ("zh-CN", "发送", "Name the capital of France."),  # the model speaks English only
    ],
)
def test_the_page_speaks_the_browsers_language_or_english(
    browser: Browser, server: Server, locale: str, send: str, first: str
):
    with browser.new_context(locale=locale) as context:
        visit = Visit(context, server)
        expect(visit.button(send)).to_be_visible()
        expect(visit.page.locator(".example").first).to_have_text(first)


def test_the_language_can_be_switched_and_errors_speak_it_too(visit: Visit):
    visit.open_panel("Settings")
    visit.page.get_by_label("日本語").check()
    expect(visit.button("送信")).to_be_visible()
    expect(visit.box).to_have_attribute("placeholder", "メッセージを入力…")
    visit.send(FRANCE)
    expect(visit.answers.last).to_contain_text("トークン/秒")
    visit.send("a-b-c-d-e-f-g-h-i-j " * 700)
    expect(visit.answers.last).to_contain_text("メッセージが長すぎます")
    visit.reload()
    expect(visit.button("送信")).to_be_visible()
    expect(visit.answers.last).to_contain_text("メッセージが長すぎます")
    assert visit.page.evaluate("document.documentElement.lang") == "ja"
    english = re.compile(r"\b(Send|Settings|Copy|Edit|Search|Loading)\b")
    names = visit.page.evaluate("[...document.querySelectorAll('[aria-label]')].map((it) => it.ariaLabel)")
    assert [name for name in names if english.search(name)] == []


def test_the_page_is_light(context: BrowserContext, server: Server):
    visit = Visit(context, server)
    visit.ask(FRANCE)
    total = "performance.getEntriesByType('resource').reduce((sum, it) => sum + it.transferSize, 0)"
    own = "performance.getEntriesByType('navigation')[0].transferSize"
    assert visit.page.evaluate(f"{total} + {own}") < MAX_PAGE_BYTES
    hosts = visit.page.evaluate("performance.getEntriesByType('resource').map((it) => new URL(it.name).origin)")
    assert set(hosts) == {server.address}


@pytest.mark.firefox
def test_the_page_is_used_with_the_keyboard_alone(visit: Visit):
    def tab_to(name: str) -> None:
        for _ in range(60):
            visit.page.keyboard.press("Tab")
            focused = visit.page.evaluate("document.activeElement.ariaLabel || document.activeElement.innerText")
            if focused and focused.strip() == name:
                return
        raise AssertionError(f"{name} is not reached with the Tab key")

    expect(visit.box).to_be_focused()
    visit.page.keyboard.type(FRANCE)
    tab_to("Send")
    visit.page.keyboard.press("Enter")
    expect(visit.texts.last).to_contain_text("Paris")
    visit.wait_for_end()
    tab_to("Regenerate")
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_label("Version 2 of 2")).to_be_visible()
    expect(visit.page.get_by_role("log")).to_have_attribute("aria-live", "polite")
    visit.wait_for_end()
    tab_to("Previous version")
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_label("Version 1 of 2")).to_be_visible()
    expect(visit.button("Next version")).to_be_focused()
    tab_to(FRANCE)
    visit.page.keyboard.press("Enter")
    expect(visit.questions).to_have_text([FRANCE])


def test_what_is_edited_stays_in_sight(visit: Visit):
    visit.set(max_new_tokens="4")
    visit.ask("Say hello.")
    spare = "document.querySelector('#conversation').clientHeight - document.querySelector('.messages').offsetHeight"
    visit.page.set_viewport_size({"width": 1280, "height": 800 - int(visit.page.evaluate(spare))})
    visit.questions.hover()
    visit.button("Edit").click()
    expect(visit.page.get_by_role("textbox", name="Edit")).to_be_in_viewport(ratio=1)
    visit.page.wait_for_timeout(100)  # a frame, in which the end might be followed
    expect(visit.page.get_by_role("textbox", name="Edit")).to_be_in_viewport(ratio=1)


def test_the_end_stays_in_sight_until_the_reader_scrolls_up(
    visit: Visit, server: Server, monkeypatch: pytest.MonkeyPatch
):
    conversation, to_end = visit.page.locator("#conversation"), visit.button("To the end")
    height = "document.querySelector('.messages').scrollHeight"
    visit.set(max_new_tokens="200")
    visit.ask(f"What is the capital of France?\n```\n{chr(10) * 60}```")
    go = server.pause_answers(monkeypatch)
    visit.send(STORY)
    visit.wait_for_words()
    expect(to_end).to_be_hidden()
    conversation.hover()
    visit.page.mouse.wheel(0, -20)
    to_go = "it.scrollHeight - it.scrollTop - it.clientHeight"
    visit.wait_until(f"(() => {{ const it = document.querySelector('#conversation'); return {to_go} > 10 }})()")
    before = visit.page.evaluate(height)
    go.set()
    visit.wait_until(f"{height} > {before + 40}")
    expect(to_end).to_be_visible()
    to_end.click()
    expect(to_end).to_be_hidden()
    expect(conversation).to_be_focused()


def test_shortcuts_are_listed_and_work(visit: Visit, server: Server, monkeypatch: pytest.MonkeyPatch):
    page = visit.page
    visit.ask(FRANCE)
    page.locator("#conversation").focus()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Keyboard shortcuts")
    visit.screenshot("shortcuts")
    page.keyboard.press("Escape")
    page.locator("#conversation").focus()
    page.keyboard.press("/")
    expect(visit.box).to_be_focused()
    page.keyboard.press("ArrowUp")
    expect(page.get_by_role("textbox", name="Edit")).to_have_value(FRANCE)
    page.keyboard.press("Escape")
    page.keyboard.press("Control+k")
    palette = page.get_by_role("dialog", name="Go to")
    expect(palette.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("short")
    page.keyboard.press("Enter")
    expect(page.get_by_role("dialog")).to_contain_text("Keyboard shortcuts")
    page.keyboard.press("Escape")
    page.keyboard.press("Control+Shift+F")
    expect(page.locator("#library-panel").get_by_role("searchbox")).to_be_focused()
    page.keyboard.press("Control+Shift+O")
    expect(visit.questions).to_have_count(0)
    go = server.pause_answers(monkeypatch)
    visit.send(STORY)
    visit.wait_for_words()
    visit.stop(lambda: page.keyboard.press("Escape"))
    go.set()
    expect(visit.answers.last).to_have_attribute("data-finish", "cancelled")
