from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, Page

from docs.book.pairs import SPLIT_QUERY, terms


@pytest.fixture
def page(browsers: Callable[..., Browser]) -> Iterator[Page]:
    with browsers("chromium").new_context() as context:
        yield context.new_page()


def test_neighbours_in_chinese_and_japanese_are_pairs():
    assert list(terms("KVキャッシュ, 2 turns")) == ["KV", *"キャッシュ", "キャ", "ャッ", "ッシ", "シュ", "2", "turns"]
    assert list(terms("层")) == ["层"]


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ("ブロック table", ["ブロ", "ロッ", "ック", "table"]),
        ("层", ["层"]),
        ("kv_cache的INT4?", ["kv_cache", "的", "INT4"]),
        ("  ", []),
    ],
)
def test_a_question_is_split_into_terms_that_pages_have(page: Page, question: str, expected: list[str]):
    page.evaluate(f"() => {{ {SPLIT_QUERY} window.splitQuery = splitQuery; }}")
    found = page.evaluate("question => window.splitQuery(question)", question)
    assert found == expected and set(found) <= set(terms(question))
