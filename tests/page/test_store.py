"""The store of conversations, by itself in a browser: what a reload interrupted, and what two tabs do at once."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.web_modules import open_modules

# The ids of the messages that are stored when `entries` were in the journal, and what of the journal is left then.
# With `meanwhile`, another tab clears the journal while the first entry is read; with `full`, nothing can be stored.
OPEN_WITH = """async ([entries, meanwhile, full]) => {
    const prefix = "llm-chatbot.journal.";
    for (const id of entries) {
        const messages = [{ id, conversation: "one", parent: null, role: "user", content: "Hello", created: 1 }];
        localStorage.setItem(prefix + id, JSON.stringify({ conversation: { id: "one", name: "One" }, messages }));
    }
    const { getItem } = Storage.prototype;
    if (meanwhile)
        Storage.prototype.getItem = function (key) {
            const entry = getItem.call(this, key);
            Object.keys(localStorage).forEach((key) => localStorage.removeItem(key));
            return entry;
        };
    const { put } = IDBObjectStore.prototype;
    if (full) IDBObjectStore.prototype.put = () => { throw new DOMException("", "QuotaExceededError"); };
    const { read } = await store.openStore();
    IDBObjectStore.prototype.put = put;
    return [(await read("one")).messages.map(({ id }) => id), Object.keys(localStorage)];
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose browser keeps nothing yet."""
    with open_modules(browser, "store/store") as page:
        yield page


@pytest.mark.firefox
def test_what_a_reload_interrupted_is_stored(page: Page) -> None:
    assert page.evaluate(OPEN_WITH, [["a", "b"], False, False]) == [["a", "b"], []]


@pytest.mark.firefox
def test_entries_that_another_tab_stored_meanwhile_are_no_error(page: Page) -> None:
    stored, left = page.evaluate(OPEN_WITH, [["a", "b"], True, False])
    assert len(stored) == 1 and not left


def test_a_page_with_full_storage_opens_and_keeps_the_journal(page: Page) -> None:
    stored, left = page.evaluate(OPEN_WITH, [["a", "b"], False, True])
    assert not stored and len(left) == 2
    assert page.evaluate(OPEN_WITH, [[], False, False]) == [["a", "b"], []]


def test_what_is_stored_already_changes_nothing_in_the_conversation(page: Page) -> None:
    page.evaluate(OPEN_WITH, [["a"], False, False])
    renamed = """async () => {
        const { putConversation } = await store.openStore();
        await putConversation({ id: "one", name: "Another name" });
    }"""
    page.evaluate(renamed)
    page.evaluate(OPEN_WITH, [["a"], False, False])
    assert (
        page.evaluate("async () => (await (await store.openStore()).read('one')).conversation.name") == "Another name"
    )


def test_a_tab_whose_answer_another_one_has_stored_takes_over_that_one(page: Page) -> None:
    """At once: what the other tab tells it, which is switched off here, may come later."""
    told = """async () => {
        BroadcastChannel.prototype.postMessage = () => {};
        const [one, other] = [await store.openStore(), await store.openStore()];
        await one.add({ id: "one" }, [{ id: "a", conversation: "one", parent: null, role: "assistant", content: "" }]);
        const changes = [];
        other.subscribe((change) => changes.push(change));
        const end = { id: "a", content: "The end.", finish_reason: "stop" };
        for (const tab of [one, other]) await tab.updateAnswer(end);
        return changes;
    }"""
    assert page.evaluate(told) == [{"conversation": "one", "message": "a", "grows": False}]
