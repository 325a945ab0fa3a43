from engine.session import Answer
from page.messages import answer_message
from page.view import (
    LESS_THAN,
    bubbles,
    close_fences,
    conversation,
    escape_html,
    header,
    message_index,
    unescape_html,
)

import pytest

FIGURES = answer_message(Answer("", 40, 30, 0, 12, 0.1, 50.0, "length"))["figures"]


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "a < b",
        "before ```not a block``` <b>",
        "unclosed ` tick <b>",
        "```\n<i>\n```\n<b>",
        "~~~html\n<i>\n~~~ \n<b>",
        "``<i> ` <i>`` <b>",
        "> ```\n> <i>\n> ```\n<b>",
    ],
)
def test_html_is_text_outside_of_code_and_comes_back_as_it_was(text: str):
    assert "<b>" not in escape_html(text) and "<script>" not in escape_html(text) and "a < b" not in escape_html(text)
    assert escape_html(text).count("<i>") == text.count("<i>")
    assert unescape_html(escape_html(text)) == text


def test_a_code_block_that_is_not_closed_yet_stays_code():
    assert escape_html("```html\n<i>\n<b") == "```html\n<i>\n<b"


def test_an_open_code_block_is_closed_before_more_text_follows():
    assert close_fences("```py\nx") == "```py\nx\n```"
    assert close_fences("~~~~\n```\nx") == "~~~~\n```\nx\n~~~~"
    assert close_fences("```py\nx\n```\n") == "```py\nx\n```\n"


def test_reasoning_folds_away_while_it_streams_and_when_it_has_ended():
    def folded(text: str) -> list[tuple]:
        parts = bubbles({"role": "assistant", "content": text}, "en")
        return [(part["content"], part.get("metadata", {}).get("status")) for part in parts]

    assert folded("<think>\nHm <b>") == [(f"Hm {LESS_THAN}b>", "pending")]
    assert folded("<think>Hm</think>\n\nYes.") == [("Hm", "done"), ("Yes.", None)]
    assert folded("<think>\n\n</think>\n\nYes.") == [("Yes.", None)]
    assert folded("<think>") == [("", None)]
    assert folded("Not <think> at the beginning") == [(f"Not {LESS_THAN}think> at the beginning", None)]


def test_an_answer_that_ended_by_length_has_its_figures_and_can_be_continued():
    (bubble,) = bubbles({"role": "assistant", "content": "Well", "figures": FIGURES}, "en")
    assert bubble["options"] == [{"value": "continue", "label": "Continue"}]
    assert bubble["content"].startswith(
        "Well\n\n<small>12 tokens · 50.0 tokens/s · first token after 0.10 s · 30 of 40 "
    )


def test_figures_of_another_time_may_lack_some():
    (bubble,) = bubbles({"role": "assistant", "content": "Well", "figures": {"completion_tokens": 5}}, "ja")
    assert "5 トークン" in bubble["content"] and "options" not in bubble


def test_what_is_clicked_is_the_message_that_it_belongs_to():
    turns = [
        {"role": "user", "content": "1"},
        {"role": "assistant", "content": "<think>a</think>b"},
        {"role": "user", "content": "2"},
    ]
    assert len(conversation(turns, "en")) == 4
    assert [message_index(turns, bubble) for bubble in range(4)] == [0, 1, 1, 2]


def test_the_header_shows_how_full_the_context_is():
    assert 'aria-valuenow="50"' in header("<m>", 50, 200, "en") and "width: 25.0%" in header("m", 50, 200, "en")
    assert "&lt;m&gt;" in header("<m>", 0, 200, "en")
    assert "meter" not in header("m", 0, None, "en")


def test_an_answer_in_progress_has_no_figures_below_it():
    message = answer_message(Answer("We", 40, 30, 0, 1))
    assert bubbles(message, "en") == [{"role": "assistant", "content": "We"}]


@pytest.mark.parametrize("reason", ["cancelled", "stopped"])
def test_an_answer_that_was_stopped_says_so_also_one_that_an_earlier_version_saved(reason: str):
    (bubble,) = bubbles({"role": "assistant", "content": "We", "figures": {**FIGURES, "finish_reason": reason}}, "en")
    assert bubble["content"].endswith(" · stopped</small>") and "options" not in bubble
