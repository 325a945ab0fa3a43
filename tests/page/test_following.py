"""page/web/server/following.js by itself in a browser, with a store and a server of a few lines."""

import pytest
from playwright.sync_api import Browser

from tests.web_modules import open_modules

# Pauses pass at once: `now` is the time that they would have taken.
FOLLOW = """async ([failures]) => {
    const later = window.setTimeout;
    let now = 0;
    Date.now = () => now;
    window.setTimeout = (act, time = 0) => later(() => ((now += time), act()));
    const asked = [];
    window.fetch = async (address, { body }) => (asked.push(JSON.parse(body)), Response.json({}));

    const question = { id: "q", conversation: "c", parent: null, role: "user", content: "Hello" };
    const answer = { id: "a", conversation: "c", parent: "q", role: "assistant", content: "" };
    const reads = []; // when
    const saved = [];
    const store = {
        read: async () => {
            await new Promise((resolve) => later(resolve));
            if (reads.push(now) <= failures) throw new DOMException("The transaction was aborted.", "AbortError");
            return { conversation: { id: "c" }, messages: [question, answer] };
        },
        unfinished: async () => [],
        updateAnswer: async (update) => saved.push(update),
        subscribe: () => {},
    };
    const heard = { changed: () => {}, reached: () => {}, ended: () => {} };
    const { expect } = following.startFollowing({ store, ...heard, shown: () => "c" });
    expect(answer);
    while (reads.length < 5 && !asked.length) await new Promise((resolve) => later(resolve));
    await new Promise((resolve) => later(resolve, 50));
    return [reads, asked, saved];
}"""


@pytest.mark.parametrize("failures", [2, 5])
def test_a_question_that_cannot_be_read_is_tried_again_after_pauses_and_then_its_answer_says_so(
    browser: Browser, failures: int
):
    with open_modules(browser, "server/following") as page:
        reads, asked, saved = page.evaluate(FOLLOW, [failures])
    if failures == 2:
        assert reads[:3] == [0, 1000, 2000]
        assert asked[0]["messages"] == [{"role": "user", "content": "Hello"}] and not saved
    else:
        ended = {"id": "a", "content": "", "finish_reason": "error", "error": {"key": "storage_unreadable"}}
        assert (reads, asked, saved) == ([0, 1000, 2000, 3000, 4000], [], [ended])


# Two answers are expected; what is stored of the conversation of the first can't be read as one.
FOLLOW_TWO = """async () => {
    const asked = [];
    window.fetch = async (address, { body }) => {
        const sent = JSON.parse(body);
        if (String(address).endsWith("ask")) asked.push(sent.id);
        return Response.json(Object.fromEntries(Object.keys(sent).map((id) => [id, { version: 1 }])));
    };
    const answer = (id) => ({ id, conversation: id, parent: "q", role: "assistant", content: "" });
    const saved = [];
    const store = {
        read: async (id) => ({ messages: id === "bad" ? [null] : [{ id: "q", role: "user", content: "Hello" }] }),
        unfinished: async () => [],
        updateAnswer: async (update) => saved.push(update),
        subscribe: () => {},
    };
    window.reported = [];
    window.addEventListener("error", (event) => (reported.push(event.message), event.preventDefault()));
    let wasDown = false;
    const reached = (isUp) => (wasDown ||= !isUp);
    const heard = { changed: () => {}, reached, ended: () => {} };
    const { expect } = following.startFollowing({ store, ...heard, shown: () => "good" });
    expect(answer("bad"));
    expect(answer("good"));
    while (!asked.length) await new Promise((resolve) => setTimeout(resolve));
    const ends = saved.map(({ id, finish_reason, error }) => [id, finish_reason, error.key]);
    return [asked, ends, wasDown, reported.length];
}"""


def test_a_fault_with_one_answer_ends_it_and_the_others_are_asked_for(browser: Browser):
    with open_modules(browser, "server/following") as page:
        assert page.evaluate(FOLLOW_TWO) == [["good"], [["bad", "error", "answer_lost"]], False, 1]


# The connection is lost while a call of a tool is sent. Pauses pass at once.
CALL = """async () => {
    const later = window.setTimeout;
    let now = 0;
    Date.now = () => now;
    window.setTimeout = (act, time = 0) => later(() => ((now += time), act()));
    const sent = [];
    window.fetch = async (address, { body }) => {
        const path = String(address).split("/page/")[1];
        sent.push(path);
        if (path === "tools/call") throw new TypeError("Failed to fetch");
        return Response.json(Object.fromEntries(Object.keys(JSON.parse(body)).map((id) => [id, null])));
    };
    const call = { id: "1", name: "add", server: "notes", tool: "add", arguments: "{}" };
    const question = { id: "q", conversation: "c", parent: null, role: "user", content: "Hello" };
    const asks = { finish_reason: "tool_calls", calls: [call] };
    const above = { id: "a", conversation: "c", parent: "q", role: "assistant", content: "", ...asks };
    const saved = [];
    const store = {
        read: async () => ({ conversation: { id: "c" }, messages: [question, above] }),
        unfinished: async () => [],
        updateAnswer: async (update) => saved.push(update),
        subscribe: () => {},
    };
    const heard = { changed: () => {}, reached: () => {}, ended: () => {} };
    const { expect } = following.startFollowing({ store, ...heard, shown: () => "c" });
    expect({ id: "a.0", conversation: "c", parent: "a", role: "tool", content: "", created: 0, call });
    while (!saved.length) await new Promise((resolve) => later(resolve));
    await new Promise((resolve) => later(resolve, 50));
    return [sent, saved, now];
}"""


def test_a_call_that_may_have_been_made_is_not_made_again(browser: Browser):
    with open_modules(browser, "server/following") as page:
        sent, saved, now = page.evaluate(CALL)
    assert sent.count("tools/call") == 1 and sent.count("follow") > 1 and now >= 5000
    assert saved == [{"id": "a.0", "content": "call_interrupted_result", "finish_reason": "interrupted"}]
