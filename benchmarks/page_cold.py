"""What a first visit to the page costs: bytes over the network, requests, and the time until something is painted.

    python -m benchmarks.page_cold --visits 5

Each visit is in a new browser context, which has nothing in its cache. Bytes are those that arrive, compressed and with
their headers (`Network.loadingFinished`); the times are the browser's own (`performance.getEntriesByType("paint")`).
"""

import argparse
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import Browser, CDPSession

from llm_chatbot.answering.models import open_loaded_model
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.folder.place import AS_IN_FILE
from tests.browser import open_browser
from tests.page_visit import Server

PAINTS = """Object.fromEntries(performance.getEntriesByType("paint").map((it) => [it.name, it.startTime]))"""
KILOBYTE = 1000


@dataclass
class ColdVisit:
    """A first visit.

    Attributes:
        sizes: bytes of each request, by its address.
        first_paint: milliseconds until something of the page is painted.
        ready: milliseconds until a message can be typed.
    """

    sizes: dict[str, float] = field(default_factory=dict)
    first_paint: float = 0.0
    ready: float = 0.0

    @property
    def kilobytes(self) -> float:
        return sum(self.sizes.values()) / KILOBYTE


def visit(browser: Browser, address: str) -> ColdVisit:
    """Visits the page with an empty cache."""
    seen = ColdVisit()
    with browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        page = context.new_page()
        note_sizes(context.new_cdp_session(page), seen.sizes)
        page.goto(address)
        page.locator("#message textarea").wait_for()
        seen.ready = page.evaluate("performance.now()")
        page.wait_for_load_state("networkidle")
        seen.first_paint = page.evaluate(PAINTS)["first-contentful-paint"]
    return seen


def note_sizes(cdp: CDPSession, sizes: dict[str, float]) -> None:
    addresses: dict[str, str] = {}

    def sent(event: dict[str, Any]) -> None:
        addresses[event["requestId"]] = event["request"]["url"]

    def finished(event: dict[str, Any]) -> None:
        address = addresses.get(event["requestId"], "")
        if not address.startswith("data:"):
            sizes[address] = sizes.get(address, 0) + event["encodedDataLength"]

    cdp.on("Network.requestWillBeSent", sent)
    cdp.on("Network.loadingFinished", finished)
    cdp.send("Network.enable")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--visits", type=int, default=5)
    parser.add_argument("--largest", type=int, default=0, help="print so many of the largest requests")
    parser.add_argument("--models", type=Path, help="folder with converted models (default: a temporary one)")
    arguments = parser.parse_args()
    root = arguments.models or Path(tempfile.mkdtemp())
    convert_model(DEFAULT_MODEL, output_root=root)
    server = Server(open_loaded_model(DEFAULT_MODEL, AS_IN_FILE, "CPU", root, may_be_file=False), root)
    with open_browser() as browser:
        visits = [visit(browser, server.address) for _ in range(arguments.visits)]
    server.stop()
    last = visits[-1]
    print(f"{last.kilobytes:.0f} kB in {len(last.sizes)} requests; medians of {len(visits)} visits:")
    print(f"first paint {median(each.first_paint for each in visits) / 1000:.2f} s", end=", ")
    print(f"ready {median(each.ready for each in visits) / 1000:.2f} s")
    for address, size in sorted(last.sizes.items(), key=lambda it: -it[1])[: arguments.largest]:
        print(f"{size / KILOBYTE:8.1f} kB {address.removeprefix(server.address)}")


if __name__ == "__main__":
    main()
