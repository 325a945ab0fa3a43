from ov_llm_model import Answer
from page.texts import LANGUAGES, TEXTS, say
from page.view import LESS_THAN, bubbles, closed, conversation, header, message_index, message_of, plain, shown

import pytest

FIGURES = message_of(Answer("", 40, 30, 0, 12, 0.1, 50.0, "length"))["figures"]


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
    assert "<b>" not in shown(text) and "<script>" not in shown(text) and "a < b" not in shown(text)
    assert shown(text).count("<i>") == text.count("<i>")
    assert plain(shown(text)) == text


def test_a_code_block_that_is_not_closed_yet_stays_code():
    assert shown("```html\n<i>\n<b") == "```html\n<i>\n<b"


def test_an_open_code_block_is_closed_before_more_text_follows():
    assert closed("```py\nx") == "```py\nx\n```"
    assert closed("~~~~\n```\nx") == "~~~~\n```\nx\n~~~~"
    assert closed("```py\nx\n```\n") == "```py\nx\n```\n"


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
    assert bubble["content"].startswith("Well\n\n<small>12 tokens · 50.0 tokens/s · first after 0.10 s · 30 of 40 ")


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


def test_every_language_says_everything():
    values = dict.fromkeys(
        ("used", "length", "turns", "reason", "title", "count", "completion_tokens", "cached_tokens", "prompt_tokens"),
        1,
    )
    values |= {"tokens_per_second": 1.0, "time_to_first_token": 1.0}
    for language in LANGUAGES:
        assert TEXTS[language].keys() == TEXTS["en"].keys()
        for text, english in TEXTS["en"].items():
            assert say(language, text, **values)
            assert sorted(part.split("}")[0] for part in TEXTS[language][text].split("{")[1:]) == sorted(
                part.split("}")[0] for part in english.split("{")[1:]
            )
    assert say("fr", "send") == "Send"
