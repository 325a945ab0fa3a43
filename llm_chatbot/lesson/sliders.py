"""A figure with controls below it that draw it again."""

from collections.abc import Callable
from typing import Any

import ipywidgets as widgets
from IPython.display import display
from matplotlib.figure import Figure

from llm_chatbot.lesson.words import say


def with_controls(draw: Callable[..., Figure], **controls: widgets.ValueWidget) -> widgets.VBox:
    """Shows the figure for the controls' values, and returns the controls, which replace it when they are moved.

    The figure is an output of its own, so that it is there too where nothing runs: on GitHub, in a printed page.

    Args:
        draw: makes the figure from one argument for each control.
        controls: by the names of these arguments.
    """

    def values() -> dict[str, Any]:
        return {name: control.value for name, control in controls.items()}

    shown = display(draw(**values()), display_id=True)
    for control in controls.values():
        control.observe(lambda change: shown.update(draw(**values())), names="value")
    return widgets.VBox(list(controls.values()))


def slider(description: str, value: float, low: float, high: float, step: float) -> widgets.FloatSlider:
    """A slider wide enough for its description, which is shown in the notebook's language."""
    return widgets.FloatSlider(
        value=value,
        min=low,
        max=high,
        step=step,
        readout_format=".0f" if step == 1 else ".2f",
        description=say(description),
        style={"description_width": "190px"},
        layout=widgets.Layout(width="520px"),
    )
