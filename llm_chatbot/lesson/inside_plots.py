"""Pictures of what is inside a model."""

from collections import defaultdict
from collections.abc import Callable, Sequence

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llm_chatbot.lesson.layers import Step
from llm_chatbot.lesson.pieces import VISIBLE
from llm_chatbot.lesson.plots import BLUE, GREY, ON_COLOR, ORANGE, label

SHOWN_LAYERS = 13  # more would be too small to read
SURE = 0.6  # from this probability on, the ground is too dark for ink
PLOT_COLORS = {"product": "#cfe3f7", "attention": "#fbe3bd", "cache": "#fbe3bd", "add": "#d9ecd3", "input": "#d9ecd3"}
# The words for what has no matrix.
NAMES = {
    "input": "the layer's input",
    "norm": "norm",
    "rotary": "rotary",
    "cache": "cache",
    "attention": "attention",
    "activation": "activation",
    "gate": "gate",
    "router": "router",
    "add": "add",
}
Spot = tuple[float, float]
SIDE = 1.72  # where arrows are that pass other rows by
BYTES = 4  # of a number between two operations: the graph computes in 32 bits


def plot_lens(words: Sequence[str], said: np.ndarray, decode: Callable[[list[int]], str]) -> Figure:
    """The likeliest next token of each layer after each token: the surer, the darker.

    Args:
        words: the texts of the tokens.
        said: the logarithms of the probabilities, float32 [layers + 1, tokens, vocabulary]; the first is the embedding.
        decode: gives the text of ids.
    """
    rows = np.unique(np.linspace(0, len(said) - 1, min(SHOWN_LAYERS, len(said))).round().astype(int))
    best = said[rows].argmax(-1)
    chances = np.exp(said[rows].max(-1))
    figure, axes = plt.subplots(figsize=(max(4, 0.85 * len(words)), 0.32 * len(rows) + 1), layout="constrained")
    axes.imshow(chances, cmap="Blues", vmin=0, vmax=1.2, aspect="auto", origin="lower")
    for y, x in np.ndindex(best.shape):
        ink = "white" if chances[y, x] > SURE else ON_COLOR
        word = shown_token(decode([int(best[y, x])]))
        axes.text(x, y, word, ha="center", va="center", fontsize=9, color=ink, parse_math=False)
    names = [label("embedding") if row == 0 else f"{label('layer')} {row}" for row in rows]
    axes.set_yticks(range(len(rows)), names, fontsize=8)
    axes.set_xticks(range(len(words)), [shown_token(word) for word in words], fontsize=9, parse_math=False)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    plt.close(figure)
    return figure


def plot_attention(attention: np.ndarray, words: Sequence[str]) -> Figure:
    """How much each token, a row, takes from each token before it, a column.

    Args:
        attention: of one head, float32 [tokens, tokens].
        words: the texts of the tokens.
    """
    size = 1.5 + 0.36 * len(words)
    figure, axes = plt.subplots(figsize=(size + 0.8, size), layout="constrained")
    image = axes.imshow(attention, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, shrink=0.7)
    names = [shown_token(word) for word in words]
    axes.set_xticks(range(len(words)), names, rotation=60, ha="right", fontsize=9, parse_math=False)
    axes.set_yticks(range(len(words)), names, fontsize=9, parse_math=False)
    axes.set(xlabel=label("looks at"))
    plt.close(figure)
    return figure


def plot_layer(steps: Sequence[Step]) -> Figure:
    """A layer from top to bottom: its operations with the weights that they read, and on the arrows what flows for one
    token."""
    places = _places(steps)
    depth = 1 - min(y for _, y in places)
    figure, axes = plt.subplots(figsize=(9, 0.8 * depth))
    for step, place in zip(steps, places, strict=True):
        for source in step.sources:
            _arrow(axes, places[source], place, _flow(steps[source]))
        axes.text(
            *place, _text(step), ha="center", va="center", fontsize=8.5, color=ON_COLOR, zorder=3,
            bbox={"boxstyle": "round,pad=0.4", "facecolor": PLOT_COLORS.get(step.kind, "white"), "edgecolor": GREY},
        )  # fmt: skip
    axes.set(xlim=(-1.8, 2.0), ylim=(0.6 - depth, 0.4))
    axes.axis("off")
    figure.subplots_adjust(0, 0, 1, 1)
    plt.close(figure)
    return figure


def shown_token(word: str) -> str:
    """A token as one can see it."""
    return repr(word.translate(VISIBLE))[1:-1]


def _places(steps: Sequence[Step]) -> list[Spot]:
    """Where each step is drawn: one row below the lowest that it reads, side by side with the others of its row."""
    depths: list[int] = []
    for step in steps:
        depths.append(1 + max((depths[source] for source in step.sources), default=-1))
    rows = defaultdict(list)
    for place, depth in enumerate(depths):
        rows[depth].append(place)
    wide = {place: 1.15 * (rank - (len(row) - 1) / 2) for row in rows.values() for rank, place in enumerate(row)}
    return [(wide[place], -float(depth)) for place, depth in enumerate(depths)]


def _arrow(axes: Axes, start: Spot, end: Spot, text: str) -> None:
    """An arrow with its words; one that passes other rows by keeps to the side."""
    (x, y), (to_x, to_y) = start, end
    passes_by = y - to_y > 1.5 and abs(x - to_x) < 0.1
    color = ORANGE if passes_by else BLUE
    arrow = {"arrowstyle": "-|>", "color": color, "linewidth": 1.2, "shrinkA": 9, "shrinkB": 9}
    if passes_by:
        axes.plot([x, SIDE, SIDE], [y, y, to_y], color=color, linewidth=1.2, zorder=1)
        start, middle = (SIDE, to_y), (SIDE, (y + to_y) / 2)
        arrow["shrinkA"] = 0
    else:
        middle = (x + to_x) / 2, (y + to_y) / 2
    axes.annotate("", end, start, arrowprops=arrow, zorder=1)
    ground = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "none"}  # the arrow goes through below it
    axes.text(*middle, text, ha="center", va="center", fontsize=7, color=ON_COLOR, zorder=2, bbox=ground)


def _flow(step: Step) -> str:
    """The shape of what a step gives for one token, and its bytes."""
    sizes = [size for size in step.shape if isinstance(size, int)]
    return f"{' × '.join(map(str, sizes))}, {_bytes(BYTES * int(np.prod(sizes)))}"


def _text(step: Step) -> str:
    if step.kind == "product":
        rows = " × ".join(map(str, step.weights))
        return f"{step.name}\n{rows}, {label('{bits} bits, {size}', bits=step.bits, size=_bytes(step.size))}"
    return label(NAMES[step.kind])


def _bytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 1e6 else f"{size / 1e3:.1f} kB"
