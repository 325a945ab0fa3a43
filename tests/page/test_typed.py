"""page/web/markdown/typed.js in a real browser: what a person wrote is shown as it was typed."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.web_modules import open_modules

SHOW = """(text) => {
    const root = Object.assign(document.createElement("div"), { className: "markdown" });
    document.body.replaceChildren(root);
    typed.renderTyped(root, text, { copy: "Copy", copied: "Copied", copyCode: "Copy code", table: "Table" });
    const parts = [...root.children].map((part) =>
        part.matches(".code") ? ["code", part.dataset.language, part.querySelector("code").textContent] :
        ["text", part.textContent, [...part.querySelectorAll("code")].map((code) => code.textContent)]);
    return [parts, [...root.querySelectorAll("*")].map((node) => node.localName)];
}"""


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with open_modules(browser, "markdown/typed") as page:
        yield page


def shown(page: Page, text: str) -> Any:
    return page.evaluate(SHOW, text)[0]


@pytest.mark.parametrize(
    "text",
    ["# comment", "    indented\n\tby a tab\n  and two", "__init__ and **kwargs and *args", "1. one\n5. five\n- a\n* b",
     "> quoted", "a | b\n--|--\n1 | 2", "[text](https://a.b) <https://a.b> https://a.b", "$x^2$ and $$y$$ \\(z\\)",
     "a \\* b \\n &amp; &lt;",
     "one\n\n\n\ntwo", "---\n===\nx\n===", "![a](b.png)", "- [x] done", "~~no~~ ``", "<b>x</b>",
     "Title\n=====\n\nText", "`open and\nclosed` later", "a  b   c", "``` three in a line ` and"],
)  # fmt: skip
def test_what_is_no_code_is_shown_as_it_was_typed(page: Page, text: str):
    parts, names = page.evaluate(SHOW, text)
    assert parts == [["text", text, []]] and set(names) == {"div"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Use `__init__` here", [["text", "Use __init__ here", ["__init__"]]]),
        ("``a ` b``", [["text", "a ` b", ["a ` b"]]]),
        (
            "Mend:\n\n```python\n# comment\nx = 1\n```\n\n# after",
            [["text", "Mend:", []], ["code", "python", "# comment\nx = 1\n"], ["text", "# after", []]],
        ),
        ("```\nopen\n  end", [["code", "", "open\n  end"]]),
        ("  ~~~sh\n  ls\n  ~~~", [["code", "sh", "ls\n"]]),
        (
            "```markdown\n```sh\nls\n```\nend\n```\nx",
            [["code", "markdown", "```sh\nls\n```\nend\n"], ["text", "x", []]],
        ),
        ("\n\n  first\n\n", [["text", "  first", []]]),
    ],
)
def test_blocks_of_code_and_code_between_backticks_are_drawn(page: Page, text: str, expected: list[Any]):
    assert shown(page, text) == expected
