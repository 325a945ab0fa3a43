"""Reads the book in a browser, as people do: links, search, light and dark, errors, and requests to other hosts."""

import contextlib
import functools
import http.server
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

from playwright.sync_api import Browser, Page, TimeoutError

from tests.browser import open_browser

Scheme = Literal["light", "dark"]

# A question in each language, and the lesson, which has to be among the pages that are found.
SEARCHES = {
    "en": ("cache", "llm-chatbot.html"),
    "ja": ("ブロックテーブル", "llm-chatbot.ja.html"),
    "zh_CN": ("提示词的末尾", "llm-chatbot.zh.html"),
}


def check_book(book: Path) -> list[str]:
    """The faults of the pages of a folder, a line for each."""
    pages = [path.relative_to(book).as_posix() for path in sorted(book.rglob("*.html"))]
    problems = broken_links(book, pages)
    with served(book) as address, open_browser() as browser:
        for scheme in get_args(Scheme):
            problems += read_pages(browser, address, pages, scheme)
        for place in (address, book.resolve().as_uri()):  # a book is opened as a file too
            for language, (words, lesson) in SEARCHES.items():
                problems += _search(browser, f"{place}/{language}", words, lesson)
    return problems


class _Links(HTMLParser):
    """The links of a page, and the places that links can name."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places = {""}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value for name, value in attrs if value is not None}
        self.places |= {values[name] for name in ("id", "name") if name in values}
        self.links += [values[name] for name in ("href", "src") if name in values]


def broken_links(book: Path, pages: list[str]) -> list[str]:
    """Links to files that are not there, or to places that a page has not."""
    read = {page: _Links((book / page).read_text(encoding="utf-8")) for page in pages}
    problems = []
    for page, found in read.items():
        for link in found.links:
            if urlsplit(link).scheme or link.startswith("//"):
                continue
            target, place = urldefrag(urljoin(page, link))
            target = unquote(urlsplit(target).path)
            is_there = (book / target).is_file()
            if not is_there or (target in read and unquote(place) not in read[target].places):
                problems.append(f"{page}: the link {link} leads nowhere")
    return problems


def read_pages(browser: Browser, address: str, pages: list[str], scheme: Scheme) -> Iterator[str]:
    """Opens each page.

    Yields:
        Errors on the console, requests to other hosts, missing pictures, and pages that are light in the dark.
    """
    with _watched(browser, address, scheme) as (page, problems):
        for name in pages:
            page.goto(f"{address}/{name}")
            if scheme == "dark" and "/" in name and not _is_dark(page):
                problems.append(f"{name} is not dark where the browser asks for it")
            problems += [f"{name}: the picture {source} is not there" for source in page.evaluate(MISSING_PICTURES)]
    yield from problems


MISSING_PICTURES = (
    "() => [...document.images].filter((it) => !it.naturalWidth && it.loading !== 'lazy').map((it) => it.src)"
)


def _is_dark(page: Page) -> bool:
    ground = page.evaluate("() => getComputedStyle(document.body).backgroundColor")
    return max(map(int, ground[ground.index("(") + 1 : -1].split(",")[:3])) < 100


def _search(browser: Browser, address: str, words: str, lesson: str) -> Iterator[str]:
    """Types a question into the box of a page, and looks for the lesson among the results."""
    with _watched(browser, address.rpartition("/")[0], "light") as (page, problems):
        page.goto(f"{address}/README.html")
        box = page.locator("input[name=q]").first
        box.fill(words)
        box.press("Enter")
        page.wait_for_url("**/search.html?*")
        try:
            page.locator(f"#search-results li a[href*='{lesson}']").first.wait_for()
        except TimeoutError:
            problems.append(f"{words!r} isn't found in {lesson}")
    yield from problems


@contextlib.contextmanager
def _watched(browser: Browser, address: str, scheme: Scheme) -> Iterator[tuple[Page, list[str]]]:
    """A page, and the errors on its console and requests to other hosts so far."""
    problems: list[str] = []
    context = browser.new_context(color_scheme=scheme)
    page = context.new_page()
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on(
        "request",
        lambda request: None if request.url.startswith((address, "data:")) else problems.append(f"asks {request.url}"),
    )
    yield page, problems
    context.close()


@contextlib.contextmanager
def served(book: Path) -> Iterator[str]:
    """The address of a folder."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(book))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
