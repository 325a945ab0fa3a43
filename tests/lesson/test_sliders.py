from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt

from llm_chatbot.lesson import sliders
from llm_chatbot.lesson.blocks import block_frames
from llm_chatbot.lesson.sliders import blocks_slider, slider, with_controls


class Shown:
    """Stands for the place of an output in a front end."""

    def __init__(self) -> None:
        self.figures: list[Any] = []

    def __call__(self, figure: object, display_id: bool) -> "Shown":
        assert display_id
        self.figures.append(figure)
        return self

    def update(self, figure: object) -> None:
        self.figures.append(figure)


def test_a_figure_is_there_before_anything_moves_and_is_replaced_then(monkeypatch):
    drawn = []

    def draw(text: str, temperature: float):
        drawn.append((text, temperature))
        return plt.Figure()

    monkeypatch.setattr(sliders, "display", shown := Shown())
    controls = {"text": widgets.Text("a"), "temperature": slider("temperature", 1.0, 0.1, 2.0, 0.1)}
    box = with_controls(draw, **controls)
    assert drawn == [("a", 1.0)] and len(shown.figures) == 1
    controls["temperature"].value = 0.5
    controls["text"].value = "b"
    assert drawn[1:] == [("a", 0.5), ("b", 0.5)] and len(shown.figures) == 3
    assert list(box.children) == list(controls.values())


def test_the_steps_of_a_block_table_are_drawn_and_played(monkeypatch):
    monkeypatch.setattr(sliders, "display", shown := Shown())
    box, play = blocks_slider(block_frames([([1, 2, 3], [4]), ([1, 2, 3, 4, 5], [6])], [1, 2], 4), 4).children
    (step,) = box.children
    assert [name for name, _ in step.options] == [
        *(f"turn {turn}: {name}" for turn in (1, 2) for name in ("found", "read", "written")), "somebody else: read"
    ]  # fmt: skip
    assert step.value == play.value == 6

    def rows() -> list[str]:
        return [name.get_text() for name in shown.figures[-1].axes[0].get_yticklabels()]

    assert rows() == ["turn 1", "turn 2", "somebody else"]
    play.value = 1
    assert step.value == 1 and rows() == ["turn 1"]
