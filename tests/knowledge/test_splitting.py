"""Texts are cut at their own borders, into passages that an encoder can read whole."""

import random
from itertools import pairwise

import pytest

from llm_chatbot.knowledge.readers.file_text import FileText, join_parts
from llm_chatbot.knowledge.splitting import split
from llm_chatbot.knowledge.tokens import estimate_tokens

MARKDOWN = """# Book

Before the chapters.

## First

One paragraph.

```python
# no heading

x = 1
```

## Second
### Inner

Another."""


def parts(file_text: FileText, max_tokens: int = 240) -> list[tuple[str, str]]:
    """The heading of each passage, and its text."""
    text = file_text.text
    return [(passage.heading, text[passage.start : passage.end]) for passage in split(file_text, max_tokens=max_tokens)]


def test_a_passage_is_of_one_section_and_knows_the_headings_above_it():
    assert parts(FileText(MARKDOWN, headings="markdown")) == [
        ("Book", "# Book\n\nBefore the chapters."),
        ("Book › First", "## First\n\nOne paragraph.\n\n```python\n# no heading\n\nx = 1\n```"),
        ("Book › Second › Inner", "## Second\n### Inner\n\nAnother."),
    ]


def test_headings_are_those_of_the_format():
    assert parts(FileText("# a comment\n\nx = 1")) == [("", "# a comment\n\nx = 1")]
    text = "Title\n=====\n\ntext\n\nInner\n-----\n\nmore"
    assert [heading for heading, _ in parts(FileText(text, headings="underlined"))] == ["Title", "Title › Inner"]


def test_lines_and_parts_say_where_a_passage_stands():
    first, second, third = split(FileText(MARKDOWN, headings="markdown"))
    assert [(one.first_line, one.last_line) for one in (first, second, third)] == [(1, 3), (5, 13), (15, 18)]
    pages = join_parts([("page", "1", "First page."), ("page", "2", ""), ("page", "3", "Third page.")], "")
    found = split(pages)
    assert [(one.part.label, pages.text[one.start : one.end]) for one in found] == [
        ("1", "First page."),
        ("3", "Third page."),
    ]


@pytest.mark.parametrize("separator", ["\n\n", "\n", " ", "。", ""])
def test_no_passage_is_longer_than_the_limit_and_nothing_is_lost(separator: str):
    draw = random.Random(0)
    words = ["word", "longer-word", "日本語", "x" * 70, "e.g.", "# heading"]
    text = separator.join(draw.choice(words) for _ in range(400))
    file_text = FileText(text, headings="markdown")
    for limit in (12, 60):
        found = split(file_text, max_tokens=limit)
        texts = [text[one.start : one.end] for one in found]
        assert all(tokens <= limit for tokens in estimate_tokens(texts))
        assert "".join("".join(texts).split()) == "".join(text.split())
        assert all(one.end <= other.start for one, other in pairwise(found))


def test_paragraphs_share_a_passage_as_long_as_they_fit():
    text = "\n\n".join(f"Paragraph {number} has six words here." for number in range(10))
    found = parts(FileText(text), max_tokens=45)
    assert len(found) == 2 and all(passage.count("Paragraph") == 5 for _, passage in found)


def test_a_text_of_nothing_has_no_passages():
    assert split(FileText("")) == [] and split(FileText("\n\n ")) == []
