"""Nothing that was written is lost, whatever happens in between."""

import json
import re

import pytest
from playwright.sync_api import BrowserContext, expect

from tests.page_visit import FRANCE, ITALY, STORY, Server, Visit, eventually


def contents(visit: Visit) -> list[str]:
    return [message["content"] for message in visit.stored()]


def test_editing_an_early_message_keeps_what_followed_it(visit: Visit):
    visit.set(max_new_tokens="4")
    for number in range(1, 4):
        visit.ask(f"Say {number}.")
    visit.questions.first.hover()
    visit.button("Edit").first.click()
    visit.page.get_by_role("textbox", name="Edit").fill("Say hello.")
    visit.button("Send").first.click()
    expect(visit.questions).to_have_text(["Say hello."])
    visit.wait_for_end()
    visit.questions.first.hover()
    visit.button("Previous version").click()
    expect(visit.questions).to_have_text(["Say 1.", "Say 2.", "Say 3."])
    visit.reload()
    expect(visit.questions).to_have_text(["Say 1.", "Say 2.", "Say 3."])
    expect(visit.page.get_by_label("Version 1 of 2")).to_have_count(1)


def test_regenerate_keeps_the_old_answer(visit: Visit):
    visit.ask(FRANCE)
    visit.button("Regenerate").click()
    expect(visit.page.get_by_label("Version 2 of 2")).to_be_visible()
    visit.wait_for_end()
    visit.button("Previous version").click()
    expect(visit.page.get_by_label("Version 1 of 2")).to_be_visible()
    assert len(contents(visit)) == 3


def two_tabs(context: BrowserContext, server: Server) -> tuple[Visit, Visit]:
    """Two tabs that show the same conversation, in which one question was asked."""
    one = Visit(context, server)
    one.ask(FRANCE)
    two = Visit(context, server)
    two.open_panel("Conversations")
    two.names.first.click()
    expect(two.questions).to_have_text([FRANCE])
    return one, two


@pytest.mark.firefox
def test_two_tabs_with_the_same_conversation_lose_no_turn(context: BrowserContext, server: Server):
    one, two = two_tabs(context, server)
    one.send(ITALY)
    two.send("And of Spain?")
    assert eventually(lambda: len([it for it in one.stored() if it.get("finish_reason")]) == 3)
    assert {FRANCE, ITALY, "And of Spain?"} == {it["content"] for it in two.stored() if it["role"] == "user"}
    assert len(one.stored()) == 6


def test_a_tab_shows_what_another_one_adds(context: BrowserContext, server: Server):
    one, two = two_tabs(context, server)
    answer = one.ask(ITALY)
    expect(two.texts.last).to_have_text(answer)


def test_an_answer_that_another_tab_saw_end_is_shown_whole(context: BrowserContext, server: Server):
    one, two = two_tabs(context, server)
    one.page.route("**/page/follow", lambda route: route.abort())  # it hears nothing
    one.send(ITALY)
    for tab in (one, two):
        expect(tab.answers).to_have_count(2)
        tab.wait_for_end()
    assert "Rome" in two.texts.last.inner_text()
    assert one.texts.last.inner_text() == two.texts.last.inner_text()


def test_after_a_restart_of_the_server_a_conversation_goes_on_with_all_it_knew(
    context: BrowserContext, own_server: Server
):
    visit = Visit(context, own_server)
    visit.ask(FRANCE)
    own_server.stop()
    own_server.start()
    assert "Rome" in visit.ask(ITALY)
    expect(visit.questions).to_have_text([FRANCE, ITALY])


def test_a_message_sent_while_the_server_is_down_is_answered_when_it_is_back(
    context: BrowserContext, own_server: Server
):
    visit = Visit(context, own_server)
    visit.ask(FRANCE)
    own_server.stop()
    visit.send(ITALY)
    expect(visit.notice).to_contain_text("The server can’t be reached")
    visit.box.fill("A draft")
    visit.screenshot("server-down")
    own_server.start()
    expect(visit.texts.last).to_contain_text("Rome")
    expect(visit.notice).to_have_text("")
    expect(visit.box).to_have_value("A draft")


def test_settings_system_prompt_and_model_outlive_a_reload_and_are_kept_by_conversation(visit: Visit):
    visit.open_panel("Settings")
    visit.set_number("temperature", "0.5")
    visit.page.get_by_label("System prompt").fill("Answer in one word.")
    visit.page.get_by_label("Model", exact=True).select_option(label="smollm2-135m-instruct · INT8")
    expect(visit.model.filter(has_text="INT8")).to_be_visible()
    visit.ask(FRANCE)
    visit.reload()
    visit.open_panel("Settings")
    expect(visit.model.filter(has_text="INT8")).to_be_visible()
    expect(visit.page.locator("#set-temperature")).to_have_value("0.5")
    expect(visit.page.get_by_label("System prompt")).to_have_value("Answer in one word.")

    visit.begin()  # with the last ones
    expect(visit.page.locator("#set-temperature")).to_have_value("0.5")
    visit.set_number("temperature", "1")
    visit.ask(ITALY)
    visit.open_panel("Conversations")
    visit.names.last.click()
    expect(visit.questions).to_have_text([FRANCE])
    expect(visit.page.locator("#set-temperature")).to_have_value("0.5")


def test_a_draft_outlives_a_reload_and_belongs_to_its_conversation(visit: Visit):
    visit.box.fill("Half a sentence")
    visit.reload()
    expect(visit.box).to_have_value("Half a sentence")
    visit.begin()
    expect(visit.box).to_have_value("")


# Frames come late, as on a busy machine; `lateFrames` counts those that were asked for, and those that came.
LATE_FRAMES = """
window.lateFrames = { asked: 0, drawn: 0 };
const frame = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = (draw) => {
  lateFrames.asked++;
  return setTimeout(() => frame((time) => (draw(time), lateFrames.drawn++)), 300);
};
"""


def test_what_is_typed_before_the_first_frame_of_a_conversation_stays(context: BrowserContext, server: Server):
    context.add_init_script(LATE_FRAMES)
    visit = Visit(context, server)
    for text in ("In the first", "In a new one"):
        visit.box.fill(text)
        asked = visit.page.evaluate("lateFrames.asked")
        visit.wait_until(f"lateFrames.drawn >= {asked}")
        expect(visit.box).to_have_value(text)
        visit.page.locator(".new:visible").first.click()
    expect(visit.box).to_have_value("")


@pytest.mark.firefox
def test_a_question_sent_just_before_a_reload_is_answered_after_it(visit: Visit):
    visit.box.fill(FRANCE)
    visit.page.evaluate("document.querySelector('#composer').requestSubmit(); location.reload()")
    expect(visit.questions).to_have_text([FRANCE])
    expect(visit.texts.last).to_contain_text("Paris")


def test_an_answer_goes_on_over_a_reload_and_in_the_background(
    visit: Visit, server: Server, monkeypatch: pytest.MonkeyPatch
):
    go = server.pause_answers(monkeypatch)
    visit.set(max_new_tokens="120")
    visit.send(STORY)
    visit.wait_for_words()
    visit.reload()
    expect(visit.answers.last).to_have_attribute("data-finish", "")
    visit.begin()
    expect(visit.questions).to_have_count(0)
    visit.open_panel("Conversations")
    expect(visit.page.get_by_role("img", name="Answering")).to_be_visible()
    visit.screenshot("answering")
    visit.names.first.click()
    go.set()
    visit.wait_for_end()
    (answer,) = (it for it in visit.stored() if it["role"] == "assistant")
    assert answer["finish_reason"] in ("length", "stop") and answer["figures"]["completion_tokens"] > 100
    expect(visit.page.get_by_role("img", name="Answering")).to_have_count(0)


def test_an_answer_that_a_restart_interrupted_says_so_and_can_be_continued(
    context: BrowserContext, own_server: Server, monkeypatch: pytest.MonkeyPatch
):
    visit = Visit(context, own_server, max_new_tokens="40")
    go = own_server.pause_answers(monkeypatch)
    visit.send(STORY)
    visit.wait_for_words()
    monkeypatch.setattr(own_server.page.demo, "_on_close", lambda: None)  # as if it were killed: the answer isn't ended
    own_server.stop()
    go.set()
    own_server.page.answering.close()
    own_server.start()
    expect(visit.answers.last).to_have_attribute("data-finish", "interrupted")
    expect(visit.answers.last).to_contain_text("interrupted")
    beginning = visit.stored()[-1]["content"]
    visit.button("Continue").click()
    assert eventually(lambda: [bool(it.get("finish_reason")) for it in visit.stored()] == [False, True, True])
    expect(visit.answers).to_have_count(1)
    continued = visit.stored()[-1]["content"]
    assert continued.startswith(beginning) and len(continued) > len(beginning)


def test_the_context_meter_is_right_after_a_reload_in_an_opened_conversation_and_on_a_branch(visit: Visit):
    visit.ask(FRANCE)
    first = visit.meter.get_attribute("aria-valuenow") or ""
    assert int(first) > 37
    visit.ask(ITALY)
    second = visit.meter.get_attribute("aria-valuenow") or ""
    assert int(second) > int(first)
    visit.reload()
    expect(visit.meter).to_have_attribute("aria-valuenow", second)
    visit.begin()
    expect(visit.meter).to_have_attribute("aria-valuenow", "0")
    visit.open_panel("Conversations")
    visit.names.first.click()
    expect(visit.meter).to_have_attribute("aria-valuenow", second)
    visit.open_panel("Settings")
    visit.page.get_by_label("Model", exact=True).select_option(label="smollm2-135m-instruct · INT8")
    expect(visit.model.filter(has_text="INT8")).to_be_visible()
    expect(visit.meter).to_have_attribute("aria-valuenow", second)


def test_delete_can_be_undone(visit: Visit):
    visit.ask(FRANCE)
    visit.open_panel("Conversations")
    visit.act("Delete", FRANCE)
    expect(visit.names).to_have_count(0)
    expect(visit.questions).to_have_count(0)
    visit.button("Undo").click()
    expect(visit.names).to_have_text([FRANCE])
    expect(visit.questions).to_have_text([FRANCE])  # it was shown, and is again
    expect(visit.box).to_be_focused()


def test_undo_does_not_take_away_what_was_begun_meanwhile(visit: Visit):
    visit.ask(FRANCE)
    visit.open_panel("Conversations")
    visit.act("Delete", FRANCE)
    expect(visit.questions).to_have_count(0)
    visit.box.fill("Another")
    visit.button("Undo").click()
    expect(visit.names).to_have_text([FRANCE])
    expect(visit.questions).to_have_count(0)
    expect(visit.box).to_have_value("Another")


def test_what_is_asked_in_a_tab_that_comes_back_to_a_deleted_conversation_is_kept(
    context: BrowserContext, server: Server
):
    one, two = Visit(context, server), Visit(context, server)
    one.ask(FRANCE)
    address = one.page.url
    one.page.goto("about:blank")
    two.open_panel("Conversations")
    two.act("Delete", FRANCE)
    expect(two.names).to_have_count(0)
    one.page.goto(address)
    one.wait_until_drawn()
    one.ask(ITALY)
    expect(two.names).to_have_text([ITALY])


FULL = """() => {
  const { put } = IDBObjectStore.prototype;
  IDBObjectStore.prototype.put = () => { throw new DOMException("No room", "QuotaExceededError"); };
  window.makeRoom = () => { IDBObjectStore.prototype.put = put; };
}"""


def test_a_message_for_which_storage_is_full_is_answered_says_so_and_is_saved_once_there_is_room(visit: Visit):
    visit.ask("Say hello.")
    visit.page.evaluate(FULL)
    assert "Paris" in visit.ask(FRANCE)
    expect(visit.notice).to_contain_text("Browser storage is full")
    expect(visit.answers.last).to_contain_text("this conversation is not saved")
    assert "Rome" in visit.ask(ITALY)  # the model reads what is not saved
    visit.open_panel("Conversations")
    _, exported = visit.download(lambda: visit.act_on_list("Export all (JSON)"))
    assert len(json.loads(exported)["conversations"][0]["messages"]) == 6
    visit.begin()
    visit.names.first.click()
    expect(visit.questions).to_have_text(["Say hello.", FRANCE, ITALY])
    visit.page.evaluate("makeRoom()")
    visit.ask("And of Spain?")
    expect(visit.page.get_by_text("this conversation is not saved")).to_have_count(0)
    visit.page.evaluate(FULL)
    visit.ask("And of Japan?")
    visit.reload()  # with room again
    expect(visit.questions).to_have_text(["Say hello.", FRANCE, ITALY, "And of Spain?", "And of Japan?"])
    stored = visit.stored()
    assert len(stored) == 10 and all(it["finish_reason"] for it in stored if it["role"] == "assistant")


def test_where_storage_is_full_a_new_conversation_is_answered_and_another_can_be_deleted(visit: Visit):
    visit.ask(FRANCE)
    visit.begin()
    visit.page.evaluate(FULL)
    assert "Rome" in visit.ask("Name the capital of Italy.")
    visit.open_panel("Conversations")
    expect(visit.names).to_have_text(["Name the capital of Italy.", FRANCE])
    visit.act("Delete", FRANCE)
    expect(visit.names).to_have_text(["Name the capital of Italy."])
    visit.page.evaluate("makeRoom()")
    visit.button("Undo").click()
    expect(visit.names).to_have_count(2)
    expect(visit.questions).to_have_text(["Name the capital of Italy."])


# Notes whether the server is said to be down.
NOTE_DOWN = """() => {
  const notice = document.querySelector("#notice");
  new MutationObserver(() => (window.wasDown ||= notice.matches(".down"))).observe(notice, { attributes: true });
}"""


def test_an_answer_that_cannot_be_saved_is_shown_to_its_end(
    visit: Visit, server: Server, monkeypatch: pytest.MonkeyPatch
):
    visit.set(max_new_tokens="200")
    go = server.pause_answers(monkeypatch)
    visit.send(STORY)
    visit.wait_for_words()
    visit.page.evaluate(FULL)
    visit.page.evaluate(NOTE_DOWN)
    go.set()
    visit.wait_for_end()
    expect(visit.notice).to_contain_text("Browser storage is full")
    assert not visit.page.evaluate("window.wasDown")
    expect(visit.answers.last).to_contain_text("tokens/s")
    expect(visit.button("Stop")).to_be_hidden()


def test_what_an_earlier_version_kept_is_taken_over_once(context: BrowserContext, server: Server):
    figures = {"completion_tokens": 7, "prompt_tokens": 37, "finish_reason": "length"}
    turns = [{"role": "user", "content": FRANCE}, {"role": "assistant", "content": "Paris.", "figures": figures}]
    old = json.dumps({"id": "old", "name": "Europe", "updated": 1, "messages": turns})
    context.add_init_script(f"localStorage['llm-chatbot.conversation.old'] ??= {json.dumps(old)}")
    for _ in range(2):  # the second time, as if another tab had done it at the same moment
        visit = Visit(context, server)
        visit.open_panel("Conversations")
        expect(visit.names).to_have_text(["Europe"])
        visit.names.first.click()
        expect(visit.texts).to_have_text(["Paris."])
        expect(visit.meter).to_have_attribute("aria-valuenow", re.compile("44"))
    expect(visit.button("Continue")).to_be_visible()
    assert len(visit.stored()) == 2
