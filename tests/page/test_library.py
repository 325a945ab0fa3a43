"""The list of conversations, export and import."""

import json
from pathlib import Path

import pytest
from playwright.sync_api import FilePayload, expect

from tests.page_visit import FRANCE, ITALY, Server, Visit


def as_json(*messages: dict, name: str = "A name", id: str = "1") -> bytes:
    return json.dumps({"conversations": [{"id": id, "name": name, "updated": 1, "messages": messages}]}).encode()


def choose_file(visit: Visit, name: str, content: bytes) -> None:
    file = visit.page.locator("#library-panel input[type=file]")
    file.set_input_files({"name": name, "mimeType": "text/plain", "buffer": content})


def import_file(visit: Visit, name: str, content: bytes) -> None:
    """Imports a conversation and opens it."""
    visit.open_panel("Conversations")
    choose_file(visit, name, content)
    expect(visit.page.locator("#library-panel").get_by_role("status")).to_have_text("Imported 1 conversation.")
    visit.names.first.click()
    expect(visit.questions).not_to_have_count(0)


TURNS = (
    {"role": "user", "content": "A heading:\n## User\nand <b>"},
    {"role": "assistant", "content": "```md\n## Assistant\n\\## User\n```"},
    {"role": "user", "content": "Thanks"},
    {"role": "assistant", "content": "日本語 🎈"},
)


def test_conversations_are_named_found_pinned_and_opened(visit: Visit):
    visit.open_panel("Conversations")
    visit.ask(FRANCE)
    visit.begin()
    visit.ask("What is the capital of Japan?")
    expect(visit.names).to_have_text(["What is the capital of Japan?", FRANCE])

    visit.button(FRANCE).focus()
    visit.page.keyboard.press("F2")
    visit.page.get_by_role("textbox", name="Conversation name").fill("Europe")
    visit.page.keyboard.press("Enter")
    expect(visit.names).to_have_text(["What is the capital of Japan?", "Europe"])
    expect(visit.button("Europe")).to_be_focused()

    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("Enter")
    expect(visit.button("Pin")).to_be_focused()
    visit.page.keyboard.press("Enter")
    expect(visit.names).to_have_text(["Europe", "What is the capital of Japan?"])
    expect(visit.button("Actions: Europe")).to_be_focused()
    visit.screenshot("conversations")

    visit.page.get_by_role("searchbox").fill("paris")
    expect(visit.names).to_have_text(["Europe"])
    expect(visit.page.locator(".found mark")).to_have_text("Paris")
    visit.screenshot("search")
    visit.page.locator(".found").click()
    expect(visit.questions).to_have_text([FRANCE])


def test_a_click_elsewhere_keeps_the_new_name_and_its_own_focus(visit: Visit):
    import_file(visit, "one.json", as_json(*TURNS))
    visit.act("Rename", "A name")
    visit.page.get_by_role("textbox", name="Conversation name").fill("Europe")
    visit.box.click()
    expect(visit.names).to_have_text(["Europe"])
    expect(visit.box).to_be_focused()


def test_back_and_forward_walk_through_the_conversations_with_their_settings(visit: Visit):
    conversations = [
        {
            "id": name,
            "name": name,
            "settings": {"temperature": temperature},
            "messages": [{"id": f"first of {name}", "parent": None, "role": "user", "content": f"In {name}"}],
        }
        for name, temperature in (("one", 0.5), ("two & three", 1))
    ]
    visit.open_panel("Conversations")
    choose_file(visit, "both.json", json.dumps({"conversations": conversations}).encode())
    for name in ("one", "two & three"):
        visit.button(name).click()
        expect(visit.questions).to_have_text([f"In {name}"])
    visit.open_panel("Settings")
    temperature = visit.page.locator("#set-temperature")
    expect(temperature).to_have_value("1")
    temperature.focus()
    visit.page.go_back()
    expect(visit.questions).to_have_text(["In one"])
    expect(temperature).to_have_value("0.5")
    visit.page.go_forward()
    expect(visit.questions).to_have_text(["In two & three"])
    visit.reload()
    expect(visit.questions).to_have_text(["In two & three"])
    visit.page.go_back()
    visit.page.go_back()
    expect(visit.questions).to_have_count(0)


def test_back_leads_to_no_conversation_that_was_deleted(visit: Visit):
    names = ("one", "two", "three")
    question = {"id": "1", "parent": None, "role": "user"}
    own = [
        {"id": name, "name": name, "messages": [{**question, "id": name, "content": f"In {name}"}]} for name in names
    ]
    visit.open_panel("Conversations")
    choose_file(visit, "all.json", json.dumps({"conversations": own}).encode())
    for name in names:
        visit.button(name).click()
        expect(visit.questions).to_have_text([f"In {name}"])
    for name in ("three", "two"):  # three is shown
        visit.act("Delete", name)
        expect(visit.button(name)).to_have_count(0)
    expect(visit.questions).to_have_count(0)
    visit.page.go_back()  # to the step of two, where the empty conversation stays
    visit.page.go_back()
    expect(visit.questions).to_have_text(["In one"])


def test_a_match_on_another_branch_is_shown_when_its_place_is_clicked(visit: Visit):
    visit.open_panel("Conversations")
    visit.ask(FRANCE)
    visit.questions.first.hover()
    visit.button("Edit").click()
    visit.page.get_by_role("textbox", name="Edit").fill("Say hello.")
    visit.page.keyboard.press("Control+Enter")
    expect(visit.questions).to_have_text(["Say hello."])
    visit.wait_for_end()
    visit.page.get_by_role("searchbox").fill("paris")
    visit.page.locator(".found").click()
    expect(visit.questions).to_have_text([FRANCE])


@pytest.mark.parametrize("kind", ["Export all (JSON)", "Export current (Markdown)"])
def test_what_is_exported_can_be_imported(visit: Visit, kind: str):
    import_file(visit, "one.json", as_json(*TURNS))
    messages = visit.page.locator(".messages .markdown")
    shown = messages.all_inner_texts()
    name, exported = visit.download(lambda: visit.act_on_list(kind))
    visit.act("Delete", "A name")
    expect(visit.questions).to_have_count(0)
    expect(visit.names).to_have_count(0)
    import_file(visit, name, exported)
    assert messages.all_inner_texts() == shown
    expect(visit.names).to_have_text(["A name"])


def test_a_click_on_a_conversation_is_none_the_less_one_when_the_list_changes_meanwhile(visit: Visit):
    import_file(visit, "one.json", as_json(*TURNS))
    visit.begin()
    visit.names.first.hover()
    visit.page.mouse.down()
    visit.page.evaluate(
        """async () => {
          const { openStore } = await import(new URL("page/web/store/store.js", document.baseURI));
          await (await openStore()).putConversation({ id: "1", name: "Another name" });
          await new Promise((resolve) => setTimeout(resolve, 200)); // in which the list would be drawn
        }"""
    )
    visit.page.mouse.up()
    expect(visit.questions).not_to_have_count(0)
    expect(visit.names).to_have_text(["Another name"])


def test_importing_a_file_twice_doubles_nothing(visit: Visit):
    import_file(visit, "one.json", as_json(*TURNS))
    choose_file(visit, "one.json", as_json(*TURNS))
    status = visit.page.locator("#library-panel").get_by_role("status")
    expect(status).to_have_text("Imported 0 conversations. 1 was here already.")
    expect(visit.names).to_have_count(1)
    assert len(visit.stored()) == len(TURNS)


def test_presets_in_an_imported_file_are_offered_at_once(visit: Visit):
    visit.open_panel("Conversations")
    visit.open_panel("Settings")
    presets = [{"id": "p", "name": "Stories", "settings": {"temperature": 1}, "updated": 1}]
    choose_file(visit, "all.json", json.dumps({"conversations": [], "presets": presets}).encode())
    offered = visit.page.get_by_role("group", name="Presets").get_by_role("option")
    expect(offered).to_have_text(["No preset", "Stories"])


def test_a_file_that_holds_no_conversation_is_refused(visit: Visit):
    visit.open_panel("Conversations")
    status = visit.page.locator("#library-panel").get_by_role("status")
    for content in (b"{}", b"{", b"# Title", b'{"conversations": [{"id": "1", "messages": [{"role": "x"}]}]}'):
        status.evaluate("(it) => it.replaceChildren()")  # what was said of the file before
        choose_file(visit, "x.json", content)
        expect(status).to_contain_text("x.json has no conversations that can be read")


def test_a_bad_file_is_named_and_the_others_are_imported(visit: Visit):
    visit.open_panel("Conversations")
    message = {"id": "m", "parent": None, "role": "user", "content": "Hello"}
    files: list[FilePayload] = [
        {"name": name, "mimeType": "text/plain", "buffer": content}
        for name, content in {
            "one.json": as_json({**message, "id": "1"}, name="One", id="1"),
            "bad.json": b"{",
            "worse.json": json.dumps({"mapping": {"a": {"message": {"content": {"parts": [None, 1]}}}}}).encode(),
            "two.json": as_json({**message, "id": "2"}, name="Two", id="2"),
        }.items()
    ]
    visit.page.locator("#library-panel input[type=file]").set_input_files(files)
    status = visit.page.locator("#library-panel").get_by_role("status")
    expect(status).to_contain_text("Imported 2 conversations.")
    for name in ("bad.json", "worse.json"):
        expect(status).to_contain_text(f"{name} has no conversations that can be read")
    expect(visit.names).to_have_count(2)
    visit.names.first.click()
    expect(status).to_have_text("")  # it goes with the next action


def test_the_place_of_the_conversations_is_said(visit: Visit, server: Server):
    visit.open_panel("Settings")
    expect(visit.page.locator("#settings-panel")).to_contain_text(f"kept only in this browser, for {server.address}")


def test_an_answer_whose_error_an_earlier_version_saved_still_shows_a_sentence(visit: Visit):
    question = {"id": "q", "parent": None, "role": "user", "content": "Hello"}
    answers = [
        {"id": str(index), "parent": "q", "role": "assistant", "content": "", "finish_reason": "error", "error": error}
        for index, error in enumerate([{"key": "error_no_cache"}, None])
    ]
    import_file(visit, "old.json", as_json(question, *answers))
    expect(visit.answers.last).to_contain_text("This answer failed")
    visit.button("Previous version").click()
    expect(visit.answers.last).to_contain_text("This answer failed")
    assert json.dumps(visit.stored()).count("error_no_cache") == 1


def test_on_a_phone_choosing_a_conversation_closes_the_list(visit: Visit):
    visit.page.set_viewport_size({"width": 390, "height": 800})
    visit.reload()
    visit.ask(FRANCE)
    visit.begin()
    visit.open_panel("Conversations")
    visit.names.first.click()
    expect(visit.page.locator("#library-panel")).to_be_hidden()
    expect(visit.questions).to_have_text([FRANCE])
    assert "Rome" in visit.ask(ITALY)


def test_on_a_phone_what_was_deleted_in_the_list_is_brought_back_there(visit: Visit):
    visit.page.set_viewport_size({"width": 390, "height": 800})
    visit.reload()
    import_file(visit, "one.json", as_json(*TURNS))
    visit.open_panel("Conversations")
    visit.act("Delete", "A name")
    visit.button("Undo").click()
    expect(visit.names).to_have_text(["A name"])


def test_a_conversation_is_exported_as_one_page_that_loads_and_runs_nothing(visit: Visit, tmp_path: Path):
    drawn = {"role": "assistant", "content": "So $x^2$:\n\n```python\nprint(1)\n```\n\n<script>window.ran = 1</script>"}
    file = {"name": "notes.txt", "text": "a", "tokens": 1}
    import_file(visit, "one.json", as_json({**TURNS[0], "attachments": [file]}, drawn))
    visit.page.wait_for_selector(".math.done")
    name, exported = visit.download(lambda: visit.act_on_list("Export current (HTML)"))
    assert name == "A name.html"
    path = tmp_path / "exported.html"
    path.write_bytes(exported)
    requests: list[str] = []
    page = visit.page.context.new_page()
    page.on("request", lambda request: requests.append(request.url))
    page.goto(path.as_uri())
    expect(page.get_by_role("heading", name="A name")).to_be_visible()
    expect(page.locator(".files")).to_contain_text("notes.txt")
    expect(page.locator("article")).to_have_count(2)
    expect(page.locator("math")).to_have_count(1)
    expect(page.locator("pre")).to_contain_text("print(1)")
    assert page.evaluate("window.ran") is None and page.locator("button").count() == 0
    assert requests == [path.as_uri()]
