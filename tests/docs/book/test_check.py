from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from docs.book.check import broken_links, read_pages, served

PICTURE = '<img src=\'data:image/svg+xml,<svg xmlns="http://www.w3.org/2000/svg" width="1" height="1"/>\'>'
WRONG = """<!doctype html><body style="background: white">
<script>console.error("went wrong")</script><script>throw new Error("thrown")</script>
<img src="missing.png"><img src="http://foreign.invalid/a.png">"""
RIGHT = f"""<!doctype html><meta name="color-scheme" content="light dark">
<body style="background: light-dark(white, #222)"><link rel="icon" href="data:,">{PICTURE}"""


@pytest.fixture
def book(tmp_path: Path) -> Path:
    (tmp_path / "en").mkdir()
    return tmp_path


def test_links_lead_to_files_and_to_places_in_them(book: Path):
    (book / "en" / "a.html").write_text(
        "<a id='here' href='b.html#there'></a><a href='#here'></a><a href='../c%20d.css?v=1'></a>"
        "<a href='b.html#gone'></a><a href='gone.html'></a>"
        "<a href='https://example.org/x'></a><a href='mailto:a@b'></a>",
        encoding="utf-8",
    )
    (book / "en" / "b.html").write_text("<h2 id='there'></h2>", encoding="utf-8")
    (book / "c d.css").write_text("", encoding="utf-8")
    assert broken_links(book, ["en/a.html", "en/b.html"]) == [
        "en/a.html: the link b.html#gone leads nowhere",
        "en/a.html: the link gone.html leads nowhere",
    ]


def test_a_browser_finds_what_is_wrong_on_a_page(book: Path, browsers: Callable[..., Browser]):
    (book / "en" / "wrong.html").write_text(WRONG, encoding="utf-8")
    (book / "en" / "right.html").write_text(RIGHT, encoding="utf-8")
    browser = browsers("chromium")
    with served(book) as address:
        for scheme in ("light", "dark"):
            assert list(read_pages(browser, address, ["en/right.html"], scheme)) == []
        found = list(read_pages(browser, address, ["en/wrong.html"], "dark"))
    for problem in (
        "went wrong",
        "thrown",
        "asks http://foreign.invalid/a.png",
        "is not dark",
        "missing.png is not there",
    ):
        assert any(problem in each for each in found), (problem, found)
