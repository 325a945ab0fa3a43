"""page/web/common/dom.js: what is said of an error, also of one that another version of the page saved."""

from playwright.sync_api import Browser

from llm_chatbot.texts import page_texts
from tests.web_modules import open_modules

ERRORS = [
    ({"key": "file_empty", "values": {"name": "a.txt"}}, "a.txt is empty; attach another file."),
    ({"key": "gone", "text": "It was so."}, "It was so."),
    ({"key": "file_empty", "values": {"file": "a.txt"}, "text": "a.txt has nothing."}, "a.txt has nothing."),
    ({"text": "Said by a server."}, "Said by a server."),
    ({"key": "too_long", "values": {"length": 9, "limit": 5}}, "The message is too long: 9 tokens"),
    ({"key": "error_hub_gated"}, "This answer failed"),
    ({"key": "error_hub_gated", "values": None}, "This answer failed"),
    ({"key": "toString"}, "This answer failed"),
    ({}, "This answer failed"),
]


def test_every_error_is_a_sentence(browser: Browser):
    with open_modules(browser, "common/dom") as page:
        page.evaluate("(texts) => dom.setTexts({ language: 'en', texts })", page_texts("en"))
        said = page.evaluate("(all) => all.map((error) => dom.errorText(error))", [error for error, _ in ERRORS])
        assert page.evaluate("dom.errorText(null)") == ""
    for sentence, (_, beginning) in zip(said, ERRORS, strict=True):
        assert sentence.startswith(beginning)
