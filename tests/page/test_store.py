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
    assert sorted(stored) == ["a", "b"] and len(left) == 2  # seen, though they are not saved
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


# What can be read where the store has no room; then it has, and something is added.
WITHOUT_ROOM = """async () => {
    const { put } = IDBObjectStore.prototype;
    const message = (id, role) => ({ id, conversation: "one", parent: null, role, content: "", created: 1 });
    const first = await store.openStore();
    const reads = async (opened) => {
        const { conversation, messages } = await opened.read("one");
        const exported = (await opened.exportAll()).conversations.map(({ id, messages }) => [id, messages.length]);
        return [conversation?.name, messages.map(({ id, content, unsaved }) => [id, content, unsaved]), exported];
    };
    const seen = [];
    IDBObjectStore.prototype.put = () => { throw new DOMException("", "QuotaExceededError"); };
    await first.add({ id: "one", name: "One" }, [message("q", "user"), message("a", "assistant")]);
    seen.push(await reads(first));
    await first.updateAnswer({ id: "a", content: "Yes.", finish_reason: "stop" });
    await first.putConversation({ id: "one", name: "Other" }).catch(() => {});
    seen.push(await reads(first), (await first.unfinished()).length);
    const undo = await first.removeConversation("one").catch(() => {});
    IDBObjectStore.prototype.put = put;
    await first.putConversation({ id: "one", removed: undefined });
    await first.add({ id: "one" }, [message("q2", "user")]);
    seen.push(await reads(first), await reads(await store.openStore()), Object.keys(localStorage).length);
    return seen;
}"""


def test_what_the_store_has_no_room_for_is_read_like_all_else_and_saved_when_it_has(page: Page) -> None:
    waiting, ended, unfinished, saved, opened, left = page.evaluate(WITHOUT_ROOM)
    assert waiting == ["One", [["q", "", "storage_full"], ["a", "", "storage_full"]], [["one", 2]]]
    assert ended == ["Other", [["q", "", "storage_full"], ["a", "Yes.", "storage_full"]], [["one", 2]]]
    assert unfinished == 0 and left == 0
    assert saved == opened == ["Other", [["a", "Yes.", None], ["q", "", None], ["q2", "", None]], [["one", 3]]]
