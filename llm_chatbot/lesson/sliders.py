"""A picture with controls below it that draw it again."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
from IPython.display import display

from llm_chatbot.lesson.blocks import OTHER, Frame
from llm_chatbot.lesson.inside_plots import plot_attention
from llm_chatbot.lesson.plots import plot_blocks
from llm_chatbot.lesson.words import say

# Of controls with long descriptions.
WIDE: dict[str, Any] = {"style": {"description_width": "190px"}, "layout": {"width": "520px"}}


def with_controls(draw: Callable[..., object], **controls: widgets.ValueWidget) -> widgets.VBox:
    """Shows the picture for the controls' values, and returns the controls, which replace it when they are moved.

    The picture is an output of its own, so that it is there too where nothing runs: on GitHub, in a printed page.

    Args:
        draw: makes a figure or HTML from one argument for each control.
        controls: by the names of these arguments.
    """

    def values() -> dict[str, Any]:
        return {name: control.value for name, control in controls.items()}

    shown = display(draw(**values()), display_id=True)
    for control in controls.values():
        control.observe(lambda change: shown.update(draw(**values())), names="value")
    return widgets.VBox(list(controls.values()))


def attention_sliders(attention: np.ndarray, words: Sequence[str], layer: int, head: int) -> widgets.VBox:
    """The attention of one head, with a slider for the layer and one for the head, which count from 1.

    Args:
        attention: float32 [layers, heads, tokens, tokens]; see `llm_chatbot.lesson.inside.Reading`.
        words: the texts of the tokens.
        layer, head: to begin with.
    """
    layers, heads, *_ = attention.shape
    return with_controls(
        lambda layer, head: plot_attention(attention[int(layer) - 1, int(head) - 1], words),
        layer=slider("layer", layer, 1, layers, 1),
        head=slider("head", head, 1, heads, 1),
    )


def blocks_slider(frames: Mapping[tuple[int, str], Frame], size: int) -> widgets.VBox:
    """The rows of blocks at a step, with a slider for the step and buttons that play all of them.

    Args:
        frames: see `llm_chatbot.lesson.blocks.block_frames`.
        size: tokens in a block.
    """
    shown, last = list(frames.values()), len(frames) - 1
    longest = max(len(row) for frame in shown for row in frame.values())
    options = [(_step_name(*step), place) for place, step in enumerate(frames)]
    step = widgets.SelectionSlider(options=options, value=last, description=say("step"), **WIDE)
    play = widgets.Play(value=last, max=last, interval=900, tooltip=say("play"))
    play.observe(lambda change: setattr(step, "value", change["new"]), names="value")
    box = with_controls(lambda step: plot_blocks(shown[step], size, longest, max(map(len, shown))), step=step)
    return widgets.VBox([box, play])


def _step_name(turn: int, step: str) -> str:
    name = say("somebody else") if turn == OTHER else say("turn {number}", number=turn)
    return f"{name}: {say(step)}"


def slider(description: str, value: float, low: float, high: float, step: float) -> widgets.FloatSlider:
    """A slider wide enough for its description, which is shown in the notebook's language."""
    return widgets.FloatSlider(
        value=value,
        min=low,
        max=high,
        step=step,
        readout_format=".0f" if step == 1 else ".2f",
        description=say(description),
        **WIDE,
    )
