"""Files that were sent: they open, are searched, and say what of them the model read."""

import re

from playwright.sync_api import Page, expect

from tests.page.test_library import as_json, import_file
from tests.page_visit import Visit

NOTES = "The needle is blue."
WHOLE = {"name": "notes.txt", "text": NOTES, "tokens": 5}
PART = {"name": "report.pdf", "text": "Page one\fPage two", "tokens": 5, "of": 4000}


def with_files(visit: Visit, left_out: int = 0) -> None:
    """A conversation of two turns, whose first question has files."""
    figures = {"completion_tokens": 4, "prompt_tokens": 10}
    import_file(
        visit,
        "files.json",
        as_json(
            {"id": "1", "parent": None, "role": "user", "content": "What is it?", "attachments": [WHOLE, PART]},
            {"id": "2", "parent": "1", "role": "assistant", "content": "Blue.", "finish_reason": "stop"},
            {"id": "3", "parent": "2", "role": "user", "content": "And now?"},
            {
                **{"id": "4", "parent": "3", "role": "assistant", "content": "Still.", "finish_reason": "stop"},
                **{"figures": figures, "left_out": left_out},
            },
        ),
    )


def test_a_sent_file_opens_and_says_what_of_it_the_model_read(visit: Visit):
    with_files(visit)
    files = visit.page.locator(".message .files li")
    expect(files).to_have_text([re.compile("notes.txtabout 5 tokens"), re.compile("report.pdfabout 5 of 4,000 tokens")])
    visit.button("notes.txt").click()
    dialog = visit.page.get_by_role("dialog", name="notes.txt")
    expect(dialog).to_contain_text("all of the file’s")
    expect(dialog.locator("pre")).to_have_text(NOTES)
    visit.screenshot("sent-file")
    name, content = visit.download(dialog.get_by_role("button", name="Download").click)
    assert (name, content.decode()) == ("notes.txt", NOTES)
    visit.page.keyboard.press("Escape")
    expect(dialog).to_have_count(0)
    visit.button("report.pdf").click()
    dialog = visit.page.get_by_role("dialog", name="report.pdf")
    expect(dialog).to_contain_text("These parts of the file")
    expect(dialog.locator("pre")).to_have_text("Page one Page two")
    expect(dialog).not_to_contain_text("without it")


def test_a_file_of_a_turn_that_was_left_out_says_so(visit: Visit):
    with_files(visit, left_out=1)
    visit.button("notes.txt").click()
    expect(visit.page.get_by_role("dialog")).to_contain_text("The latest answer was written without it")


def test_sent_files_are_searched(visit: Visit):
    with_files(visit)
    visit.begin()
    visit.page.get_by_role("searchbox").fill("needle blue")
    expect(visit.page.locator(".found").first).to_have_text(re.compile(r"notes.txt: The needle is blue\."))
    visit.page.locator(".found").first.click()
    expect(visit.questions.first).to_have_text("What is it?")


def test_turns_that_were_left_out_are_counted_as_the_model_reads_them(modules: Page):
    path = [
        {"id": "q1", "role": "user", "content": "a"},
        {"id": "a1", "role": "assistant", "content": ""},  # never answered: joined with the next question
        {"id": "q2", "role": "user", "content": "b"},
        {"id": "a2", "role": "assistant", "content": "B"},
        {"id": "q3", "role": "user", "content": "c"},
        {"id": "a3", "role": "assistant", "content": "C", "left_out": 1, "figures": {}},
        {"id": "q4", "role": "user", "content": "d"},
        {"id": "a4", "role": "assistant", "content": ""},
    ]
    left_out = modules.evaluate("(path) => [...branches.turnsLeftOut(path)]", path)
    assert left_out == ["q1", "a1", "q2", "a2"]
