"""The comparison as a plot, and the differences between two answers as HTML."""

from collections.abc import Callable, Sequence
from html import escape

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from llm_chatbot.evaluation.comparison import VariantFigures
from llm_chatbot.evaluation.differences import aligned


def in_english(text: str, **values: str) -> str:
    return text.format(**values)


def plot_quality(variants: Sequence[VariantFigures], say: Callable[..., str] = in_english) -> Figure:
    """KL divergence against size, with tokens/s as the size of the point: best are large points at the lower left.

    Args:
        variants: what was measured.
        say: translates the words of the plot; see `llm_chatbot.lesson.words`.
    """
    figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
    fastest = max(variant.decode_tps for variant in variants)
    areas = [500 * variant.decode_tps / fastest for variant in variants]
    sizes, divergences = [variant.size_mb for variant in variants], [variant.kl for variant in variants]
    axes.scatter(sizes, divergences, s=areas, color="#3b6ea5", alpha=0.6)
    for variant in variants:
        label = f"{variant.variant}\n{say('{speed} tokens/s', speed=f'{variant.decode_tps:.0f}')}"
        place = (variant.size_mb, variant.kl)
        axes.annotate(label, place, xytext=(0, 14), textcoords="offset points", ha="center", fontsize=9)
    axes.margins(0.2, 0.35)
    axes.set(xlabel=say("size, MB"), ylabel=say("KL divergence from 16 bits, nats"))
    plt.close(figure)  # a notebook shows what a cell returns, and would show an open figure once more
    return figure


def mark_words(left: Sequence[int], right: Sequence[int], decode: Callable[[Sequence[int]], str]) -> tuple[str, str]:
    """Two answers as HTML, with the tokens marked that the other one does not have there: bold, too, where a viewer
    leaves no colours.

    Args:
        left, right: ids.
        decode: gives the text of ids.
    """
    columns: tuple[list[str], list[str]] = ([], [])
    for left_ids, right_ids, same in aligned(left, right):
        for column, ids in zip(columns, (left_ids, right_ids), strict=True):
            text = escape(decode(ids)) if ids else ""
            column.append(text if same or not text else f"<mark><b>{text}</b></mark>")
    return "".join(columns[0]), "".join(columns[1])
