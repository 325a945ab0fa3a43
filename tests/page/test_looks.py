"""Head, menus, settings and list: what a page that people choose has."""

import re

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from llm_chatbot.catalogue.rows import DEFAULT_MODEL, SUPPORTED_LLM_MODELS
from llm_chatbot.page.model_choices import model_choices
from llm_chatbot.texts import model_description
from tests.page_visit import FRANCE, Server, Visit


def test_the_menu_of_the_models_searches_tells_sizes_and_loads_with_the_keyboard_alone(visit: Visit, server: Server):
    visit.model.focus()
    visit.page.keyboard.press("Enter")
    menu = visit.page.get_by_role("dialog", name="Model", exact=True)
    expect(menu.locator(".choice")).to_have_count(len(model_choices(server.page.pool)))
    expect(menu.locator(".choice").first).to_contain_text(re.compile(r"MB · 8,192 tokens of context"))
    visit.screenshot("model-menu")
    visit.page.keyboard.type("int8")
    expect(menu.locator(".choice")).to_have_count(1)
    visit.page.keyboard.press("ArrowDown")
    visit.page.keyboard.press("Enter")
    expect(visit.model).to_contain_text("INT8")
    expect(menu.locator(".choice")).to_contain_text("loaded")
    visit.page.keyboard.press("Escape")
    expect(menu).to_have_count(0)
    expect(visit.model).to_be_focused()


def test_the_name_in_the_head_is_changed_there(visit: Visit):
    visit.set(max_new_tokens="2")
    visit.ask(FRANCE)
    visit.page.get_by_role("heading", name=FRANCE).get_by_role("button").click()
    name = visit.page.locator("#header").get_by_role("textbox", name="Conversation name")
    name.fill("Europe")
    name.press("Enter")
    expect(visit.page.get_by_role("heading", name="Europe")).to_be_visible()
    visit.open_panel("Conversations")
    expect(visit.names).to_have_text(["Europe"])


def test_a_changed_setting_has_a_way_back_and_is_told_above_the_conversation(visit: Visit):
    visit.set(temperature="0.7")
    standing = visit.page.locator(".standing")
    expect(standing).to_have_text("Temperature 0.7")
    visit.open_panel("Settings")
    visit.page.get_by_label("System prompt").fill("Answer in one word.")
    expect(standing).to_contain_text("“Answer in one word.”")
    back = visit.page.locator(".field:has(#set-temperature)").get_by_role("button", name="Back to the default")
    back.click()
    expect(visit.page.locator("#set-temperature")).to_have_value("0")
    expect(back).to_have_count(0)
    expect(standing).to_have_text("“Answer in one word.”")
    visit.close_panel("Settings")
    standing.click()
    expect(visit.page.get_by_label("System prompt")).to_be_focused()


def test_the_sentence_of_a_setting_is_shown_where_the_focus_is(visit: Visit):
    visit.open_panel("Settings")
    sentence = visit.page.get_by_text("Lower values make answers more predictable")
    expect(sentence).to_be_hidden()
    visit.page.locator("#set-temperature").focus()
    expect(sentence).to_be_visible()
    visit.page.keyboard.press("Escape")
    expect(sentence).to_be_hidden()


def test_the_settings_fit_on_one_screen_in_each_language(context: BrowserContext, server: Server):
    visit = Visit(context, server)
    visit.page.set_viewport_size({"width": 1440, "height": 900})
    visit.open_panel("Settings")
    panel = visit.page.locator("#settings-panel")
    for language in ("English", "日本語", "中文"):
        visit.page.get_by_label(language).check()
        expect(visit.page.get_by_label(language)).to_be_checked()
        visit.wait_until_still()
        assert panel.evaluate("(it) => it.scrollHeight") <= 900, language


def test_theme_and_text_size_are_chosen_and_kept(visit: Visit):
    scheme = "getComputedStyle(document.querySelector('#chat-page')).colorScheme"
    visit.open_panel("Settings")
    visit.page.get_by_role("radio", name="Dark").check(force=True)
    visit.page.get_by_role("radio", name="Large", exact=True).check(force=True)
    visit.reload()
    assert visit.page.evaluate(scheme) == "dark"
    assert visit.page.evaluate("getComputedStyle(document.documentElement).fontSize") == "18px"
    visit.page.get_by_role("radio", name="System").check(force=True)
    assert visit.page.evaluate(scheme) != "dark"


def test_conversations_go_to_folders_and_to_the_archive_also_several_at_once(visit: Visit):
    visit.set(max_new_tokens="2")
    for question in ("One", "Two", "Three"):
        visit.begin()
        visit.ask(question)
    visit.open_panel("Conversations")
    visit.act("Move to a folder", "One")
    visit.page.get_by_role("combobox", name="Name of the folder").fill("Work")
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_role("list", name="Work").locator(".open")).to_have_text(["One"])
    visit.act_on_list("Choose several")
    for name in ("Two", "Three"):
        visit.page.get_by_role("checkbox", name=f"Choose: {name}").check()
    visit.page.get_by_role("toolbar").get_by_role("button", name="Archive").click()
    expect(visit.names).to_have_text(["One"])
    visit.page.locator("summary").filter(has_text="Archive").click()
    expect(visit.names).to_have_text(["One", "Three", "Two"])
    visit.reload()
    expect(visit.page.get_by_role("list", name="Archive")).to_be_visible()
    visit.open_panel("Settings")
    visit.button("Delete all").click()
    expect(visit.names).to_have_count(0)
    visit.button("Undo").click()
    expect(visit.names).to_have_count(3)


def test_the_width_of_the_list_is_changed_and_kept(visit: Visit):
    visit.open_panel("Conversations")
    panel = visit.page.locator("#library-panel")
    edge = visit.page.get_by_role("separator", name="Width of the list")
    box = panel.bounding_box()
    assert box
    visit.page.mouse.move(box["width"] - 3, 400)
    visit.page.mouse.down()
    visit.page.mouse.move(350, 400)
    visit.page.mouse.up()
    expect(edge).to_have_attribute("aria-valuenow", "350")
    edge.focus()
    visit.page.keyboard.press("ArrowRight")
    visit.reload()
    assert panel.evaluate("(it) => it.offsetWidth") == 366


def test_bubble_and_answer_are_24_pixels_apart(visit: Visit):
    visit.set(max_new_tokens="2")
    visit.ask(FRANCE)
    question, answer = visit.questions.bounding_box(), visit.texts.bounding_box()
    assert question and answer
    assert round(answer["y"] - question["y"] - question["height"]) == 24


def test_the_skip_link_leads_to_the_conversation(visit: Visit):
    skip = visit.button("Skip to the conversation")
    skip.focus()
    expect(skip).to_be_in_viewport()
    visit.page.keyboard.press("Enter")
    expect(visit.page.get_by_role("log")).to_be_focused()


def test_an_answer_comes_again_from_another_model_as_a_version_beside_it(visit: Visit):
    visit.set(max_new_tokens="4")
    visit.ask(FRANCE)
    visit.answers.last.get_by_role("button", name="More").click()
    visit.page.get_by_role("dialog", name="More").get_by_role("button", name="INT8").click()
    expect(visit.page.get_by_label("Version 2 of 2")).to_be_visible()
    visit.wait_for_end()
    first, second = (it for it in visit.stored() if it["role"] == "assistant")
    assert "INT4" in first["model"] and "INT8" in second["model"]
    expect(visit.model).to_contain_text("INT4")  # the conversation keeps its model


def test_the_tokens_of_an_answer_are_one_click_away(visit: Visit):
    visit.set(max_new_tokens="4")
    visit.ask(FRANCE)
    visit.button("Again, with a look inside").click()
    expect(visit.page.get_by_label("Version 2 of 2")).to_be_visible()
    visit.wait_for_end()
    visit.button("The answer's tokens").click()
    expect(visit.page.locator(".token")).to_have_count(4)
    visit.button("The answer's tokens").click()
    expect(visit.page.locator(".token:visible")).to_have_count(0)
    expect(visit.texts.last).to_be_visible()


def test_escape_asks_before_it_drops_what_was_typed(visit: Visit):
    visit.set(max_new_tokens="2")
    visit.ask(FRANCE)
    visit.questions.hover()
    visit.button("Edit").click()
    box = visit.page.get_by_role("textbox", name="Edit")
    box.fill("Something else")
    box.press("Escape")
    expect(box).to_have_value("Something else")
    expect(visit.page.get_by_role("alert").filter(has_text="Escape again")).to_be_visible()
    box.press("Escape")
    expect(box).to_have_count(0)
    expect(visit.questions).to_have_text([FRANCE])


@pytest.mark.parametrize("language", ["en", "ja", "zh"])
def test_the_empty_page_says_in_the_readers_language_what_the_model_is_good_for(
    browser: Browser, server: Server, language: str
):
    description = model_description(DEFAULT_MODEL, SUPPORTED_LLM_MODELS[DEFAULT_MODEL].description)[language]
    with browser.new_context(locale=language) as context:
        visit = Visit(context, server)
        expect(visit.page.locator(f".about [lang={language}]")).to_have_text(description)
