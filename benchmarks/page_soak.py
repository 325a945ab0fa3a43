"""Twenty tabs that reload, stop, edit and leave at random while the server is restarted: nothing may be lost.

    python -m benchmarks.page_soak --minutes 5

At the end, every message that was ever shown must still be there, and each answer must be what a server generated from
the messages above it. Both are counted and printed; the exit code is 1 if one is missing or mixed up.
"""

import argparse
import random
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Error, Locator

from llm_chatbot.answering import options as settings
from llm_chatbot.answering.models import open_loaded_model
from llm_chatbot.answering.pending import PendingAnswer
from llm_chatbot.answering.service import Answering
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.folder.place import AS_IN_FILE
from tests.browser import open_browser
from tests.page_visit import Server, Visit

CONTEXTS = 4  # browsers, which share the tabs: those of one browser share its storage
CLICK = 10_000  # milliseconds in which a click must have its effect
RESTARTS = 0.01  # share of the steps
NEW_TOKENS = 40

Message = dict[str, Any]

# The messages that are shown: the id of each, and what a question says.
SHOWN = """[...document.querySelectorAll('.message')].map((it) =>
    [it.dataset.id, it.matches('.user') ? it.querySelector('.body').innerText : null])"""


class Soak:
    """Tabs and what was seen in them.

    Attributes:
        visits: the tabs.
        servers: the answers of each server that there was.
        seen: id of each message that was shown → its text, of a question.
        actions: what was done, and how often.
    """

    def __init__(self, browser: Browser, server: Server, tabs: int, seed: int) -> None:
        self.server, self.random = server, random.Random(seed)
        contexts = [browser.new_context(reduced_motion="reduce") for _ in range(min(CONTEXTS, tabs))]
        self.visits = [Visit(contexts[index % len(contexts)], server) for index in range(tabs)]
        for visit in self.visits:
            visit.page.set_default_timeout(CLICK)
        self.servers: list[Answering] = [server.page.answering]
        self.seen: dict[str, str | None] = {}
        self.actions: Counter[str] = Counter()
        self.asked = 0

    def run(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.step()

    def step(self) -> None:
        """Does something at random in one of the tabs: something that is possible there."""
        if self.random.random() < RESTARTS:
            self.restart()
            return
        visit = self.random.choice(self.visits)
        visit.page.bring_to_front()  # in other tabs there is one frame a second, and a click waits for two
        name, act = self.random.choice(self.possible(visit))
        try:
            act()
            self.look(visit)
        except Error:  # what was to be clicked has just gone, as Stop does when an answer ends
            name += ", too late"
        self.actions[name] += 1

    def possible(self, visit: Visit) -> list[tuple[str, Callable[[], Any]]]:
        """The actions that are possible in a tab."""
        actions = [("ask", lambda: self.ask(visit))] * 2
        actions += [("reload", lambda: self.reload(visit)), ("begin", visit.page.locator(".new:visible").first.click)]
        buttons = {"stop": visit.button("Stop"), "continue": visit.button("Continue").last}
        buttons |= {"regenerate": visit.button("Regenerate").last, "open": self.random_name(visit)}
        actions += [(name, button.click) for name, button in buttons.items() if button.is_visible()]
        if visit.questions.count():
            actions.append(("edit", lambda: self.edit(visit)))
        return actions

    def look(self, visit: Visit) -> None:
        self.seen |= dict(visit.page.evaluate(SHOWN))

    def new_question(self) -> str:
        self.asked += 1
        return f"Write about number {self.asked}."

    def ask(self, visit: Visit) -> None:
        visit.send(self.new_question())

    def edit(self, visit: Visit) -> None:
        question = visit.page.locator(".message.user").first
        question.hover()
        question.get_by_role("button", name="Edit").click()
        visit.page.get_by_role("textbox", name="Edit").fill(self.new_question())
        visit.page.keyboard.press("Control+Enter")

    def random_name(self, visit: Visit) -> Locator:
        """A conversation in the list, which another tab may show too."""
        return visit.names.nth(self.random.randrange(max(1, visit.names.count())))

    def reload(self, visit: Visit) -> None:
        visit.page.reload(wait_until="commit")
        visit.box.wait_for(timeout=60_000)

    def restart(self) -> None:
        self.server.stop()
        self.server.start()
        self.servers.append(self.server.page.answering)
        self.actions["restart"] += 1

    def wait_for_answers(self, seconds: float) -> int:
        """Waits until nothing is expected any more; returns how many answers still are."""
        end = time.monotonic() + seconds
        while (left := sum("finish_reason" not in it for it in answers_of(self.stored()))) > 0:
            if time.monotonic() > end:
                break
            time.sleep(1)
        return left

    def close(self) -> None:
        """Closes the browsers, which otherwise go on asking for what they miss."""
        for context in {visit.page.context for visit in self.visits}:
            context.close()

    def stored(self) -> list[Message]:
        """All messages of all browsers."""
        contexts = {visit.page.context: visit for visit in self.visits}
        return [message for visit in contexts.values() for message in visit.stored()]

    def lost(self, messages: list[Message]) -> list[str]:
        """The ids of messages that were shown, and aren't there or say something else."""
        stored = {message["id"]: message["content"] for message in messages}
        return [id for id, text in self.seen.items() if id not in stored or text not in (None, stored[id])]

    def mixed_up(self, messages: list[Message]) -> list[str]:
        """The ids of answers that no server gave to the messages above them."""
        by_id = {message["id"]: message for message in messages}
        given = [answers._answers for answers in self.servers]
        return [
            answer["id"]
            for answer in answers_of(messages)
            if (known := [its[answer["id"]] for its in given if answer["id"] in its])
            and not any(was_given(answer, path_to(answer, by_id), it) for it in known)
        ]


def answers_of(messages: list[Message]) -> list[Message]:
    return [message for message in messages if message["role"] == "assistant"]


def path_to(answer: Message, by_id: dict[str, Message]) -> list[str]:
    """The texts of the messages above an answer."""
    path: list[str] = []
    message = answer
    while (parent := by_id.get(message["parent"])) and parent["conversation"] == answer["conversation"]:
        path.insert(0, parent["content"])
        message = parent
    return path


def was_given(answer: Message, path: list[str], pending: PendingAnswer) -> bool:
    """Whether a server generated this answer from these messages; of one that was interrupted, the beginning."""
    asked = [message["content"] for message in pending.question.messages]
    # One that continues another and was stopped before the server came to it says what it continues.
    text = pending.answer.text if pending.answer else answer.get("begun") or ""
    is_whole = answer["finish_reason"] in ("stop", "length")
    says_it = answer["content"] == text if is_whole else text.startswith(answer["content"].rstrip("\ufffd"))
    return asked[: len(path)] == path and says_it


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--tabs", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--models", type=Path, help="folder with converted models (default: a temporary one)")
    arguments = parser.parse_args()
    root = arguments.models or Path(tempfile.mkdtemp())
    convert_model(DEFAULT_MODEL, output_root=root)
    settings.MAX_NEW_TOKENS = NEW_TOKENS
    server = Server(open_loaded_model(DEFAULT_MODEL, AS_IN_FILE, "CPU", root, may_be_file=False), root, concurrent=4)
    with open_browser() as browser:
        soak = Soak(browser, server, arguments.tabs, arguments.seed)
        soak.run(60 * arguments.minutes)
        left = soak.wait_for_answers(300)
        messages = soak.stored()
    server.stop()
    lost, mixed = soak.lost(messages), soak.mixed_up(messages)
    print("done:", ", ".join(f"{name} {count}" for name, count in sorted(soak.actions.items())))
    print(
        f"messages shown: {len(soak.seen)}, lost: {len(lost)}; answers: {len(answers_of(messages))}, "
        f"mixed up: {len(mixed)}, still expected: {left}"
    )
    for message in messages:
        if message["id"] in {*lost, *mixed}:
            print(re.sub(r"\s+", " ", str(message)))
    return 1 if lost or mixed or left else 0


if __name__ == "__main__":
    sys.exit(main())
