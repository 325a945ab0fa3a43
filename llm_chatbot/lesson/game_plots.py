"""The picture of the quantization game."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llm_chatbot.lesson.plots import BLUE, GREY, ON_COLOR, ORANGE, label
from llm_chatbot.lesson.rounding import MODEL_PARTS, Matrix

LOWEST_KL = 1e-4  # what is drawn of a smaller one


@dataclass(frozen=True)
class Attempt:
    """A point: bytes of all matrices, and the divergence in nats."""

    size: float
    kl: float


def plot_game(bits: Mapping[Matrix, int], errors: np.ndarray, attempts: Sequence[Attempt], rival: Attempt) -> Figure:
    """The bits of each part in each layer, a histogram of the errors, and the attempts beside NNCF's.

    Args:
        bits: of each matrix.
        errors: of weights, in shares of their matrix's mean weight.
        attempts: the latest last.
        rival: NNCF's.
    """
    figure = plt.figure(figsize=(9, 5), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(1, 2))
    _draw_bits(figure.add_subplot(grid[0, :]), bits)
    _draw_errors(figure.add_subplot(grid[1, 0]), errors)
    _draw_attempts(figure.add_subplot(grid[1, 1]), attempts, rival)
    plt.close(figure)
    return figure


def _draw_bits(axes: Axes, bits: Mapping[Matrix, int]) -> None:
    last = max(matrix.layer for matrix in bits)
    table = np.full((len(MODEL_PARTS), last + 1), np.nan)
    for matrix, count in bits.items():
        row = MODEL_PARTS.index(matrix.part)
        places = slice(None) if matrix.layer < 0 else matrix.layer
        table[row, places] = count
    axes.imshow(table, cmap="YlGnBu", vmin=0, vmax=18, aspect="auto")
    for (row, place), count in np.ndenumerate(table):
        if not np.isnan(count) and (row or not place):  # the embedding is one for all
            axes.text(place, row, f"{count:.0f}", ha="center", va="center", fontsize=8,
                      color="white" if count > 8 else ON_COLOR)  # fmt: skip
    axes.set_yticks(range(len(MODEL_PARTS)), [label(part) for part in MODEL_PARTS])
    axes.set_xticks(range(0, last + 1, 5), [str(layer + 1) for layer in range(0, last + 1, 5)])
    axes.set(xlabel=label("layer"), title=label("bits"))
    axes.tick_params(length=0)


def _draw_errors(axes: Axes, errors: np.ndarray) -> None:
    axes.hist(errors, bins=np.linspace(-1, 1, 102).tolist(), color=BLUE)
    axes.set(xlabel=label("error, in mean weights"), yticks=[], xlim=(-1, 1), xticks=(-1, -0.5, 0, 0.5, 1))


def _draw_attempts(axes: Axes, attempts: Sequence[Attempt], rival: Attempt) -> None:
    """Up to NNCF's bytes and below its divergence is where to be."""
    points = [(each.size / 1e6, max(each.kl, LOWEST_KL)) for each in attempts]
    axes.scatter([size for size, _ in points[:-1]], [kl for _, kl in points[:-1]], color=GREY, label=label("before"))
    size, kl = points[-1]
    axes.scatter([size], [kl], color=BLUE, s=70, label=label("yours"), zorder=3)
    axes.scatter([rival.size / 1e6], [rival.kl], color=ORANGE, marker="D", s=60, label="NNCF", zorder=3)
    axes.axvline(rival.size / 1e6, color=ORANGE, linewidth=0.8)
    axes.axhline(rival.kl, color=ORANGE, linewidth=0.8)
    axes.set(xlabel=label("size, MB"), ylabel=label("KL divergence"), yscale="log")
    axes.margins(0.15)
    axes.legend(fontsize=8, frameon=False)
