"""page/web/server/question.js by itself: what the model reads of a conversation."""

from typing import Any

from playwright.sync_api import Browser

from llm_chatbot.answering.pictures import MAX_PICTURES
from tests.web_modules import open_modules

TOO_LONG = {"key": "prompt.too_long", "values": {"length": 9, "limit": 5}}


def question(content: str) -> dict[str, Any]:
    return {"role": "user", "content": content}


def answer(content: str, key: str | None = None) -> dict[str, Any]:
    error = {"finish_reason": "error", "error": {"key": key}} if key else {"finish_reason": "stop"}
    return {"role": "assistant", "content": content, **error}


def test_a_question_that_was_too_long_is_not_read_with_the_next_one(browser: Browser):
    paths = {
        "fits": [question("one"), answer("1"), question("two")],
        "too long": [question("one"), answer("1"), question("long"), answer("", "prompt.too_long"), question("two")],
        "too large": [question("long"), answer("", "too_large"), question("two")],
        "of the first versions": [question("long"), answer("", "too_long"), question("two")],
        "joined": [question("stopped"), answer(""), question("b"), answer("", "prompt.too_long"), question("two")],
        "unanswered": [question("stopped"), answer(""), question("two")],
        "failed": [question("failed"), answer("", "failed"), question("two")],
        "asked again": [question("one"), answer("1"), question("long")],
        "continued": [question("one"), answer("1 and", "prompt.too_long"), question("two")],
    }
    with open_modules(browser, "server/question") as page:
        read = {
            name: [it["content"] for it in page.evaluate("(path) => question.modelMessages(path)", path)]
            for name, path in paths.items()
        }
    assert read == {
        "fits": ["one", "1", "two"],
        "too long": ["one", "1", "two"],
        "too large": ["two"],
        "of the first versions": ["two"],
        "joined": ["two"],
        "unanswered": ["stopped", "two"],
        "failed": ["failed", "two"],
        "asked again": ["one", "1", "long"],
        "continued": ["one", "1 and", "two"],
    }


def test_files_are_read_before_the_question(browser: Browser):
    files = [{"name": "a.txt", "text": "Hello"}]
    with open_modules(browser, "server/question") as page:
        read = page.evaluate("(path) => question.modelMessages(path)", [{**question("?"), "attachments": files}])
        none = page.evaluate("(path) => question.modelMessages(path)", [{**question("?"), "attachments": None}])
    assert read == [{"role": "user", "content": "a.txt:\n\n```\nHello\n```\n\n?"}] and none[0]["content"] == "?"


def test_pictures_go_with_their_question_beside_its_text(browser: Browser):
    files = [{"name": "a.png", "text": "", "picture": "data:image/png;base64,aGk="}, {"name": "a.txt", "text": "Hello"}]
    with open_modules(browser, "server/question") as page:
        (read,) = page.evaluate("(path) => question.modelMessages(path)", [{**question("?"), "attachments": files}])
    text = "a.txt:\n\n```\nHello\n```\n\n?"
    assert read == {"role": "user", "content": text, "pictures": ["data:image/png;base64,aGk="]}


def test_of_more_pictures_than_are_read_the_oldest_are_not_sent(browser: Browser):
    def asked(count: int) -> dict[str, Any]:
        return {
            **question("?"),
            "attachments": [{"name": "a", "text": "", "picture": str(place)} for place in range(count)],
        }

    with open_modules(browser, "server/question") as page:
        assert page.evaluate("question.MOST_PICTURES") == MAX_PICTURES
        path = [asked(2), answer("1"), asked(MAX_PICTURES - 1)]
        first, _, last = page.evaluate("(path) => question.modelMessages(path)", path)
        assert page.evaluate("(path) => path.map((of) => question.unreadPictures(path).get(of) ?? 0)", path) == [
            1,
            0,
            0,
        ]
        failed = [asked(3), answer("", "prompt.too_long"), asked(MAX_PICTURES)]
        assert page.evaluate("(path) => question.unreadPictures(path).size", failed) == 0
    assert first["pictures"] == [None, "1"] and None not in last["pictures"]
