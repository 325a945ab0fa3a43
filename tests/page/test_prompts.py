"""A library of prompts, which `/name` in the box brings."""

import json

import pytest
from playwright.sync_api import Page, expect

from tests.page_visit import Visit

CAPITAL, RECAP = "Name the capital of {{country|France}}.", "Say it again in fewer words."
PROMPTS = [
    {"id": "1", "name": "capital", "text": CAPITAL, "updated": 1},
    {"id": "2", "name": "recap", "text": RECAP, "updated": 1},
]


def with_prompts(visit: Visit) -> None:
    visit.open_panel("Conversations")
    content = json.dumps({"conversations": [], "prompts": PROMPTS}).encode()
    file = visit.page.locator("#library-panel input[type=file]")
    file.set_input_files({"name": "all.json", "mimeType": "application/json", "buffer": content})
    expect(visit.page.locator("#library-panel").get_by_role("status")).to_contain_text("Imported")


def test_a_prompt_is_chosen_by_its_name_filled_and_sent(visit: Visit):
    with_prompts(visit)
    menu = visit.page.get_by_role("listbox", name="Prompts")
    visit.box.press_sequentially("/cap")
    expect(menu.get_by_role("option")).to_have_text([f"/capital{CAPITAL}", f"/recap{RECAP}"])
    visit.screenshot("prompts")
    visit.box.press("Enter")
    country = visit.page.get_by_role("dialog", name="/capital").get_by_role("textbox", name="country")
    expect(country).to_be_focused()
    expect(country).to_have_value("France")
    country.fill("{{Italy}}")
    visit.button("Insert").click()
    expect(visit.box).to_have_value("Name the capital of {{Italy}}.")
    expect(visit.box).to_be_focused()
    expect(menu).to_be_hidden()
    visit.page.keyboard.press("Control+z")
    expect(visit.box).to_have_value("/cap")


def test_the_menu_is_walked_and_left_by_the_keyboard(visit: Visit):
    with_prompts(visit)
    menu = visit.page.get_by_role("listbox", name="Prompts")
    visit.box.press_sequentially("/")
    for key, name in (("ArrowDown", "/recap"), ("ArrowDown", "/capital"), ("ArrowUp", "/recap")):
        visit.box.press(key)
        expect(menu.locator("[aria-selected=true]")).to_contain_text(name)
    visit.box.press("Escape")
    expect(menu).to_be_hidden()
    expect(visit.box).to_have_value("/")
    visit.box.press_sequentially("rec")
    visit.box.press("Tab")
    expect(visit.box).to_have_value(RECAP)
    visit.box.fill("and/or")
    expect(menu).to_be_hidden()
    visit.box.fill("/nothing")
    visit.set(max_new_tokens="2")
    visit.box.press("Enter")
    expect(visit.questions).to_have_text(["/nothing"])


def test_prompts_are_written_changed_and_deleted(visit: Visit):
    visit.open_panel("Settings")
    visit.button("Prompts").click()
    library = visit.page.get_by_role("dialog", name="Prompts")
    library.get_by_label("Name after the slash").fill("/my prompt")
    library.get_by_label("Text", exact=True).fill("Explain {{topic}}")
    visit.button("Save").click()
    expect(library.locator("li")).to_have_text(["/my-promptExplain {{topic}}"])
    library.locator(".prompt").click()
    library.get_by_label("Text", exact=True).fill("Explain it.")
    visit.button("Save").click()
    expect(library.locator("li")).to_have_text(["/my-promptExplain it."])
    visit.button("Close").last.click()
    visit.box.press_sequentially("/my")
    visit.page.get_by_role("listbox", name="Prompts").get_by_role("option").click()
    expect(visit.box).to_have_value("Explain it.")
    visit.button("Prompts").click()
    visit.button("Delete /my-prompt").click()
    expect(library.locator("li")).to_have_count(0)


def test_an_export_of_everything_has_the_prompts(visit: Visit):
    with_prompts(visit)
    _, exported = visit.download(lambda: visit.act_on_list("Export all (JSON)"))
    assert json.loads(exported)["prompts"] == PROMPTS


@pytest.mark.parametrize(
    ("text", "variables", "filled"),
    [
        ("On {{ topic }} and {{topic|x}}, {{tone|kind}}", [["topic", "x"], ["tone", "kind"]], "On <x> and <x>, <kind>"),
        ("{{a}}{{b|}} {{}} {c}", [["a", ""], ["b", ""]], "<><> {{}} {c}"),
        ("none", [], "none"),
    ],
)
def test_variables_are_named_in_two_braces(modules: Page, text: str, variables: list, filled: str):
    found = modules.evaluate("(it) => prompts.variablesOf(it).map(({ name, value }) => [name, value])", text)
    assert found == variables
    values = {name: f"<{value}>" for name, value in variables}
    assert modules.evaluate("([it, values]) => prompts.filled(it, values)", [text, values]) == filled


def test_what_is_no_prompt_in_a_file_is_left_out(modules: Page):
    good = {"id": "1", "name": "/a b", "text": "x", "updated": 2}
    others = [None, {}, {"id": 1, "name": "a", "text": "x"}, {"id": "2", "name": " / ", "text": "x"}]
    assert modules.evaluate("(it) => prompts.wellFormedPrompts(it)", [good, *others]) == [{**good, "name": "a-b"}]
    older, newer = {**good, "name": "a", "updated": 1}, {**good, "name": "a", "text": "y", "updated": 3}
    merge = "([mine, theirs]) => prompts.mergedPrompts(mine, theirs)"
    assert modules.evaluate(merge, [[newer], [older]]) == [newer]
    assert modules.evaluate(merge, [[older], [newer]]) == [newer]
