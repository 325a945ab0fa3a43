"""The page, in a real browser and through the API that scripts use, with the real model."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from browser import open_browser
from gradio_client import Client
from playwright.sync_api import Browser, Page, expect

from chat_ui import left_out, plain_text, sentence
from config import DEFAULT_MODEL, EXAMPLE_QUESTIONS, UserError

ROOT = Path(__file__).resolve().parents[1]
SCREENSHOTS = ROOT / "screenshots"
ANSWER_TIMEOUT = 60_000  # milliseconds; for a machine that is busy


def start_page(*arguments: str, **options) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "chat_ui.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        **options,
    )


@pytest.fixture(scope="module")
def address(models_root: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = start_page("--output", str(models_root), "--port", str(port))
    assert process.stdout is not None
    line = next(line for line in process.stdout if "http://" in line)
    assert f"http://127.0.0.1:{port}" in line
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(timeout=30)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser: Browser, address: str) -> Iterator[Page]:
    """A new tab, set to greedy decoding, so that a question has one answer."""
    page = browser.new_page(viewport={"width": 1100, "height": 760})
    page.goto(address)
    page.get_by_role("button", name="Toggle Sidebar").click()
    set_number(page, "Temperature", "0")
    set_number(page, "Repetition penalty", "1")
    page.get_by_role("button", name="Toggle Sidebar").click()
    yield page
    page.close()


def set_number(page: Page, label: str, value: str) -> None:
    box = page.get_by_label(f"number input for {label}")
    box.fill(value)
    box.press("Tab")


def wait_for_the_end(page: Page) -> None:
    expect(page.get_by_role("button", name="Send")).to_be_visible(timeout=ANSWER_TIMEOUT)


def send(page: Page, text: str) -> None:
    wait_for_the_end(page)
    box = page.get_by_placeholder("Type a message…")
    box.fill(text)
    box.press("Enter")


def answers(page: Page):
    return page.get_by_test_id("bot")


def test_a_conversation_of_two_turns_whose_second_answer_uses_the_first(page: Page):
    send(page, "What is the capital of France?")
    expect(answers(page).last).to_contain_text("Paris", timeout=ANSWER_TIMEOUT)
    send(page, "And of Italy?")
    expect(answers(page)).to_have_count(2, timeout=ANSWER_TIMEOUT)
    expect(answers(page).last).to_contain_text("Rome", timeout=ANSWER_TIMEOUT)
    expect(page.get_by_test_id("user")).to_have_text(["What is the capital of France?", "And of Italy?"])
    wait_for_the_end(page)
    SCREENSHOTS.mkdir(exist_ok=True)
    page.screenshot(path=SCREENSHOTS / "chat.png")


def test_an_example_question_is_sent_with_one_click(page: Page):
    page.get_by_text(EXAMPLE_QUESTIONS["en"][1]).click()
    expect(answers(page).last).to_contain_text("Paris", timeout=ANSWER_TIMEOUT)


def test_stop_ends_an_answer_and_the_next_message_works(page: Page):
    send(page, "Write a very long story about a dragon.")
    expect(answers(page).last).to_contain_text(re.compile(r"\w+ \w+ \w+"), timeout=ANSWER_TIMEOUT)
    page.get_by_role("button", name="Stop").click()
    send(page, "What is the capital of France?")
    expect(answers(page)).to_have_count(2, timeout=ANSWER_TIMEOUT)
    wait_for_the_end(page)
    expect(answers(page).last).to_contain_text(re.compile(r"\w+ \w+"))


def test_what_is_typed_while_an_answer_runs_stays_in_the_box_and_is_not_sent(page: Page):
    send(page, "Write a very long story about a dragon.")
    expect(answers(page).last).to_contain_text(re.compile(r"\w+ \w+"), timeout=ANSWER_TIMEOUT)
    box = page.get_by_placeholder("Type a message…")
    box.fill("And then?")
    box.press("Enter")
    page.get_by_role("button", name="Stop").click()
    wait_for_the_end(page)
    expect(box).to_have_value("And then?")
    expect(page.get_by_test_id("user")).to_have_count(1)


def test_an_empty_message_does_nothing(page: Page):
    send(page, "  ")
    wait_for_the_end(page)
    expect(answers(page)).to_have_count(0)


def test_a_turn_can_be_undone_and_an_answer_regenerated(page: Page):
    send(page, "What is the capital of France?")
    expect(answers(page).last).to_contain_text("Paris", timeout=ANSWER_TIMEOUT)
    wait_for_the_end(page)
    page.get_by_role("button", name="Retry").click()
    expect(answers(page)).to_have_count(1)
    wait_for_the_end(page)
    expect(answers(page).last).to_contain_text("Paris", timeout=ANSWER_TIMEOUT)
    page.get_by_role("button", name="Undo").click()
    expect(page.get_by_placeholder("Type a message…")).to_have_value("What is the capital of France?")
    expect(answers(page)).to_have_count(0)


def test_what_a_user_types_is_shown_and_not_run(page: Page):
    send(page, "<script>document.title = 'run'</script><img src=x onerror=\"document.title='run'\">")
    wait_for_the_end(page)
    assert page.title() != "run"


def test_the_settings_open_and_hold(page: Page):
    page.get_by_role("button", name="Toggle Sidebar").click()
    set_number(page, "Longest answer", "2")
    send(page, "What is the capital of France?")
    wait_for_the_end(page)
    expect(answers(page).last).not_to_contain_text("Paris")
    page.screenshot(path=SCREENSHOTS / "settings.png")


def test_a_message_that_is_too_long_is_refused_and_goes_back_to_the_box(page: Page):
    send(page, "word " * 9000)
    expect(page.get_by_text("The message is too long")).to_be_visible(timeout=ANSWER_TIMEOUT)
    expect(page.get_by_placeholder("Type a message…")).to_have_value("word " * 9000)
    expect(page.get_by_test_id("user")).to_have_count(0)
    send(page, "What is the capital of France?")
    expect(answers(page).last).to_contain_text("Paris", timeout=ANSWER_TIMEOUT)
    expect(page.get_by_text("The message is too long")).to_have_count(0)


def test_scripts_have_an_endpoint_that_streams(address: str):
    client = Client(address, verbose=False)
    assert list(client.view_api(return_format="dict", print_info=False)["named_endpoints"]) == ["/chat"]
    greedy = {"temperature": 0, "repetition_penalty": 1, "api_name": "/chat"}
    job = client.submit("What is the capital of France?", **greedy)
    assert "Paris" in job.result()
    assert len(job.outputs()) > 1
    turns = [{"role": "user", "content": "What is the capital of France?"}, {"role": "assistant", "content": "Paris."}]
    assert "Rome" in client.predict("And of Italy?", turns, **greedy)


def test_a_failure_of_the_runtime_is_a_sentence():
    assert sentence(UserError("Too long.")) == "Too long."
    assert sentence(RuntimeError("Exception from x:\nout of memory\n")).startswith("The model failed (out of memory)")


def test_nothing_is_said_where_nothing_was_left_out():
    assert left_out(0) == ""
    assert "3 oldest turns" in left_out(3)


def test_messages_come_as_text_or_as_blocks():
    assert plain_text("a") == "a"
    assert plain_text([{"type": "text", "text": "a"}, {"type": "file"}, {"type": "text", "text": "b"}]) == "ab"


def test_a_port_that_is_taken_or_that_there_is_not_is_a_sentence(models_root: Path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for port in (taken.getsockname()[1], 99_999):
            process = start_page("--output", str(models_root), "--port", str(port))
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 2
            assert f"Port {port} of 127.0.0.1 is taken or can't be used" in errors and "Traceback" not in errors


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model", "no-such-model"], DEFAULT_MODEL),
        (["--precision", "INT2"], "FP16, INT8, INT4"),
        (["--device", "TPU"], "choose one of"),
        (["--output", "nowhere"], f"python converter.py {DEFAULT_MODEL} --precision INT4"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_one_sentence(arguments: list[str], expected: str, models_root: Path):
    _, errors = (process := start_page("--output", str(models_root), *arguments)).communicate(timeout=120)
    assert process.returncode == 2
    assert expected in errors
    assert errors.count("\n") == 1 and errors.endswith(".\n")
