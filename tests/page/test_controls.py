"""The settings and signs of an answer: settings, reasoning, signs of life, its tokens, attached files."""

import copy
import re
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, FilePayload, expect

from llm_chatbot.answering.models import LoadedModel
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from tests.page_visit import FRANCE, STORY, Server, Visit

# Notes the latest question that was sent; by WebDriver BiDi, requests have no content.
NOTE_QUESTIONS = """() => {
  const { fetch } = window;
  window.fetch = (address, options) => {
    if (String(address).endsWith("/page/ask")) window.question = JSON.parse(options.body);
    return fetch(address, options);
  };
}"""


def asked(visit: Visit, text: str) -> Any:
    """The body that the page sends with a question."""
    visit.page.evaluate(NOTE_QUESTIONS)
    visit.ask(text)
    return visit.page.evaluate("question")


def test_settings_go_with_the_next_question_and_back_to_defaults(visit: Visit):
    visit.set(temperature="0.7", max_new_tokens="8", min_p="0.05")
    visit.open_panel("Settings")
    visit.page.get_by_label("System prompt").fill("Answer in one word.")
    settings = asked(visit, FRANCE)["settings"]
    assert settings == {
        "temperature": 0.7,
        "max_new_tokens": 8,
        "min_p": 0.05,
        "system_prompt": "Answer in one word.",
    }
    visit.screenshot("settings")
    visit.button("Restore defaults").click()
    expect(visit.page.locator("#set-temperature")).to_have_value("0")
    expect(visit.page.get_by_label("System prompt")).to_have_value("")
    assert asked(visit, FRANCE)["settings"] == {}


def test_an_emptied_number_means_the_default(visit: Visit):
    visit.set(max_new_tokens="8")
    visit.set(max_new_tokens="")
    assert asked(visit, FRANCE)["settings"] == {}
    visit.open_panel("Settings")
    number = visit.page.locator("#set-max_new_tokens")
    number.fill("")
    number.press("Tab")
    expect(number).to_have_value("256")


# Loading a model takes until `loaded[index](key)` is called, of the models in the order in which they were chosen.
HOLD_MODELS = """() => {
  const { fetch } = window;
  window.loaded = [];
  window.fetch = (address, options) => {
    if (!String(address).endsWith("/page/load")) return fetch(address, options);
    return new Promise((resolve) => loaded.push((key) => resolve(Response.json({ key, title: key.join(" · ") }))));
  };
}"""


def test_of_two_models_the_one_that_was_chosen_last_is_taken(visit: Visit):
    visit.page.evaluate(HOLD_MODELS)
    visit.open_panel("Settings")
    for precision in ("INT8", "FP16"):
        visit.page.get_by_label("Model", exact=True).select_option(label=f"{DEFAULT_MODEL} · {precision}")
    for index, precision in ((1, "FP16"), (0, "INT8")):
        visit.page.evaluate("([index, key]) => loaded[index](key)", [index, [DEFAULT_MODEL, precision, "CPU"]])
    visit.reload()
    expect(visit.model.filter(has_text="FP16")).to_be_visible()


def test_a_long_prompt_shows_how_much_of_it_is_read_and_can_be_stopped(
    visit: Visit, server: Server, monkeypatch: pytest.MonkeyPatch
):
    go = server.pause_answers(monkeypatch, lambda answer: 0 < answer.read_tokens < answer.prompt_tokens)
    visit.send("word " * 5000)
    bar = visit.page.get_by_role("progressbar", name="Prompt read")
    expect(bar).to_be_visible()
    expect(visit.answers.last).to_contain_text(re.compile(r"Reading: [\d,]+ of [\d,]+ tokens"))
    visit.screenshot("reading")
    visit.stop()
    go.set()
    expect(visit.answers.last).to_have_attribute("data-finish", "cancelled")
    expect(visit.button("Try again")).to_be_visible()


def test_a_request_that_is_too_large_for_the_server_is_not_taken_for_a_server_that_is_down(visit: Visit):
    refused = """async () => {
      const { post } = await import(new URL("page/web/server/requests.js", document.baseURI));
      return post("load", "x".repeat(5e6)).catch((error) => error.error ?? String(error));
    }"""
    assert visit.page.evaluate(refused) == {"key": "too_large"}


def test_a_model_whose_template_can_think_has_a_switch_and_a_limit(
    context: BrowserContext, exact_model, tokenizer, greedy: None
):
    thinking = copy.deepcopy(tokenizer)
    thinking.chat_template += "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
    server = Server(LoadedModel(exact_model, thinking, get_model_config(DEFAULT_MODEL), "a model that thinks"), None)
    try:
        visit = Visit(context, server, max_new_tokens="8")
        visit.open_panel("Settings")
        visit.page.get_by_role("switch", name="Thinking").uncheck()
        visit.page.get_by_label("Reasoning limit").fill("100")
        assert asked(visit, FRANCE)["settings"] == {"max_new_tokens": 8, "thinking": False, "thinking_budget": 100}
        (question,) = (it.question for it in server.page.answering._answers.values())
        assert question.template_options == {"enable_thinking": False}
        assert question.generation.thinking_budget == 100
    finally:
        server.stop()


def test_a_model_whose_template_cannot_think_has_no_switch(visit: Visit):
    visit.open_panel("Settings")
    expect(visit.page.get_by_label("System prompt")).to_be_visible()
    expect(visit.page.get_by_role("switch", name="Thinking")).to_have_count(0)


def test_look_inside_shows_probabilities_and_goes_on_from_an_alternative(visit: Visit):
    visit.open_panel("Settings")
    visit.page.get_by_role("switch", name="Look inside").check()
    visit.close_panel("Settings")
    visit.ask(FRANCE)
    tokens = visit.page.locator(".token")
    answer = visit.stored()[-1]
    assert tokens.count() == answer["figures"]["completion_tokens"]
    assert "".join(tokens.all_inner_texts()) == answer["content"]
    tokens.nth(3).click()
    choices = visit.page.locator(".alternatives button")
    expect(choices).to_have_count(5)
    expect(choices.first).to_contain_text("%")
    visit.screenshot("inside")
    before = "".join(tokens.all_inner_texts()[:3])
    word = choices.nth(1).locator("code").inner_text().replace("␣", " ")
    choices.nth(1).click()
    expect(visit.page.get_by_label("Version 2 of 2")).to_be_visible()
    visit.wait_for_end()
    assert visit.stored()[-1]["content"].startswith(before + word)


def attach(visit: Visit, name: str, text: str) -> None:
    file: FilePayload = {"name": name, "mimeType": "text/markdown", "buffer": text.encode()}
    visit.page.set_input_files("#composer input[type=file]", files=[file])


@pytest.mark.firefox
def test_an_attached_text_is_read_with_the_question_and_kept_over_a_reload(visit: Visit):
    attach(visit, "notes.md", "The secret word is banana.")
    chip = visit.page.locator("#composer .files li")
    expect(chip).to_contain_text("notes.md")
    expect(visit.page.locator("#composer .hint[role=status]")).to_contain_text(
        re.compile(r"About \d+ tokens; there is room for")
    )
    visit.reload()
    expect(chip).to_contain_text("notes.md")
    sent = asked(visit, "What is the secret word?")["messages"]
    assert "The secret word is banana." in sent[0]["content"]
    expect(visit.texts.last).to_contain_text("banana")
    expect(visit.answers.first.page.locator(".message.user .files")).to_contain_text("notes.md")
    expect(chip).to_have_count(0)


def test_files_of_a_question_are_taken_away_in_its_edit_box(visit: Visit):
    visit.set(max_new_tokens="4")
    attach(visit, "notes.md", "The secret word is banana.")
    attach(visit, "more.md", "The other word is apple.")
    expect(visit.page.locator("#composer .files li")).to_have_count(2)
    visit.ask("What is the secret word?")
    visit.questions.last.hover()
    visit.button("Edit").click()
    visit.button("Remove notes.md").click()
    visit.screenshot("edit-files")
    visit.page.evaluate(NOTE_QUESTIONS)
    visit.page.keyboard.press("Control+Enter")
    expect(visit.page.locator(".message.user .files li")).to_have_count(1)
    visit.wait_for_end()
    (sent,) = visit.page.evaluate("question")["messages"]
    assert "apple" in sent["content"] and "banana" not in sent["content"]
    visit.button("Previous version").click()
    expect(visit.page.locator(".message.user .files li")).to_have_count(2)


def test_files_are_added_to_a_question_in_its_edit_box(visit: Visit):
    visit.set(max_new_tokens="4")
    visit.ask("What is the secret word?")
    visit.questions.last.hover()
    visit.button("Edit").click()
    file: FilePayload = {"name": "notes.md", "mimeType": "text/markdown", "buffer": b"The secret word is banana."}
    visit.page.set_input_files(".edit input[type=file]", files=[file])
    expect(visit.page.locator(".edit .files li")).to_contain_text("notes.md")
    visit.page.evaluate(NOTE_QUESTIONS)
    visit.page.keyboard.press("Control+Enter")
    expect(visit.page.locator(".message.user .files li")).to_have_count(1)
    visit.wait_for_end()
    (sent,) = visit.page.evaluate("question")["messages"]
    assert "banana" in sent["content"]
    visit.button("Previous version").click()
    expect(visit.page.locator(".message.user .files li")).to_have_count(0)


def test_what_was_said_of_a_file_goes_with_the_next_action(visit: Visit):
    file: FilePayload = {"name": "a.png", "mimeType": "image/png", "buffer": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"}
    visit.page.set_input_files("#composer input[type=file]", files=[file])
    expect(visit.notice).to_contain_text("a.png can’t be read")
    visit.set(max_new_tokens="4")
    expect(visit.notice).to_have_text("")


def test_of_a_text_that_is_too_long_the_reader_chooses_what_goes_in(visit: Visit):
    attach(visit, "book.md", "# One\n" + "word " * 9000 + "\n# Two\nThe end.")
    dialog = visit.page.get_by_role("dialog")
    expect(dialog).to_contain_text("there is room for")
    visit.screenshot("parts")
    dialog.get_by_role("button", name="None").click()
    dialog.get_by_label(re.compile("^Two")).check()
    dialog.get_by_role("button", name="Use these").click()
    visit.set(max_new_tokens="4")
    content = asked(visit, "?")["messages"][0]["content"]
    assert "The end." in content and "word word" not in content


def test_a_long_text_that_is_pasted_becomes_a_file_that_may_be_sent_alone(visit: Visit):
    visit.page.evaluate("navigator.clipboard.writeText('word '.repeat(1000))")
    visit.box.focus()
    visit.page.keyboard.press("Control+v")
    expect(visit.page.locator("#composer .files li")).to_contain_text("Pasted text.txt")
    expect(visit.box).to_have_value("")
    visit.set(max_new_tokens="4")
    assert "word word" in asked(visit, "")["messages"][0]["content"]
    expect(visit.names).to_have_text(["Pasted text.txt"])


def test_the_place_in_the_queue_is_shown_and_a_full_queue_takes_the_question_later(
    browser: Browser, loaded: LoadedModel, greedy: None, monkeypatch: pytest.MonkeyPatch
):
    server = Server(loaded, None, concurrent=1, waiting=1)
    go = server.pause_answers(monkeypatch)
    contexts = [browser.new_context() for _ in range(3)]
    try:
        first, second, third = (Visit(context, server) for context in contexts)
        first.send(STORY)
        first.wait_for_words()
        second.send(FRANCE)
        expect(second.answers.last).to_contain_text("place 1 in the queue")
        second.screenshot("waiting")
        third.send(FRANCE)
        expect(third.answers.last).to_contain_text("Many people are waiting")
        second.button("Stop").click()
        expect(second.answers.last).to_have_attribute("data-finish", "cancelled")
        expect(third.answers.last).to_contain_text("place 1 in the queue")
        first.stop()
        go.set()
        expect(third.texts.last).to_contain_text("Paris")
    finally:
        for context in contexts:
            context.close()
        server.stop()
