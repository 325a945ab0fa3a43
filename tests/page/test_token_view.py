"""The tokens of an answer keep its Markdown: each character belongs to the token that wrote it."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.page.test_library import as_json, import_file
from tests.page_visit import Visit
from tests.web_modules import open_modules

MARKDOWN = [
    *("# A", " heading", "\n\n", "The **", "bold", "**", " word", " and", " `", "code", "`.", "\n\n"),
    *("1", ".", " First", "\n", "2", ".", " Sec", "ond", " [", "link", "](", "http://", "a.b", ")", "\n\n"),
    *("```", "python", "\n", "print", "(", "1", ")\n", "```", "\n\n", "| a | b |\n|---|---|\n| 1 |", " 2 |", ""),
]

# Draws the first `count` tokens, and gives the drawn text of each, and what is drawn without the marks of others.
DRAW = """([written, count]) => {
  const tokens = written.slice(0, count).map((it) => [it, 0.5, []]);
  const content = written.slice(0, count).join("");
  const names = ["copy", "copyCode", "table", "wrap", "numbers", "download", "preview"];
  window.view ??= inside.insideView(() => {}, () => Object.fromEntries(names.map((name) => [name, name])));
  view.draw({ content, tokens }, count === written.length);
  const texts = {};
  for (const it of view.element.querySelectorAll(".token:not(.markup)"))
    texts[it.dataset.index] = (texts[it.dataset.index] ?? "") + it.textContent;
  const plain = view.element.cloneNode(true);
  plain.querySelectorAll(".markup, .code-head").forEach((it) => it.remove());
  const all = new Set([...view.element.querySelectorAll(".token")].map((it) => it.dataset.index));
  const elements = [...plain.querySelectorAll("h1, strong, code, li, a, td")];
  return { texts, all: all.size, tags: elements.map((it) => [it.tagName, it.textContent.trim()]) };
}"""


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    with open_modules(browser, "conversation/inside") as page:
        yield page


def test_tokens_stand_in_the_drawn_markdown(page: Page):
    drawn = page.evaluate(DRAW, [MARKDOWN, len(MARKDOWN)])
    assert drawn["all"] == len(MARKDOWN), "each token can be reached"
    texts = {int(index): text for index, text in drawn["texts"].items()}
    seen = {MARKDOWN[index].strip(" *#`"): text.strip() for index, text in texts.items()}
    for word in ("A", "heading", "The", "bold", "word", "and", "code", "First", "Sec", "ond", "link", "print", "("):
        assert seen[word] == word
    assert drawn["tags"] == [
        *(["H1", "A heading"], ["STRONG", "bold"], ["CODE", "code"], ["LI", "First"], ["LI", "Second link"]),
        *(["A", "link"], ["CODE", "print(1)"], ["TD", "1"], ["TD", "2"]),
    ]


def test_an_answer_that_grows_is_drawn_as_the_whole_one(page: Page):
    for count in range(1, len(MARKDOWN) + 1):
        grown = page.evaluate(DRAW, [MARKDOWN, count])
    page.evaluate("delete window.view")
    assert grown == page.evaluate(DRAW, [MARKDOWN, len(MARKDOWN)])


def test_the_markdown_of_an_answer_stays_when_its_tokens_are_shown(visit: Visit):
    tokens = [
        ["The ", 0.9, []],
        ["**", 0.5, [["**", 0.5], ["big", 0.4]]],
        ["bold", 0.8, [["bold", 0.8]]],
        ["**", 1, []],
    ]
    answer = {"id": "2", "parent": "1", "role": "assistant", "content": "The **bold**", "finish_reason": "stop"}
    question = {"id": "1", "parent": None, "role": "user", "content": "?"}
    import_file(visit, "one.json", as_json(question, {**answer, "tokens": tokens}))
    visit.button("The answer's tokens").click()
    shown = visit.page.locator(".tokens")
    expect(shown.locator("strong .token:not(.markup)")).to_have_text("bold")
    shown.locator(".markup").first.click()
    expect(visit.page.locator(".alternatives button")).to_have_count(2)
    visit.page.keyboard.press("Escape")
    visit.page.keyboard.press("ArrowRight")
    expect(shown.locator(".token:focus")).to_have_text("bold")
    visit.screenshot("token-view")
    assert json.dumps(visit.stored()).count("tokens") == 1
