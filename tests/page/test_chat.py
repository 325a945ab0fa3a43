"""page/web/conversation/chat.js by itself, with a store of a few lines: reading and saving take a while there."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.web_modules import open_modules

# `given(n, settings)` answers what was read as the n-th; what is saved is never confirmed.
FAKE_STORE = """async () => {
    const reads = [];
    const listeners = [];
    const store = {
        value: async () => undefined,
        read: (id) => new Promise((resolve) => reads.push([id, resolve])),
        putValue: () => new Promise(() => {}),
        putConversation: () => new Promise(() => {}),
        subscribe: (listener) => listeners.push(listener),
    };
    window.given = (index, settings) => {
        const [id, resolve] = reads[index];
        resolve({ conversation: { id, settings, model: null, leaf: null }, messages: [] });
    };
    window.tell = (change) => Promise.all(listeners.map((listener) => listener(change)));
    window.opened = await chat.openChat({ store, changed: () => {} });
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with open_modules(browser, "conversation/chat") as page:
        page.evaluate(FAKE_STORE)
        yield page


def test_of_two_conversations_the_one_that_was_chosen_last_is_shown(page: Page):
    shown = """async () => {
        const opening = [opened.open("a"), opened.open("b")];
        given(1, {});
        given(0, {});
        await Promise.all(opening);
        const [last, another] = [opened.conversation.id, opened.open("a")];
        await opened.open(null);
        given(2, {});
        await another;
        return [last, opened.conversation.isNew];
    }"""
    assert page.evaluate(shown) == ["b", True]


def test_a_setting_that_is_changed_while_older_ones_are_read_stays(page: Page):
    settings = """async () => {
        const opening = opened.open("a");
        given(0, {});
        await opening;
        opened.change({ settings: { top_k: 1 } });
        const telling = tell({ conversation: "a" });
        opened.change({ settings: { top_k: 1, seed: 2 } });
        given(1, { top_k: 1 });
        await telling;
        return opened.conversation.settings;
    }"""
    assert page.evaluate(settings) == {"top_k": 1, "seed": 2}
