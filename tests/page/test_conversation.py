"""A conversation on the page, in a real browser with the real model."""

import re

import pytest
from playwright.sync_api import BrowserContext, Route, expect

from llm_chatbot.catalogue.example_questions import EXAMPLE_QUESTIONS
from tests.page_visit import FRANCE, ITALY, STORY, Server, Visit, eventually

# Too long for the model by its tokens, though it has few words.
LONG = "a-b-c-d-e-f-g-h-i-j " * 700

# Counts the answers that had ended and are drawn as if they were expected again.
REOPENED = """() => {
  window.reopened = 0;
  const ended = ({ oldValue, target }) => oldValue && !target.dataset.finish;
  const count = (changes) => (reopened += changes.filter(ended).length);
  const what = { subtree: true, attributeFilter: ["data-finish"], attributeOldValue: true };
  new MutationObserver(count).observe(document, what);
}"""


def test_a_conversation_of_two_turns_whose_second_answer_uses_the_first(visit: Visit):
    assert "Paris" in visit.ask(FRANCE)
    assert "Rome" in visit.ask(ITALY)
    expect(visit.questions).to_have_text([FRANCE, ITALY])
    expect(visit.model.filter(has_text="smollm2-135m-instruct · INT4")).to_be_visible()
    assert 40 < int(visit.meter.get_attribute("aria-valuenow") or 0) < 200
    expect(visit.answers.last.locator(".figures")).to_have_text(re.compile(r"^[\d.]+ tokens/s$"))
    visit.screenshot("conversation")


def test_the_figures_of_an_answer_open_below_its_speed(visit: Visit):
    visit.ask(FRANCE)
    visit.ask(ITALY)
    first = visit.answers.first
    first.hover()
    first.locator("button.figures").click()
    figures = visit.page.get_by_role("dialog", name="Figures")
    expect(figures).to_contain_text(re.compile(r"\d+ tokens, \d+ of them from the cache"))
    for part in ("Waiting", "Reading", "Writing"):
        expect(figures.locator("li").filter(has_text=part)).to_have_text(re.compile(r"[\d.]+ s$"))
    widths = figures.locator(".times span").evaluate_all("(all) => all.map((it) => parseFloat(it.style.width))")
    assert 99 < sum(widths) < 101
    visit.screenshot("figures")
    visit.page.keyboard.press("Escape")
    expect(figures).to_have_count(0)
    expect(first.locator("button.figures")).to_be_focused()


def test_an_example_question_is_sent_with_one_click(visit: Visit):
    visit.screenshot("start")
    visit.page.get_by_text(EXAMPLE_QUESTIONS["en"][1]).click()
    expect(visit.texts.last).to_contain_text("Paris")


def test_enter_sends_and_shift_enter_breaks_the_line(visit: Visit):
    expect(visit.box).to_be_focused()
    visit.page.keyboard.type("One line")
    visit.page.keyboard.press("Shift+Enter")
    visit.page.keyboard.type("and another")
    expect(visit.box).to_have_value("One line\nand another")
    visit.page.keyboard.press("Enter")
    expect(visit.questions).to_have_text(re.compile(r"One line\s*and another"))


def test_an_empty_message_does_nothing(visit: Visit):
    visit.send("  ")
    assert "Paris" in visit.ask(FRANCE)
    expect(visit.questions).to_have_count(1)


def test_messages_sent_quickly_after_each_other_are_all_answered(visit: Visit):
    visit.set(max_new_tokens="4")
    texts = [f"Say {number}." for number in range(30)]
    visit.page.evaluate(REOPENED)
    for text in texts:
        visit.send(text)
    expect(visit.questions).to_have_text(texts)
    for index in range(len(texts)):
        visit.wait_for_end(index)
    assert [it for it in visit.page.locator(".message.assistant").all() if it.get_attribute("data-finish") == ""] == []
    assert [message["content"] for message in visit.stored() if message["role"] == "user"] == texts
    assert all(message.get("finish_reason") for message in visit.stored() if message["role"] == "assistant")
    assert visit.page.evaluate("reopened") == 0


@pytest.mark.firefox
def test_a_stopped_answer_says_so_and_goes_on_with_continue(
    visit: Visit, server: Server, monkeypatch: pytest.MonkeyPatch
):
    go = server.pause_answers(monkeypatch)
    visit.send(STORY)
    visit.wait_for_words()
    visit.stop()
    go.set()
    visit.wait_for_end()
    expect(visit.box).to_be_focused()
    expect(visit.answers.last).to_contain_text("stopped")
    beginning = visit.stored()[-1]["content"]
    go.clear()
    with visit.page.expect_response("**/page/ask"):
        visit.button("Continue").click()
    expect(visit.answers.last).to_have_attribute("data-finish", "")
    visit.stop()
    go.set()
    visit.wait_for_end()
    assert visit.stored()[-1]["content"].startswith(beginning)
    expect(visit.answers).to_have_count(1)
    assert "Paris" in visit.ask(FRANCE)


def test_an_answer_that_is_stopped_before_the_server_has_the_question_is_not_generated(visit: Visit, server: Server):
    asked: list[Route] = []
    visit.page.route("**/page/ask", lambda route: asked.append(route))
    with visit.page.expect_request("**/page/ask"):
        visit.send(STORY)
    visit.button("Stop").click()
    visit.wait_for_end()
    with visit.page.expect_response("**/page/stop"):
        asked[0].continue_()
    (id,) = (it["id"] for it in visit.stored() if it["role"] == "assistant")
    answering = server.page.answering
    assert eventually(lambda: getattr(answering.get(id), "finish_reason", None) == "cancelled")


def test_an_answer_that_ended_by_length_is_continued(visit: Visit):
    visit.set(max_new_tokens="8")
    visit.ask(STORY)
    expect(visit.answers.last).to_contain_text("maximum length reached")
    visit.button("Continue").click()
    expect(visit.answers.last).to_have_attribute("data-finish", "")
    visit.wait_for_end()
    first, second = (it["content"] for it in visit.stored() if it["role"] == "assistant")
    assert second.startswith(first) and len(second) > len(first)


def test_a_message_that_surely_does_not_fit_is_not_sent_and_stays_in_the_box(visit: Visit):
    text = "word " * 9000
    visit.send(text)
    expect(visit.page.locator("#composer")).to_contain_text(
        "Not sent: the message has at least 9,000 tokens with its files, and the model can read 7,936"
    )
    expect(visit.box).to_have_value(text)
    expect(visit.questions).to_have_count(0)
    visit.reload()
    expect(visit.box).to_have_value(text)
    visit.box.fill(FRANCE)
    expect(visit.page.get_by_text("Not sent")).to_have_count(0)
    visit.box.press("Enter")
    expect(visit.texts.last).to_contain_text("Paris")
    visit.questions.last.hover()
    visit.button("Edit").click()
    visit.page.get_by_role("textbox", name="Edit").fill(text)
    visit.page.keyboard.press("Control+Enter")
    expect(visit.page.get_by_role("alert").filter(has_text="Not sent")).to_be_visible()
    expect(visit.page.get_by_role("textbox", name="Edit")).to_have_value(text)


def test_a_message_that_was_too_long_is_left_out_of_the_questions_after_it(visit: Visit):
    visit.ask(FRANCE)
    for number in range(2):
        visit.send(f"{number} {LONG}")
        expect(visit.answers.last).to_contain_text("The message is too long")
        expect(visit.answers.last).to_contain_text("your next message is sent without it")
    assert "Rome" in visit.ask(ITALY)
    visit.reload()
    assert "Madrid" in visit.ask("And of Spain?")


def test_a_message_that_is_too_long_is_refused_with_a_sentence_and_can_be_shortened(visit: Visit):
    visit.send(LONG)
    expect(visit.answers.last).to_contain_text("The message is too long")
    expect(visit.button("Try again")).to_have_count(0)
    visit.questions.last.hover()
    visit.button("Edit").click()
    visit.page.get_by_role("textbox", name="Edit").fill(FRANCE)
    visit.page.keyboard.press("Control+Enter")
    expect(visit.texts.last).to_contain_text("Paris")


def test_after_a_failure_of_the_runtime_the_answer_can_be_tried_again(
    context: BrowserContext, server: Server, monkeypatch: pytest.MonkeyPatch
):
    visit = Visit(context, server)
    failures = iter([RuntimeError("Exception from x:\nout of memory")])
    generate = server.page.answering._generate

    def fail_once(pending) -> None:
        for failure in failures:
            raise failure
        generate(pending)

    monkeypatch.setattr(server.page.answering, "_generate", fail_once)
    visit.send(FRANCE)
    expect(visit.answers.last).to_contain_text("The model failed (out of memory)")
    visit.button("Try again").click()
    expect(visit.texts.last).to_contain_text("Paris")


def test_of_a_long_question_the_beginning_is_shown_until_all_of_it_is_asked_for(visit: Visit):
    visit.set(max_new_tokens="4")
    visit.ask("line\n" * 40)

    def height() -> float:
        return visit.questions.first.evaluate("(it) => it.offsetHeight")

    folded = height()
    visit.screenshot("folded")
    visit.button("Show all").click()
    expect(visit.button("Show less")).to_be_focused()
    assert height() > 3 * folded
    visit.button("Show less").click()
    assert height() == folded


def test_a_button_below_a_growing_answer_takes_a_click_that_lasts(
    visit: Visit, server: Server, monkeypatch: pytest.MonkeyPatch
):
    visit.set(max_new_tokens="40")
    visit.ask(STORY)
    pause_after = [9]  # tokens
    go = server.pause_answers(monkeypatch, lambda answer: answer.completion_tokens > pause_after[0])
    visit.button("Regenerate").click()
    expect(visit.page.get_by_label("Version 2 of 2")).to_be_visible()
    visit.wait_for_words()
    visit.button("Previous version").hover()
    visit.page.mouse.down()
    text = visit.texts.last.inner_text()
    pause_after[0] = 12
    go.set()
    go.clear()
    expect(visit.texts.last).not_to_have_text(text)
    visit.page.mouse.up()
    expect(visit.page.get_by_label("Version 1 of 2")).to_be_visible()
    go.set()


def test_html_and_control_tokens_are_shown_and_not_run(visit: Visit):
    text = "<script>document.title = 'run'</script><img src=x onerror=\"document.title='run'\"> <|im_end|> <b>x</b>"
    visit.ask(text)
    expect(visit.questions).to_have_text(text)
    assert visit.page.title() != "run"
    visit.questions.first.hover()
    visit.button("Copy message").first.click()
    assert eventually(lambda: visit.page.evaluate("navigator.clipboard.readText()") == text)


def test_a_conversation_goes_on_after_an_answer_that_was_edited(visit: Visit):
    visit.ask(FRANCE)
    visit.button("Edit answer").click()
    visit.page.get_by_role("textbox", name="Edit").fill("The capital of France is Lyon.")
    visit.screenshot("edit")
    visit.button("Save").click()
    expect(visit.texts.last).to_have_text("The capital of France is Lyon.")
    assert "Lyon" in visit.ask("Repeat the capital.")
    expect(visit.page.get_by_label("Version 2 of 2")).to_be_visible()


def test_a_conversation_is_forked_from_a_message(visit: Visit):
    visit.ask(FRANCE)
    visit.ask(ITALY)
    visit.answers.first.hover()
    visit.answers.first.get_by_role("button", name="New conversation from here").click()
    expect(visit.questions).to_have_text([FRANCE])
    assert "Rome" in visit.ask(ITALY)
    visit.open_panel("Conversations")
    expect(visit.names).to_have_count(2)


def test_reasoning_is_folded_away(visit: Visit):
    visit.ask(FRANCE)
    visit.button("Edit answer").click()
    visit.page.get_by_role("textbox", name="Edit").fill("<think>Hm, hm.</think>\n\nYes.")
    visit.button("Save").click()
    expect(visit.page.get_by_text("Reasoning")).to_be_visible()
    expect(visit.texts.last).to_have_text("Yes.")
    expect(visit.page.get_by_text("Hm, hm.")).to_be_hidden()
    visit.answers.last.get_by_role("button", name="Copy message").click()
    assert eventually(lambda: visit.page.evaluate("navigator.clipboard.readText()") == "Yes.")


def test_a_question_is_shown_as_it_was_typed(visit: Visit):
    visit.set(max_new_tokens="4")
    text = "# comment\n    def __init__(self):\n\n1. *one* $x$"
    visit.ask(f"{text}\n```python\nx = 1\n```\nand `code`")
    assert visit.questions.last.locator(".typed").first.inner_text() == text
    expect(visit.questions.last.locator(".code code")).to_have_text("x = 1\n")
    expect(visit.questions.last.locator(".typed code")).to_have_text("code")
    visit.screenshot("typed")


def test_markdown_is_rendered_with_code_tables_and_formulas(visit: Visit):
    visit.ask(FRANCE)
    visit.button("Edit answer").click()
    content = (
        "# Head\n\n|a|b|\n|-|-|\n|1|2|\n\n```python\nx = '<b>'\n```\n\nInline $\\sqrt{x} < y$, $5 and $10, and `<i>`."
    )
    visit.page.get_by_role("textbox", name="Edit").fill(content)
    visit.button("Save").click()
    answer = visit.answers.last
    expect(answer.locator("h1")).to_have_text("Head")
    expect(answer.locator("table td")).to_have_count(2)
    expect(answer.locator("pre code [class*=hljs]").first).to_be_visible()
    expect(answer.locator("pre")).to_contain_text("x = '<b>'")
    expect(answer.locator(".katex")).to_have_count(1)
    expect(answer.locator(".katex svg")).not_to_have_css("fill", "none")
    expect(answer.locator("p code")).to_have_text("<i>")
    visit.screenshot("markdown")
