"""Many conversations, and long ones: only what is in sight is drawn, and nothing is made twice."""

import json
from typing import Any

import pytest
from playwright.sync_api import BrowserContext, expect

from benchmarks.page_list import ListVisit, conversations
from tests.page_visit import Server, Visit

MANY, LONG = 300, 40

# Counts the elements that are added to the list, and the formats that the browser has to make.
COUNT = """() => {
  window.counted = { added: 0, formats: 0 };
  const count = (changes) => changes.forEach((it) => (window.counted.added += it.addedNodes.length));
  new MutationObserver(count).observe(document.querySelector(".conversations"), { childList: true, subtree: true });
  const construct = (...all) => (window.counted.formats++, Reflect.construct(...all));
  for (const name of ["DateTimeFormat", "NumberFormat", "PluralRules", "RelativeTimeFormat"])
    Intl[name] = new Proxy(Intl[name], { construct });
}"""


@pytest.fixture
def tab(context: BrowserContext, server: Server) -> ListVisit:
    return ListVisit(Visit(context, server), conversations(MANY, 2))


def counted(tab: ListVisit) -> dict[str, int]:
    return tab.page.evaluate("window.counted")


def test_only_the_rows_near_what_is_seen_are_drawn(tab: ListVisit):
    rows, drawn = tab.page.locator(".conversations li"), tab.page.locator(".conversations .open")
    expect(rows).to_have_count(MANY)
    assert drawn.count() < 80
    rows.last.scroll_into_view_if_needed()
    expect(rows.last.locator(".open")).to_be_visible()
    expect(rows.nth(MANY // 2).locator(".open")).to_have_count(0)
    expect(rows.nth(MANY // 2)).not_to_be_empty()  # it has its name and its height
    assert drawn.count() < 110


def test_the_arrow_keys_walk_through_the_whole_list(tab: ListVisit):
    rows = tab.page.locator(".conversations li")
    rows.first.locator(".open").focus()
    for _ in range(60):
        tab.page.keyboard.press("ArrowDown")
        tab.page.evaluate("new Promise(requestAnimationFrame)")
    expect(rows.nth(60).locator(".open")).to_be_focused()


def test_a_new_conversation_and_a_key_change_few_elements_of_the_list(tab: ListVisit):
    tab.visit.names.nth(3).click()
    expect(tab.visit.questions).to_have_count(1)
    tab.page.evaluate(COUNT)
    tab.visit.begin()
    tab.visit.names.nth(4).click()
    expect(tab.visit.questions).to_have_count(1)
    assert counted(tab)["added"] < 20
    search = tab.page.get_by_role("searchbox")
    search.fill("riv")
    expect(tab.page.locator(".found mark").first).to_have_text("riv")
    before = counted(tab)
    search.press("e")
    expect(tab.page.locator(".found mark").first).to_have_text("rive")
    after = counted(tab)
    assert after["added"] - before["added"] < MANY
    assert after["formats"] <= before["formats"]


def test_what_changes_is_drawn_in_rows_that_stay(tab: ListVisit):
    name = tab.visit.names.first.inner_text()
    tab.visit.act("Pin", name)
    expect(tab.page.get_by_role("heading", name="Pinned")).to_be_visible()
    tab.visit.names.first.focus()
    tab.page.keyboard.press("F2")
    box = tab.page.get_by_role("textbox", name="Conversation name")
    box.press("Escape")
    expect(tab.visit.names.first).to_have_text(name)
    tab.page.get_by_role("searchbox").fill("no such word")
    expect(tab.page.get_by_text("No matching conversations.")).to_be_visible()
    tab.page.get_by_role("searchbox").fill("")
    expect(tab.page.locator(".conversations li")).to_have_count(MANY)
    expect(tab.visit.names.first).to_have_text(name)


def test_a_long_conversation_is_drawn_where_it_is_read(context: BrowserContext, server: Server):
    tab = ListVisit(Visit(context, server), conversations(2, LONG))
    tab.visit.names.first.click()
    messages, undrawn = tab.page.locator(".message"), tab.page.locator(".message.undrawn")
    expect(messages).to_have_count(LONG)
    expect(messages.last).to_be_in_viewport()
    assert undrawn.count() > LONG / 2
    expect(messages.first).to_contain_text("About the")  # to be found in the page
    messages.first.scroll_into_view_if_needed()
    expect(messages.nth(1).locator("strong").first).to_be_visible()
    expect(messages.first).to_be_in_viewport()


def test_only_what_is_new_in_a_conversation_moves_and_settings_that_are_the_same_stay(tab: ListVisit):
    tab.visit.names.first.click()
    expect(tab.visit.questions).to_have_count(1)
    tab.page.evaluate("window.field = document.querySelector('#set-temperature')")
    tab.visit.names.nth(1).click()
    expect(tab.visit.names.nth(1)).to_have_attribute("aria-current", "true")
    expect(tab.page.locator(".message[data-new]")).to_have_count(0)
    assert tab.page.evaluate("window.field.isConnected")
    tab.visit.set(max_new_tokens="3")
    tab.visit.ask("Hello")
    expect(tab.page.locator(".message[data-new]")).to_have_count(2)
    tab.visit.names.nth(2).click()
    expect(tab.page.locator("#set-max_new_tokens")).not_to_have_value("3")


def test_a_place_that_was_searched_for_stays_in_sight(context: BrowserContext, server: Server):
    made: list[dict[str, Any]] = conversations(1, LONG)
    made[0]["messages"][9]["content"] = "# Here\n\nThe **needle** is here."
    tab = ListVisit(Visit(context, server), [*made, *conversations(3, 2)[1:]])
    tab.page.get_by_role("searchbox").fill("needle")
    tab.page.locator(".found").click()
    expect(tab.page.locator(".message strong", has_text="needle")).to_be_in_viewport()
    tab.page.wait_for_timeout(300)  # in which what is near it is drawn
    expect(tab.page.locator(".message strong", has_text="needle")).to_be_in_viewport()


def test_an_exported_page_has_the_messages_that_were_not_in_sight(context: BrowserContext, server: Server):
    tab = ListVisit(Visit(context, server), conversations(2, LONG))
    tab.visit.names.first.click()
    expect(tab.page.locator(".message.undrawn").first).to_be_attached()
    _, exported = tab.visit.download(lambda: tab.visit.act_on_list("Export current (HTML)"))
    assert exported.decode().count("<strong>") == LONG / 2
    assert json.dumps(exported.decode()).count("<article") == LONG
