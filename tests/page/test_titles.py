"""Titles that the model writes."""

import re

import pytest
from playwright.sync_api import expect

from llm_chatbot.page.titles import MAX_WIDE, title_in
from tests.page_visit import FRANCE, ITALY, Visit

TITLES = "localStorage.setItem('llm-chatbot.titles', 'on')"


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("The Capital of France", "The Capital of France"),
        ('<think>\nA title…\n</think>\n\n**Title: "The Capital of France."**\nIt is short.', "The Capital of France"),
        ("One two three four five six seven eight nine ten", "One two three four five six seven eight"),
        ("标题：《法国的首都》", "法国的首都"),
        ("「" + 20 * "とても長い" + "」", (20 * "とても長い")[:MAX_WIDE]),
        ("<think>it never ends", ""),
        ("\n# \n- \n", ""),
    ],
)
def test_a_title_is_the_first_line_of_at_most_eight_words(text: str, title: str):
    assert title_in(text) == title


def test_the_first_answer_gives_the_conversation_a_title_that_its_export_has(visit: Visit):
    visit.page.evaluate(TITLES)
    visit.open_panel("Conversations")
    with visit.page.expect_response("**/page/title") as response:
        visit.ask(FRANCE)
    title = response.value.json()["title"]
    assert title and len(title.split()) <= 8
    expect(visit.page.locator("#header h1")).to_have_text(title)
    expect(visit.names).to_have_text([title])
    expect(visit.page).to_have_title(re.compile(re.escape(title)))
    name, _ = visit.download(lambda: visit.act_on_list("Export current (Markdown)"))
    assert name.split() == [*re.sub(r'[<>:"/\\|?*]+', " ", title).split()[:-1], name.split()[-1]], title
    visit.reload()
    expect(visit.page.locator("#header h1")).to_have_text(title)
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.ask(ITALY)
    assert not [url for url in asked if url.endswith("/title")]


def test_a_name_that_was_given_by_hand_stays(visit: Visit):
    visit.ask(FRANCE)
    visit.page.get_by_role("heading", name=FRANCE).get_by_role("button").click()
    visit.page.locator("#header").get_by_role("textbox").fill("Europe")
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_role("heading", name="Europe")).to_be_visible()
    visit.page.evaluate(TITLES)
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.ask(ITALY)
    visit.wait_for_end()
    visit.page.wait_for_timeout(300)
    assert not [url for url in asked if url.endswith("/title")]
    expect(visit.page.get_by_role("heading", name="Europe")).to_be_visible()


def test_titles_are_switched_off_in_the_settings(visit: Visit):
    visit.page.evaluate(TITLES)
    visit.reload()
    visit.open_panel("Settings")
    visit.page.get_by_role("switch", name="Titles by the model").uncheck(force=True)
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url))
    visit.ask(FRANCE)
    visit.page.wait_for_timeout(300)
    assert not [url for url in asked if url.endswith("/title")]
    visit.reload()
    expect(visit.page.get_by_role("switch", name="Titles by the model")).not_to_be_checked()
