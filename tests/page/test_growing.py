"""Markdown that grows, and the HTML that it may have: page/web/markdown/growing.js and html.js."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page

from tests.web_modules import open_modules


@pytest.fixture(scope="module")
def page(browser: Browser) -> Iterator[Page]:
    with open_modules(browser, "markdown/markdown", "markdown/growing") as page:
        yield page


def drawn(page: Page, text: str, streaming: bool = False) -> str:
    """The HTML of a message, without what only the browser's parser adds."""
    html: str = page.evaluate(
        """([text, streaming]) => {
          const root = document.createElement("div");
          markdown.renderInto(root, text, { streaming });
          return root.innerHTML;
        }""",
        [text, streaming],
    )
    return html.replace(' dir="auto"', "").replace("\n", "")


@pytest.mark.parametrize(
    ("cut", "whole"),
    [
        ("**bold", "<p><strong>bold</strong></p>"),
        ("**bold and *more", "<p><strong>bold and <em>more</em></strong></p>"),
        ("a **", "<p>a </p>"),
        ("~~gone and `co", "<p><s>gone and <code>co</code></s></p>"),
        ("a `", "<p>a </p>"),
        ("a ``b`", "<p>a <code>b</code></p>"),
        ("see [the doc](https://exa", "<p>see the doc</p>"),
        ("see [the do", "<p>see the do</p>"),
        ("- one\n- **two", "<ul><li>one</li><li><strong>two</strong></li></ul>"),
        ("2 * 3 and a_b", "<p>2 * 3 and a_b</p>"),
        ("a \\*b and [1", "<p>a *b and [1</p>"),
        ("H<sub>2", "<p>H<sub>2</sub></p>"),
        ("**done** here", "<p><strong>done</strong> here</p>"),
    ],
)
def test_what_is_open_at_the_end_is_drawn_as_it_will_be(page: Page, cut: str, whole: str):
    assert drawn(page, cut, streaming=True) == whole


@pytest.mark.parametrize("cut", ["| A | B |", "| A | B |\n", "| A | B |\n|--", "| A | B |\n|---|---|", "| A | B"])
def test_the_first_rows_of_a_table_are_a_table(page: Page, cut: str):
    html = drawn(page, f"Text\n\n{cut}", streaming=True)
    assert "<th>A</th><th>B</th>" in html and "|" not in html


def test_at_its_end_a_message_is_what_was_written(page: Page):
    grown = page.evaluate(
        """(texts) => {
          const root = document.createElement("div");
          for (const text of texts) markdown.renderInto(root, text, { streaming: true });
          markdown.renderInto(root, texts.at(-1));
          return root.textContent;
        }""",
        ["a **b", "a **b and [x](y"],
    )
    assert grown == "a **b and [x](y"


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("H<sub>2</sub>O, x<sup>2</sup><br>next", "<p>H<sub>2</sub>O, x<sup>2</sup><br>next</p>"),
        ("<SUP>**a**</SUP>", "<p><sup><strong>a</strong></sup></p>"),
        (
            "<details><summary>More *here*</summary>\n\n- a\n- b\n</details>\nafter",
            "<details><summary>More <em>here</em></summary><ul><li>a</li><li>b</li></ul></details><p>after</p>",
        ),
        ("<sub>open", "<p>&lt;sub&gt;open</p>"),
        ('<sub class="x">a</sub>', '<p>&lt;sub class="x"&gt;a&lt;/sub&gt;</p>'),
        ("<details open>\na\n</details>", "<p>&lt;details open&gt;<br>a<br>&lt;/details&gt;</p>"),
        ("`<br>`", "<p><code>&lt;br&gt;</code></p>"),
    ],
)
def test_of_html_only_the_allow_list_is_drawn_and_without_attributes(page: Page, text: str, html: str):
    assert drawn(page, text) == html


@pytest.mark.parametrize(
    "text", ["**「重要」**です", "これは**「重要」**です。", "这是**“重点”**内容", "**注意：**请看"]
)
def test_bold_beside_chinese_and_japanese_punctuation(page: Page, text: str):
    assert drawn(page, text).count("<strong>") == 1 and "*" not in drawn(page, text)
