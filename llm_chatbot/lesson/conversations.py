"""Several conversations at a time: when each reads its prompt, and when each of its tokens comes."""

import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import ipywidgets as widgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from llm_chatbot.engine.model import ChatModel
from llm_chatbot.lesson.plots import BLUE, ORANGE, label
from llm_chatbot.lesson.sliders import WIDE, with_controls
from llm_chatbot.lesson.words import say

PROMPT_TOKENS, ANSWER_TOKENS = 64, 16
NUMBERS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class Timeline:
    """When a conversation's tokens came, in seconds since all of them began.

    Attributes:
        prefill: until the prompt was read, and the first token of the answer with it.
        tokens: when each further token came.
    """

    prefill: float
    tokens: list[float]


def measure_conversations(
    model: ChatModel, ids: Sequence[int], numbers: Sequence[int] = NUMBERS
) -> dict[int, list[Timeline]]:
    """Has conversations answer at the same time, each with a prompt of its own; by their number, one `Timeline` each.

    Args:
        model: batches conversations if it has a paged cache; otherwise they wait for each other.
        ids: a text of which prompts are cut, at least `PROMPT_TOKENS` + the largest number.
        numbers: of conversations.
    """
    return {number: list(_measured(model, ids, number)) for number in numbers}


def _measured(model: ChatModel, ids: Sequence[int], number: int) -> Iterator[Timeline]:
    together = threading.Barrier(number)

    def answer(place: int) -> Timeline:
        cache = model.new_stateful_cache() if model.paged is None else model.paged.new_cache()  # without drafts
        together.wait()
        began = time.perf_counter()
        token = int(cache.feed(ids[place : place + PROMPT_TOKENS]).argmax())
        prefill = time.perf_counter() - began
        tokens = []
        for _ in range(ANSWER_TOKENS):
            token = int(cache.feed([token]).argmax())
            tokens.append(time.perf_counter() - began)
        cache.release()
        return Timeline(prefill, tokens)

    with ThreadPoolExecutor(number) as pool:
        yield from pool.map(answer, range(number))


def timeline_slider(measured: Mapping[int, Sequence[Timeline]]) -> widgets.VBox:
    """The time line of so many conversations, with a slider for their number."""
    last = max(line.tokens[-1] for lines in measured.values() for line in lines)
    number = widgets.SelectionSlider(
        options=list(measured), value=max(measured), description=say("conversations"), **WIDE
    )
    return with_controls(lambda number: plot_conversations(measured[number], last), number=number)


def plot_conversations(lines: Sequence[Timeline], last: float) -> Figure:
    """A bar for each conversation: reading, then a piece for each token.

    Args:
        lines: of conversations that began together.
        last: the end of the axis, in seconds.
    """
    figure, axes = plt.subplots(figsize=(9, 1.4 + 0.22 * len(lines)), layout="constrained")
    for place, line in enumerate(lines, 1):
        axes.broken_barh([(0, line.prefill)], (place - 0.4, 0.8), facecolor=ORANGE)
        starts = [line.prefill, *line.tokens]
        pieces = [(start, end - start) for start, end in zip(starts, line.tokens, strict=False)]
        axes.broken_barh(pieces, (place - 0.4, 0.8), facecolor=BLUE, edgecolor="white", linewidth=0.5)
    axes.set(xlim=(0, 1.02 * last), ylim=(len(lines) + 0.6, 0.4), xlabel=label("seconds"))
    axes.set_yticks(range(1, len(lines) + 1))
    axes.set_title(
        label(
            "{number} at a time: {together} tokens/s together, {each} for each",
            number=len(lines), together=f"{tokens_per_second(lines):.0f}",
            each=f"{tokens_per_second(lines) / len(lines):.0f}",
        ), fontsize=10,
    )  # fmt: skip
    handles = [Patch(color=ORANGE, label=label("reading")), Patch(color=BLUE, label=label("writing"))]
    figure.legend(handles=handles, ncols=2, loc="outside lower center", fontsize=8, frameon=False)
    plt.close(figure)
    return figure


def tokens_per_second(lines: Sequence[Timeline]) -> float:
    """Of all conversations together, while they write."""
    begin, end = min(line.prefill for line in lines), max(line.tokens[-1] for line in lines)
    return sum(len(line.tokens) for line in lines) / (end - begin)
