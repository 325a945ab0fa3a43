"""Summaries of the oldest messages, which the model writes and reads in their place."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect

from benchmarks.page_list import conversations, import_conversations
from llm_chatbot.answering.models import open_loaded_model
from llm_chatbot.answering.pending import PendingAnswer
from llm_chatbot.answering.question import Question
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.engine.session import Answer
from llm_chatbot.folder.place import AS_IN_FILE
from llm_chatbot.page.summaries import summary_of
from tests.page_visit import FRANCE, ITALY, Server, Visit
from tests.web_modules import open_modules

CONTEXT = 1000  # tokens
TURN = 100  # tokens of a question and its answer


@pytest.fixture(scope="module")
def pure(browser: Browser) -> Iterator[Page]:
    with open_modules(browser, "store/summaries", "store/branches", "store/tree") as page:
        page.evaluate("async () => { window.plans = await import('/web/conversation/summaries.js'); }")
        yield page


def message(id: str, parent: str | None, role: str, content: str, **more: Any) -> dict[str, Any]:
    created = int(re.sub(r"\D", "", id) or 0)
    return {
        "id": id,
        "conversation": "c",
        "parent": parent,
        "role": role,
        "content": content,
        "created": created,
    } | more


def turns(count: int, **last: Any) -> list[dict[str, Any]]:
    """Turns of `TURN` estimated tokens; the latest answer has the figures that these give."""
    made: list[dict[str, Any]] = []
    for place in range(2 * count):
        role, words = ("assistant", 360) if place % 2 else ("user", 20)
        made.append(message(str(place), str(place - 1) if place else None, role, words * "x", finish_reason="stop"))
    made[-1] |= {"figures": {"prompt_tokens": count * TURN, "completion_tokens": 0, "context_length": CONTEXT}} | last
    return made


def summary(id: str, parent: int, content: str = "short") -> dict[str, Any]:
    return message(id, str(parent), "summary", content, finish_reason="stop")


def covered(pure: Page, path: list[dict[str, Any]], *summaries: dict[str, Any]) -> int:
    """How many messages are to be summarised next."""
    plan = "([path, messages]) => plans.toSummarise(path, messages)?.length ?? 0"
    return pure.evaluate(plan, [path, [*path, *summaries]])


def read(pure: Page, path: list[dict[str, Any]], *summaries: dict[str, Any]) -> list[Any]:
    """How many messages the model reads, after which summary, and of how many others."""
    found = pure.evaluate("([path, all]) => summaries.readOf(path, all)", [path, [*path, *summaries]])
    return [len(found["messages"]), found.get("summary"), found.get("summarised")]


def test_pictures_count_by_their_tokens(pure: Page):
    path = turns(7)
    assert covered(pure, path) == 10
    path[-2]["attachments"] = [{"name": "a.png", "text": "", "picture": "data:image/png;base64,aGk=", "tokens": 600}]
    assert covered(pure, path) == 12  # most of what was read is the latest picture, which stays


def test_the_oldest_turns_are_summarised_near_the_end_of_the_context(pure: Page):
    assert covered(pure, turns(5)) == 0
    assert covered(pure, turns(7)) == 10  # two turns stay, and the beginning of the prompt for four more
    assert covered(pure, turns(7, figures={"prompt_tokens": 700, "context_length": None})) == 0
    assert covered(pure, turns(30, left_out=23, figures={"prompt_tokens": 700, "context_length": CONTEXT})) == 12
    assert covered(pure, turns(1, figures={"prompt_tokens": 900, "context_length": CONTEXT})) == 0


def test_a_summary_holds_for_the_branches_that_have_all_that_it_stands_for(pure: Page):
    path, own = turns(7), summary("100", 9)
    assert read(pure, path) == [14, None, None]
    assert read(pure, path, own) == [4, "short", 10]
    other = [*path[:8], message("50", "7", "user", "edited"), message("51", "50", "assistant", "other")]
    assert read(pure, other, own, *path[8:]) == [10, None, None]
    later, edited = summary("101", 11, "longer"), summary("102", 11, "by hand")
    assert read(pure, path, own, later) == [2, "longer", 12]
    assert read(pure, path, edited, own, later) == [2, "by hand", 12]


def test_without_its_summary_all_is_read_again_and_none_is_made(pure: Page):
    path = turns(8)
    own, deleted, again = summary("100", 9), summary("101", 9, ""), summary("102", 9)
    assert read(pure, path, own, deleted) == [16, None, None] and covered(pure, path, own, deleted) == 0
    assert read(pure, path, own, deleted, again) == [6, "short", 10]


def test_a_summary_is_no_message_of_a_branch(pure: Page):
    messages = [*turns(2), summary("100", 1), summary("101", 3)]
    assert pure.evaluate("(all) => branches.newestLeaf(all, '0')", messages) == "3"
    imported = pure.evaluate("(messages) => tree.conversationOf({ id: 'c' }, messages)", messages)
    assert imported["leaf"] == "3" and [it["role"] for it in imported["messages"]].count("summary") == 2
    answered = [*messages[:3], messages[3] | {"summarised": 2, "left_out": 0}]
    assert pure.evaluate("(path) => [...branches.turnsLeftOut(path)]", answered) == ["0", "1"]


@pytest.mark.parametrize(
    ("text", "reason", "expected"),
    [
        ("<think>\nWell…\n</think>\n\nThey spoke of France.", "stop", "They spoke of France."),
        ("They spoke of", "length", ""),
        ("They", None, None),
    ],
)
def test_a_summary_that_was_cut_is_none(text: str, reason: Any, expected: str | None):
    answer = Answer(text, 10, 0, finish_reason=reason)
    assert summary_of(PendingAnswer(Question(), answer=answer, ended=1.0)) == expected


def test_a_summary_that_failed_is_none():
    assert summary_of(PendingAnswer(Question(), error=ValueError(), ended=1.0)) == ""


@pytest.fixture
def small_server(models_root: Path, greedy: None) -> Iterator[Server]:
    """A page whose model has room for some 1,700 tokens, so that a short conversation is a long one."""
    memory: dict[str, Any] = {"kv_cache_gb": 0.08, "ov_config": EXACT}
    server = Server(open_loaded_model(DEFAULT_MODEL, AS_IN_FILE, "CPU", models_root, False, **memory), models_root)
    yield server
    server.stop()


# Of real parts: some 1,100 tokens are read twice, and some 100 written. What is looked at later is the same page.
def test_a_long_conversation_is_summarised_and_goes_on_from_there(context: BrowserContext, small_server: Server):
    visit = Visit(context, small_server)
    import_conversations(visit, conversations(1, 24, seed=2))
    visit.names.first.click()
    expect(visit.answers).to_have_count(12)
    visit.ask(FRANCE)
    own = visit.page.locator(".summarised")
    heading = own.get_by_text("Summary of 16 messages", exact=True)
    expect(heading).to_be_visible()
    expect(visit.questions).to_have_count(13)  # what it stands for is still there
    visit.ask(ITALY)
    expect(visit.answers.last).to_contain_text("Of the 16 oldest messages, the model read the summary.")
    assert prompt_tokens(visit) < 0.6 * prompt_tokens(visit, -2)

    heading.click()
    own.get_by_role("button", name="Edit summary").click()
    own.get_by_role("textbox").fill("They spoke of <|im_end|> harbours.")
    own.get_by_role("button", name="Save").click()
    visit.reload()
    heading.click()
    expect(own.locator(".body")).to_have_text("They spoke of <|im_end|> harbours.")
    visit.ask(FRANCE)
    expect(visit.answers.last).to_contain_text("the model read the summary")

    _, exported = visit.download(lambda: visit.act_on_list("Export all"))
    roles = [message["role"] for message in json.loads(exported)["conversations"][0]["messages"]]
    assert roles.count("summary") == 2 and roles.count("user") == 15

    _, drawn = visit.download(lambda: visit.act_on_list("Export current (HTML)"))
    assert b"They spoke of" in drawn and b"Answers read this instead" not in drawn
    _, written = visit.download(lambda: visit.act_on_list("Export current (Markdown)"))
    assert written.count(b"## User") == 15 and b"They spoke of" not in written

    own.get_by_role("button", name="Delete summary").click()
    expect(own).to_contain_text("answers read the messages themselves again")
    visit.ask(ITALY)
    expect(visit.answers.last).not_to_contain_text("the model read the summary")
    own.get_by_role("button", name="Bring it back").click()
    expect(heading).to_be_focused()


def prompt_tokens(visit: Visit, index: int = -1) -> int:
    return [message["figures"]["prompt_tokens"] for message in visit.stored() if message.get("figures")][index]


def test_a_conversation_that_could_not_be_read_once_is_considered_again(pure: Page):
    tried = """async () => {
        let reads = 0;
        const read = async () => {
            if (reads++ === 0) throw new Error("the storage is busy");
            return { conversation: undefined, messages: [] };
        };
        const { consider } = plans.summariesFor({ server: { model: {} }, store: { read } });
        const first = await consider("a").catch((error) => error.message);
        await consider("a");
        return [first, reads];
    }"""
    assert pure.evaluate(tried) == ["the storage is busy", 2]
