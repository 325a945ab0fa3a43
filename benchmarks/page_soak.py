"""Twenty tabs that reload, stop, edit and leave at random while the server is restarted: nothing may be lost.

    python benchmarks/page_soak.py --minutes 5

At the end, every message that was ever shown must still be there, and each answer must belong to its question. Both are
counted and printed; the exit code is 1 if one is missing or mixed up.
"""

import argparse
import random
import re
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parents[1] / "tests")]

from config import DEFAULT_MODEL
from converter import convert_model
from page import settings
from page.models import open_model

from browser import open_browser
from page_visit import Server, Visit
from playwright.sync_api import Browser, Error, TimeoutError

CONTEXTS = 4  # browsers, which share the tabs: those of one browser share its storage
SHOWN = "[...document.querySelectorAll('.message')].map((it) => [it.dataset.id, it.innerText.slice(0, 60)])"


class Soak:
    """Tabs and what was seen in them.

    Attributes:
        visits: the tabs.
        seen: id of each message that was shown → how its text began.
        actions: what was done, and how often.
    """

    def __init__(self, browser: Browser, server: Server, tabs: int, seed: int) -> None:
        self.server, self.random = server, random.Random(seed)
        contexts = [browser.new_context() for _ in range(min(CONTEXTS, tabs))]
        self.visits = [Visit(contexts[index % len(contexts)], server) for index in range(tabs)]
        self.seen: dict[str, str] = {}
        self.actions: Counter[str] = Counter()
        self.asked = 0

    def step(self) -> None:
        """Does something at random in one of the tabs."""
        visit = self.random.choice(self.visits)
        names = ["ask", "ask", "ask", "reload", "stop", "edit", "regenerate", "begin", "continue_"]
        name = "restart" if self.random.random() < 0.01 else self.random.choice(names)
        try:
            getattr(self, name)(visit)
            self.actions[name] += 1
            self.look(visit)
        except (TimeoutError, Error):  # what was to be clicked is not there at this moment
            self.actions[f"{name}, not possible"] += 1

    def look(self, visit: Visit) -> None:
        self.seen |= dict(visit.page.evaluate(SHOWN))

    def ask(self, visit: Visit) -> None:
        self.asked += 1
        visit.send(f"Repeat: number {self.asked}.")

    def reload(self, visit: Visit) -> None:
        visit.page.reload(wait_until="commit")
        visit.box.wait_for(timeout=30_000)

    def stop(self, visit: Visit) -> None:
        visit.button("Stop").click(timeout=200)

    def edit(self, visit: Visit) -> None:
        self.asked += 1
        question = visit.page.locator(".message.user").first
        question.hover(timeout=200)
        question.get_by_role("button", name="Edit").click(timeout=500)
        visit.page.get_by_role("textbox", name="Edit").fill(f"Repeat: number {self.asked}.", timeout=500)
        visit.page.keyboard.press("Control+Enter")

    def continue_(self, visit: Visit) -> None:
        visit.button("Continue").last.click(timeout=200)

    def regenerate(self, visit: Visit) -> None:
        visit.button("Regenerate").last.click(timeout=200)

    def begin(self, visit: Visit) -> None:
        visit.page.locator("#new").click(timeout=500)

    def restart(self, visit: Visit) -> None:
        self.server.stop()
        self.server.start()

    def wait_for_answers(self, seconds: float) -> int:
        """Waits until nothing is expected any more; returns how many answers still are."""
        end = time.monotonic() + seconds
        while (left := sum("finish_reason" not in it for it in self.stored() if it["role"] == "assistant")) > 0:
            if time.monotonic() > end:
                break
            time.sleep(1)
        return left

    def stored(self) -> list[dict]:
        contexts = {visit.page.context: visit for visit in self.visits}
        return [message for visit in contexts.values() for message in visit.stored()]


def mixed_up(messages: list[dict]) -> list[str]:
    """Answers that stand below another question than theirs: the server says what it answered."""
    by_id = {message["id"]: message for message in messages}
    wrong = []
    for message in messages:
        if message["role"] != "assistant":
            continue
        question = by_id.get(message["parent"], {})
        if question.get("conversation") != message["conversation"] or question.get("role") != "user":
            wrong.append(message["id"])
    return wrong


def answered_another(soak: Soak, messages: list[dict]) -> list[str]:
    """Answers whose question, as the server had it, is not the one that they stand below."""
    by_id = {message["id"]: message for message in messages}
    wrong = []
    for id, pending in soak.server.page.answers._answers.items():
        last = [it for it in pending.question.messages if it["role"] == "user"][-1]
        if id in by_id and by_id[by_id[id]["parent"]]["content"] != last["content"]:
            wrong.append(id)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--tabs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", type=Path, help="folder with converted models (default: a temporary one)")
    arguments = parser.parse_args()
    root = arguments.models or Path(tempfile.mkdtemp())
    convert_model(DEFAULT_MODEL, "INT4", root)
    settings.MAX_NEW_TOKENS = 24
    server = Server(open_model(DEFAULT_MODEL, "INT4", "CPU", root), root, concurrent=4)
    with open_browser() as browser:
        soak = Soak(browser, server, arguments.tabs, arguments.seed)
        end = time.monotonic() + 60 * arguments.minutes
        while time.monotonic() < end:
            soak.step()
        left = soak.wait_for_answers(300)
        messages = soak.stored()
        kept = {message["id"] for message in messages}
        lost = [f"{id}: {text}" for id, text in soak.seen.items() if id not in kept]
        mixed = mixed_up(messages) + answered_another(soak, messages)
    server.stop()
    print("done:", ", ".join(f"{name} {count}" for name, count in sorted(soak.actions.items())))
    print(
        f"messages shown: {len(soak.seen)}, lost: {len(lost)}; answers: "
        f"{sum(it['role'] == 'assistant' for it in messages)}, mixed up: {len(mixed)}, still expected: {left}"
    )
    for line in [*lost, *mixed]:
        print(re.sub(r"\s+", " ", line))
    return 1 if lost or mixed or left else 0


if __name__ == "__main__":
    sys.exit(main())
