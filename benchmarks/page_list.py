"""What the list of conversations costs the browser: a key in the search, opening a conversation, a new one.

    python -m benchmarks.page_list --conversations 300 --messages 40

Prints the milliseconds that the page's main thread works for each, by Chromium's own count (`TaskDuration`), and how
much of that are scripts, styles and layout. The page and its server are real; the conversations are imported.
"""

import argparse
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from playwright.sync_api import CDPSession, Locator, Page

from llm_chatbot.answering.models import open_loaded_model
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.folder.place import AS_IN_FILE
from tests.browser import open_browser
from tests.page_visit import Server, Visit

WORDS = [
    "river",
    "stone",
    "window",
    "copper",
    "letter",
    "morning",
    "engine",
    "garden",
    "signal",
    "paper",
    "harbour",
    "winter",
    "silver",
    "market",
    "bridge",
]
QUIET = 400  # milliseconds after which all that an action begins is done
COUNTERS = {
    "work": "TaskDuration",
    "script": "ScriptDuration",
    "style": "RecalcStyleDuration",
    "layout": "LayoutDuration",
}
FIRST_HOUR = 1_700_000_000_000  # milliseconds since 1970

Costs = dict[str, float]  # milliseconds by the names of `COUNTERS`


def conversations(count: int, messages: int, seed: int = 1) -> list[dict[str, Any]]:
    """Conversations as they are exported: short questions, answers of some 60 words with Markdown."""
    rng = random.Random(seed)
    return [conversation(str(number), messages, rng) for number in range(count)]


def conversation(id: str, messages: int, rng: random.Random) -> dict[str, Any]:
    start = FIRST_HOUR + 3_600_000 * int(id)
    made = []
    for place in range(messages):
        role, content = ("assistant", answer(rng)) if place % 2 else ("user", f"About the {words(rng, 8)}?")
        parent = f"{id}-{place - 1}" if place else None
        made.append(
            {"id": f"{id}-{place}", "parent": parent, "role": role, "content": content, "created": start + place}
        )
    return {"id": id, "name": "", "created": start, "updated": start + messages, "messages": made}


def answer(rng: random.Random) -> str:
    return f"The **{words(rng, 2)}** is a {words(rng, 30)}.\n\n- {words(rng, 8)}\n- `{words(rng, 2)}` {words(rng, 16)}"


def words(rng: random.Random, count: int) -> str:
    return " ".join(rng.choices(WORDS, k=count))


def import_conversations(visit: Visit, kept: list[dict[str, Any]]) -> None:
    """Imports them, and leaves the list open."""
    visit.open_panel("Conversations")
    content = json.dumps({"conversations": kept}).encode()
    file = {"name": "all.json", "mimeType": "application/json", "buffer": content}
    visit.page.locator("#library-panel input[type=file]").set_input_files(file)  # type: ignore[arg-type]
    visit.page.get_by_text(f"Imported {len(kept)} conversation").wait_for()


class ListVisit:
    """A tab with many conversations, whose list is open, and what actions in it cost."""

    def __init__(self, visit: Visit, kept: list[dict[str, Any]]) -> None:
        self.visit, self.kept = visit, kept
        self.page: Page = visit.page
        self.cdp: CDPSession = self.page.context.new_cdp_session(self.page)
        self.cdp.send("Performance.enable", {"timeDomain": "threadTicks"})  # of the processor, not of a clock
        import_conversations(visit, kept)

    def costs(self, act: Callable[[], Any]) -> Costs:
        """What an act costs the main thread until the page is quiet again, in milliseconds."""
        self.page.wait_for_timeout(QUIET)
        before = self._counters()
        act()
        self.page.wait_for_timeout(QUIET)
        return {name: 1000 * (value - before[name]) for name, value in self._counters().items()}

    def click(self, target: Locator) -> Costs:
        """What a click costs, without what Playwright does in the page to find and move to the target."""
        target.hover()
        box = target.bounding_box()
        assert box
        return self.costs(lambda: self.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2))

    def _counters(self) -> dict[str, float]:
        values = {metric["name"]: metric["value"] for metric in self.cdp.send("Performance.getMetrics")["metrics"]}
        return {name: values[counter] for name, counter in COUNTERS.items()}

    def keys(self, query: str) -> list[Costs]:
        """A search, key by key; the first key is not counted, before which the texts are made ready."""
        search = self.page.get_by_role("searchbox")
        search.fill("")
        search.focus()
        self.page.wait_for_timeout(5 * QUIET)
        costs = [self.costs(lambda key=key: self.page.keyboard.press(key)) for key in query]  # type: ignore[misc]
        search.fill("")
        return costs[1:]

    def open(self, place: int) -> Costs:
        """Opens a conversation of the list, by a click."""
        return self.click(self.visit.names.nth(place))

    def begin(self) -> Costs:
        """A new conversation, while another is shown."""
        self.open(1)
        return self.click(self.page.locator(".new:visible").first)


def measured(tab: ListVisit, rounds: int) -> dict[str, Costs]:
    """The medians, by what was done."""
    acts = {
        "nothing": [tab.costs(lambda: None) for _ in range(rounds)],
        "a key in the search": [
            costs for query in ("rive", "winter")[: max(1, rounds // 3)] for costs in tab.keys(query)
        ],
        "opening a conversation": [tab.open(2 + place % 5) for place in range(rounds)],
        "New": [tab.begin() for _ in range(rounds)],
    }
    return {
        name: {part: median(each[part] for each in all_costs) for part in COUNTERS} for name, all_costs in acts.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--conversations", type=int, default=300)
    parser.add_argument("--messages", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", type=Path, help="folder with converted models (default: a temporary one)")
    arguments = parser.parse_args()
    root = arguments.models or Path(tempfile.mkdtemp())
    convert_model(DEFAULT_MODEL, output_root=root)
    server = Server(open_loaded_model(DEFAULT_MODEL, AS_IN_FILE, "CPU", root, may_be_file=False), root)
    with open_browser() as browser, browser.new_context(viewport={"width": 1440, "height": 900}) as context:
        tab = ListVisit(Visit(context, server), conversations(arguments.conversations, arguments.messages))
        print(
            f"milliseconds of the main thread, {arguments.conversations} conversations of {arguments.messages} messages"
        )
        for name, costs in measured(tab, arguments.rounds).items():
            print(f"{name}: {', '.join(f'{part} {value:.0f}' for part, value in costs.items())}")
    server.stop()


if __name__ == "__main__":
    main()
