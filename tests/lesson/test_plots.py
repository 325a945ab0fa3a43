import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from llm_chatbot.evaluation.comparison import VariantFigures
from llm_chatbot.lesson.blocks import BlockUse
from llm_chatbot.lesson.plots import (
    BLUE,
    ORANGE,
    label,
    plot_blocks,
    plot_chances,
    plot_cost,
    plot_errors,
    plot_group,
    plot_temperatures,
    plot_token_seconds,
    text_fonts,
)
from llm_chatbot.lesson.timing import TokenSeconds


def test_two_bars_for_each_token():
    (axes,) = plot_chances([" a", "\n"], np.array([0.5, 0.1]), np.array([1.0, 0.0])).axes
    assert [bar.get_height() for bar in axes.patches] == [0.5, 0.1, 1.0, 0.0]


def test_every_token_can_be_read_below_its_bars():
    figure = plot_chances([" a", " ", "\n", "\r", "$$"], np.ones(5) / 5, np.zeros(5))
    figure.canvas.draw()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_xticklabels()] == ["·a", "·", "⏎", "\\r", "$$"]


def test_two_curves_in_milliseconds():
    (axes,) = plot_token_seconds([TokenSeconds(8, 0.01, 0.02), TokenSeconds(16, 0.01, 0.05)]).axes
    without, cached = axes.lines
    assert list(without.get_ydata()) == [20, 50] and list(cached.get_ydata()) == [10, 10]
    assert list(cached.get_xdata()) == [8, 16]


def test_a_block_is_as_blue_as_it_is_cached():
    rows = {"turn 1": [BlockUse(0, 0, 32)], "turn 2": [BlockUse(0, 32, 0), BlockUse(5, 4, 10)]}
    (axes,) = plot_blocks(rows, 32).axes
    widths = {
        color: [path.get_extents().width for bars in axes.collections for path in bars.get_paths()
                if tuple(bars.get_facecolor()[0][:3]) == to_rgb(color)]
        for color in (BLUE, ORANGE)
    }  # fmt: skip
    assert widths == {BLUE: [0, 32, 4], ORANGE: [32, 0, 10]}
    assert [text.get_text() for text in axes.texts] == ["0", "0", "5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["turn 1", "turn 2"]


def test_a_group_has_a_line_for_each_level():
    codes = np.array([0, 3, 1])
    (axes,) = plot_group(np.array([-0.9, 0.6, -0.4]), codes, 0.5 * (codes - 2)).axes
    *levels, original, rounded = axes.lines
    assert [line.get_ydata()[0] for line in levels] == pytest.approx([-1.0, -0.5, 0.0, 0.5])
    assert list(original.get_ydata()) == [-0.9, 0.6, -0.4] and list(rounded.get_ydata()) == [-1.0, 0.5, -0.5]
    plot_group(np.ones(2), np.array([7, 7]), np.ones(2))


def test_errors_are_on_one_scale():
    figure = plot_errors({"8 bits": np.array([0.0, 0.01]), "4 bits": np.array([-0.2, 0.1, 0.1])})
    assert [axes.get_title() for axes in figure.axes] == ["8 bits", "4 bits"]
    assert [sum(bar.get_height() for bar in axes.patches) for axes in figure.axes] == [2, 3]
    assert {axes.get_xlim() for axes in figure.axes} == {figure.axes[0].get_xlim()}
    assert figure.axes[0].patches[0].get_x() == pytest.approx(-0.2)
    plot_errors({"no error": np.zeros(3)})


def test_a_group_of_bars_for_each_temperature():
    (axes,) = plot_temperatures(pd.DataFrame({0.2: [0.9, 0.1], 1.0: [0.6, 0.4]}, index=["playing", "flying"])).axes
    assert [bar.get_height() for bar in axes.patches] == [0.9, 0.6, 0.1, 0.4]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["playing", "flying"]


@pytest.mark.parametrize(("fonts", "expected"), [(["Noto Sans CJK SC"], "误差"), ([], "error")])
def test_labels_are_translated_where_a_font_can_show_them(fonts: list[str], expected: str, monkeypatch):
    monkeypatch.setenv("LLM_CHATBOT_LANGUAGE", "zh")
    monkeypatch.setattr("llm_chatbot.lesson.plots.font_manager.get_font_names", lambda: ["DejaVu Sans", *fonts])
    assert label("error") == expected
    (axes,) = plot_errors({"8 bits": np.array([0.0, 0.01])}).axes
    assert axes.get_xlabel() == expected


def test_a_languages_own_font_comes_first(monkeypatch):
    present = ["Noto Sans CJK JP", "Noto Sans CJK SC", "DejaVu Sans"]
    monkeypatch.setattr("llm_chatbot.lesson.plots.font_manager.get_font_names", lambda: present)
    for language, first in {"en": "JP", "ja": "JP", "zh": "SC"}.items():
        monkeypatch.setenv("LLM_CHATBOT_LANGUAGE", language)
        assert text_fonts()[:2] == ["DejaVu Sans", f"Noto Sans CJK {first}"]


def test_the_plot_of_the_evaluation_is_translated_too(monkeypatch):
    monkeypatch.setenv("LLM_CHATBOT_LANGUAGE", "ja")
    monkeypatch.setattr("llm_chatbot.lesson.plots.text_fonts", lambda: ["DejaVu Sans", "Yu Gothic"])
    figures = VariantFigures("INT4", 100, 2, 5, 1, 0, 0, 2, 300, 400, 50, 20, 0.1, 1, 0.9, 9, 9, {})
    (axes,) = plot_cost([figures]).axes
    assert (axes.get_xlabel(), axes.texts[0].get_text()) == ("大きさ（MB）", "INT4\n50 トークン/秒")
