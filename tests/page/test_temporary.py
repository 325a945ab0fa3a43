"""Temporary conversations: nothing of them is stored."""

import json

from playwright.sync_api import expect

from tests.page_visit import FRANCE, ITALY, SAVED, Visit

ALL_THAT_IS_KEPT = """async () => {
  const { openDB } = await import(new URL("page/vendor/idb.js", document.baseURI));
  const database = await openDB("llm-chatbot");
  const stores = [...database.objectStoreNames].map(async (name) => [name, await database.getAll(name)]);
  return JSON.stringify([await Promise.all(stores), { ...localStorage }, { ...sessionStorage }]);
}"""


def kept(visit: Visit) -> str:
    visit.page.evaluate(SAVED)
    return visit.page.evaluate(ALL_THAT_IS_KEPT)


def test_nothing_of_a_temporary_conversation_is_kept(visit: Visit):
    visit.open_panel("Conversations")
    visit.box.fill("A secret draft")
    assert "secret draft" in kept(visit)
    visit.button("Temporary conversation").click()
    expect(visit.page.get_by_role("note")).to_contain_text("nothing of this conversation is stored")
    expect(visit.box).to_have_value("A secret draft")
    assert "secret draft" not in kept(visit)
    with visit.page.expect_request("**/page/ask") as request:
        visit.ask(FRANCE)
    assert json.loads(request.value.post_data or "")["private"] is True
    assert "Rome" in visit.ask(ITALY)
    visit.open_panel("Settings")
    visit.page.get_by_label("System prompt").fill("A secret prompt")
    visit.close_panel("Settings")
    visit.page.locator("#composer input[type=file]").set_input_files(
        {"name": "secret.txt", "mimeType": "text/plain", "buffer": b"A secret text"}
    )
    expect(visit.page.locator("#composer .files li")).to_have_count(1)
    visit.box.fill("Another secret")
    expect(visit.names).to_have_count(0)
    expect(visit.page).to_have_title("LLM Chatbot")
    for word in ("France", "Italy", "Paris", "Rome", "secret"):
        assert word not in kept(visit)
    visit.begin()
    visit.page.go_back()
    expect(visit.questions).to_have_text([FRANCE, ITALY])
    expect(visit.box).to_have_value("Another secret")
    visit.reload()
    expect(visit.questions).to_have_count(0)


def test_a_version_or_a_branch_of_a_temporary_conversation_is_temporary(visit: Visit):
    visit.button("Temporary conversation").click()
    visit.set(max_new_tokens="4")
    visit.ask(FRANCE)
    visit.button("Regenerate").click()
    expect(visit.page.get_by_label("Version 2 of 2")).to_be_visible()
    visit.wait_for_end()
    visit.button("New conversation from here").last.click()
    expect(visit.page.get_by_role("note")).to_be_visible()
    expect(visit.questions).to_have_text([FRANCE])
    assert "France" not in kept(visit)


def test_the_next_conversation_is_stored_again(visit: Visit):
    visit.button("Temporary conversation").click()
    visit.set(max_new_tokens="4")
    visit.ask(FRANCE)
    visit.begin()
    expect(visit.page.get_by_role("note")).to_be_hidden()
    visit.ask(ITALY)
    assert [message["content"] for message in visit.stored() if message["role"] == "user"] == [ITALY]
