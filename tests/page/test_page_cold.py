"""A first visit to the page fetches little, whatever is added to it."""

from playwright.sync_api import Browser

from benchmarks.page_cold import visit
from tests.page_visit import Server

MOST = 300  # kilobytes


def test_a_first_visit_fetches_at_most_300_kilobytes(browser: Browser, server: Server):
    seen = visit(browser, server.address)
    largest = sorted(seen.sizes.items(), key=lambda it: -it[1])[:12]
    assert 100 < seen.kilobytes <= MOST, largest
    fetched = " ".join(seen.sizes)
    lazy = "get_model compare transfer pdf katex mermaid highlight attachments.js composer/pictures.js file_view"
    for later in lazy.split():
        assert later not in fetched
