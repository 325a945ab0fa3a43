import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from llm_chatbot.evaluation.comparison import VariantFigures
from llm_chatbot.lesson.blocks import OTHER, BlockUse
from llm_chatbot.lesson.plots import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    label,
    plot_blocks,
    plot_cost,
    plot_group,
    plot_temperatures,
    plot_token_seconds,
    text_fonts,
)
from llm_chatbot.lesson.timing import TokenSeconds


def test_two_curves_in_milliseconds():
    (axes,) = plot_token_seconds([TokenSeconds(8, 0.01, 0.02), TokenSeconds(16, 0.01, 0.05)]).axes
    without, cached = axes.lines
    assert list(without.get_ydata()) == [20, 50] and list(cached.get_ydata()) == [10, 10]
    assert list(cached.get_xdata()) == [8, 16]


def luminance(color: str) -> float:
    channels = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(color)]
    return float(np.dot((0.2126, 0.7152, 0.0722), channels))


@pytest.mark.parametrize("ground", ["#ffffff", "#111111"])
def test_words_and_colours_are_seen_on_a_light_and_on_a_dark_ground(ground: str):
    def contrast(color: str) -> float:
        darker, lighter = sorted((luminance(color), luminance(ground)))
        return (lighter + 0.05) / (darker + 0.05)

    assert contrast(INK) > 4.2
    assert min(map(contrast, (BLUE, ORANGE, GREEN))) > 2.8
    (axes,) = plot_token_seconds([TokenSeconds(8, 0.01, 0.02)]).axes
    legend = axes.get_legend()
    assert legend
    words = [axes.xaxis.label, *axes.get_xticklabels(), *legend.get_texts()]
    assert {word.get_color() for word in words} == {INK}


def test_a_block_is_as_blue_as_it_is_cached():
    rows = {1: [BlockUse(0, 0, 32)], 2: [BlockUse(0, 32, 0), BlockUse(5, 4, 10, 3)], OTHER: []}
    (axes,) = plot_blocks(rows, 32, longest=4, most=3).axes
    widths = {
        color: [path.get_extents().width for bars in axes.collections for path in bars.get_paths()
                if tuple(bars.get_facecolor()[0][:3]) == to_rgb(color)]
        for color in (BLUE, ORANGE, GREEN)
    }  # fmt: skip
    assert widths == {BLUE: [0, 32, 4], ORANGE: [32, 0, 10], GREEN: [0, 0, 3]}
    assert [text.get_text() for text in axes.texts] == ["0", "0", "5"]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["turn 1", "turn 2", "somebody else"]


def test_a_group_has_a_line_for_each_level():
    codes = np.array([0, 3, 1])
    (axes,) = plot_group(np.array([-0.9, 0.6, -0.4]), codes, 0.5 * (codes - 2)).axes
    *levels, original, rounded = axes.lines
    assert [line.get_ydata()[0] for line in levels] == pytest.approx([-1.0, -0.5, 0.0, 0.5])
    assert list(original.get_ydata()) == [-0.9, 0.6, -0.4] and list(rounded.get_ydata()) == [-1.0, 0.5, -0.5]
    plot_group(np.ones(2), np.array([7, 7]), np.ones(2))


def test_a_group_of_bars_for_each_temperature():
    (axes,) = plot_temperatures(pd.DataFrame({0.2: [0.9, 0.1], 1.0: [0.6, 0.4]}, index=["playing", "flying"])).axes
    assert [bar.get_height() for bar in axes.patches] == [0.9, 0.6, 0.1, 0.4]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["playing", "flying"]


@pytest.mark.parametrize(("fonts", "expected"), [(["Noto Sans CJK SC"], "权重"), ([], "weight")])
def test_labels_are_translated_where_a_font_can_show_them(fonts: list[str], expected: str, monkeypatch):
    monkeypatch.setenv("LLM_CHATBOT_LANGUAGE", "zh")
    monkeypatch.setattr("llm_chatbot.lesson.plots.font_manager.get_font_names", lambda: ["DejaVu Sans", *fonts])
    assert label("weight") == expected
    (axes,) = plot_group(np.ones(2), np.array([7, 7]), np.ones(2)).axes
    assert axes.get_ylabel() == expected


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
