"""page/web/common/keys.js: a key that belongs to an input method does nothing else, in any field."""

import json

import pytest
from playwright.sync_api import Browser, FilePayload, Locator, Page, expect

from tests.page_visit import Visit

KEYS = ("Enter", "Escape", "Control+Enter", "ArrowUp")

# The key as browsers report it that an input method has taken; the last is Safari's order where it gives no code.
TAKEN = {
    "composing": "press({ isComposing: true })",
    "code 229": "press({ keyCode: 229 })",
    "after the end": "box.dispatchEvent(new CompositionEvent('compositionend', { bubbles: true })); press({})",
}
PRESS = """(box, [key, ctrlKey]) => {
    const press = (how) => box.dispatchEvent(new KeyboardEvent("keydown", { key, ctrlKey, bubbles: true, ...how }));
    %s;
}"""


def import_conversation(visit: Visit) -> None:
    messages = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Good day."}]
    content = json.dumps({"conversations": [{"id": "1", "name": "A name", "updated": 1, "messages": messages}]})
    visit.open_panel("Conversations")
    file: FilePayload = {"name": "one.json", "mimeType": "text/plain", "buffer": content.encode()}
    visit.page.locator("#library-panel input[type=file]").set_input_files(file)
    visit.names.first.click()
    expect(visit.answers).to_have_count(1)


def open_field(visit: Visit, name: str) -> Locator:
    """A field whose text ends with a word that is being composed."""
    import_conversation(visit)
    if name == "edit box":
        visit.button("Edit answer").click()
        field = visit.page.get_by_role("textbox", name="Edit")
    elif name == "name":
        visit.act("Rename", "A name")
        field = visit.page.get_by_role("textbox", name="Conversation name")
    elif name == "folder":
        visit.act("Move to a folder", "A name")
        field = visit.page.locator("#folder-name")
    elif name == "palette":
        visit.page.keyboard.press("Control+k")
        field = visit.page.get_by_role("dialog", name="Go to").get_by_role("searchbox")
    else:
        field = visit.box if name == "composer" else visit.page.get_by_role("searchbox")
    field.fill("A ")
    return field


def compose(page: Page, field: Locator) -> None:
    """Composes a word as a Japanese input method does, with keys that it takes."""
    chromium = page.context.new_cdp_session(page)
    chromium.send("Input.imeSetComposition", {"text": "にほん", "selectionStart": 3, "selectionEnd": 3})
    for key in ("Enter", "Escape"):
        taken = {"type": "rawKeyDown", "key": key, "code": key, "windowsVirtualKeyCode": 229}
        chromium.send("Input.dispatchKeyEvent", taken)
        expect(field).to_have_value("A にほん")
    chromium.send("Input.insertText", {"text": "日本"})


@pytest.mark.parametrize("name", ["composer", "edit box", "name", "search", "folder", "palette"])
def test_keys_that_choose_a_word_do_nothing_else(visit: Visit, browser: Browser, name: str):
    field = open_field(visit, name)
    if browser.browser_type.name == "chromium":  # Firefox can't be told to compose
        compose(visit.page, field)
    else:
        field.fill("A 日本")
    for how in TAKEN.values():
        for key in KEYS:
            field.evaluate(PRESS % how, [key.split("+")[-1], "+" in key])
            expect(field).to_have_value("A 日本")
    expect(field).to_be_focused()
    expect(visit.page.locator(".message")).to_have_count(2)


def test_the_next_enter_after_a_word_was_chosen_is_the_fields_own(visit: Visit):
    field = open_field(visit, "name")
    field.evaluate(PRESS % TAKEN["after the end"], ["Enter", False])
    visit.page.wait_for_timeout(20)
    field.press("Enter")
    expect(visit.names).to_have_text(["A"])
