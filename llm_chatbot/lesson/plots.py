"""The lesson's plots. Each is closed, because a notebook shows what a cell returns, and an open figure once more."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from llm_chatbot.evaluation.charts import plot_quality
from llm_chatbot.evaluation.comparison import VariantFigures
from llm_chatbot.lesson.blocks import OTHER, BlockUse
from llm_chatbot.lesson.front_end import notebook_language
from llm_chatbot.lesson.timing import TokenSeconds
from llm_chatbot.lesson.words import say

BLUE, ORANGE, GREEN, GREY = "#4a80ba", "#d9822b", "#5b9a4c", "#9aa1aa"

# A picture has no ground of its own, so that it has the front end's, light or dark. This grey has the same contrast on
# both: 4.3 : 1 on white, and on the #111111 of JupyterLab's dark theme.
INK = "#797979"
ON_COLOR = "#222222"  # of words that stand on a colour
INKED = "text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"
GROUNDS = "figure.facecolor", "axes.facecolor", "savefig.facecolor", "legend.facecolor", "legend.edgecolor"
ON_ANY_GROUND: dict[Any, Any] = {**dict.fromkeys(INKED, INK), **dict.fromkeys(GROUNDS, "none")}

# Fonts with Chinese and Japanese characters, of Windows, macOS and Linux: each language's own shapes first.
FONTS = {
    "ja": ("Yu Gothic", "Meiryo", "Hiragino Sans", "Noto Sans CJK JP", "Noto Sans JP", "IPAexGothic"),
    "zh": (
        "Microsoft YaHei",
        "PingFang SC",
        "Hiragino Sans GB",
        "Noto Sans CJK SC",
        "Noto Sans SC",
        "WenQuanYi Zen Hei",
    ),
}


def text_fonts() -> list[str]:
    """Matplotlib's own font, then one of this machine for each language that it lacks the characters of."""
    present = font_manager.get_font_names()
    languages = sorted(FONTS, key=lambda language: language != notebook_language())
    found = (next((name for name in FONTS[language] if name in present), None) for language in languages)
    return ["DejaVu Sans", *filter(None, found)]


def label(text: str, **values: Any) -> str:
    """A text in the notebook's language; in English where no font of this machine has that language's characters."""
    return say(text, **values) if len(text_fonts()) > 1 else text.format(**values)


# A font that has another weight only is used all the same, without a line about it in each reader's notebook.
logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
# For the notebook's own plots too.
plt.rcParams.update({"font.family": text_fonts(), **ON_ANY_GROUND})


def plot_temperatures(chances: pd.DataFrame) -> Figure:
    """The probabilities of some words [words, temperatures] as a group of bars for each temperature."""
    axes = chances.T.plot.bar(figsize=(7, 2.8), rot=0, width=0.8)
    axes.set(xlabel=label("temperature"), ylabel=label("probability"), ylim=(0, 1))
    axes.legend(ncols=len(chances), fontsize=8, loc="upper right")
    axes.figure.set_layout_engine("constrained")
    plt.close(axes.figure)
    return axes.figure


def plot_cost(variants: Sequence[VariantFigures]) -> Figure:
    """`plot_quality` with its words in the notebook's language."""
    return plot_quality(variants, label)


def plot_token_seconds(measured: Sequence[TokenSeconds]) -> Figure:
    """The time of one more token against the length of the text before it, with and without the cache."""
    figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
    lengths = [each.length for each in measured]
    axes.plot(lengths, [1000 * each.without for each in measured], "o-", color=ORANGE, label=label("without the cache"))
    axes.plot(lengths, [1000 * each.cached for each in measured], "o-", color=BLUE, label=label("with the cache"))
    axes.set(xlabel=label("tokens so far"), ylabel=label("ms for the next token"), ylim=(0, None))
    axes.legend()
    plt.close(figure)
    return figure


def plot_blocks(rows: Mapping[int, Sequence[BlockUse]], size: int, longest: int, most: int) -> Figure:
    """Block tables, one a row: each block with its place in the pool, and what of it was cached, read and written.

    Args:
        rows: the blocks by the number of the turn; `OTHER` for somebody else's.
        size: tokens in a block.
        longest: blocks that a row has room for.
        most: rows that there is room for.
    """
    figure, axes = plt.subplots(figsize=(min(2.5 + 1.1 * longest, 9), 0.5 + 0.65 * most), layout="constrained")
    for y, row in enumerate(rows.values()):
        for x, block in enumerate(row):
            left = x * (size + 4)
            axes.broken_barh([(left, size)], (y - 0.3, 0.6), facecolor=(0, 0, 0, 0), edgecolor=INK)
            for color, width in ((BLUE, block.cached), (ORANGE, block.read), (GREEN, block.written)):
                axes.broken_barh([(left, width)], (y - 0.3, 0.6), facecolor=color)
                left += width
            axes.annotate(str(block.index), (x * (size + 4) + size / 2, y), ha="center", va="center", fontsize=9,
                          color=ON_COLOR,
                          bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none"})  # fmt: skip
    names = [label("somebody else") if turn == OTHER else label("turn {number}", number=turn) for turn in rows]
    axes.set(yticks=range(len(rows)), yticklabels=names, xticks=[], ylim=(most - 0.5, -0.5))
    axes.set_xlim(-2, longest * (size + 4))
    axes.spines[:].set_visible(False)
    axes.tick_params(left=False)
    colors = {"from the cache": BLUE, "read anew": ORANGE, "written": GREEN}
    handles = [Patch(color=color, label=label(name)) for name, color in colors.items()]
    figure.legend(handles=handles, ncols=3, loc="outside lower center", fontsize=8, frameon=False)
    plt.close(figure)
    return figure


def plot_group(original: np.ndarray, codes: np.ndarray, rounded: np.ndarray) -> Figure:
    """A group of weights: its levels as lines, and each weight in 16 bits beside the level that its code stands for.

    Args:
        original: the 16-bit weights [n].
        codes: integers [n], which share a scale and a zero point.
        rounded: the weights that the codes stand for [n].
    """
    figure, axes = plt.subplots(figsize=(9, 3.2), layout="constrained")
    scale, start = np.polyfit(codes, rounded, 1) if len(set(codes.tolist())) > 1 else (0.0, rounded[0])
    for code in range(codes.min(), codes.max() + 1):
        axes.axhline(start + scale * code, color=GREY, linewidth=0.7, zorder=0)
    axes.plot(original, "o", color=ORANGE, markersize=7, label=label("in 16 bits"))
    axes.plot(rounded, "D", color=BLUE, markersize=4, label=label("in 4 bits"))
    axes.set_xticks(range(len(codes)), [str(code) for code in codes], fontsize=8)
    axes.set(xlabel=label("code"), ylabel=label("weight"))
    axes.legend(ncols=2, loc="upper right", bbox_to_anchor=(1, 1.15), frameon=False)
    plt.close(figure)
    return figure
