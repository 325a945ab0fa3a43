from pathlib import Path

from matplotlib.colors import to_rgb

from llm_chatbot.engine.loading import open_model
from llm_chatbot.lesson import sliders
from llm_chatbot.lesson.conversations import (
    ANSWER_TOKENS,
    Timeline,
    measure_conversations,
    plot_conversations,
    timeline_slider,
    tokens_per_second,
)
from llm_chatbot.lesson.plots import BLUE, ORANGE
from tests.lesson.test_sliders import Shown

LINES = [Timeline(0.5, [1.0, 1.5]), Timeline(1.0, [1.5, 2.5])]


def test_each_conversation_reads_and_then_writes(embedded_folder: Path, tokenizer):
    ids = tokenizer("One two three four five six seven eight nine ten. " * 10)["input_ids"]
    measured = measure_conversations(open_model(embedded_folder), ids, (1, 3))
    assert {number: len(lines) for number, lines in measured.items()} == {1: 1, 3: 3}
    for line in measured[1] + measured[3]:
        assert 0 < line.prefill < line.tokens[0] and line.tokens == sorted(line.tokens)
        assert len(line.tokens) == ANSWER_TOKENS


def test_tokens_of_all_conversations_count_together():
    assert tokens_per_second(LINES) == 4 / 2.0


def test_a_bar_is_orange_while_it_reads_and_has_a_piece_for_each_token():
    (axes,) = plot_conversations(LINES, 4.0).axes
    pieces = [(tuple(bars.get_facecolor()[0][:3]), len(bars.get_paths())) for bars in axes.collections]
    assert pieces == [(to_rgb(ORANGE), 1), (to_rgb(BLUE), 2)] * 2
    assert axes.get_title() == "2 at a time: 2 tokens/s together, 1 for each"


def test_the_slider_chooses_a_number_that_was_measured(monkeypatch):
    monkeypatch.setattr(sliders, "display", shown := Shown())
    (number,) = timeline_slider({1: LINES[:1], 2: LINES}).children
    assert number.value == 2
    number.value = 1
    assert shown.figures[-1].axes[0].get_title().startswith("1 at a time")
    assert len({figure.axes[0].get_xlim() for figure in shown.figures}) == 1
