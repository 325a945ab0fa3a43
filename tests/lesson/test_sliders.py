import ipywidgets as widgets
import matplotlib.pyplot as plt

from llm_chatbot.lesson import sliders
from llm_chatbot.lesson.sliders import SHOWN_TOKENS, sampling_sliders, slider, with_controls


class Shown:
    """Stands for the place of an output in a front end."""

    def __init__(self) -> None:
        self.figures: list[object] = []

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


def test_sliders_show_what_is_left_to_draw_from(exact_model, tokenizer, monkeypatch):
    monkeypatch.setattr(sliders, "display", shown := Shown())
    box = sampling_sliders(exact_model, tokenizer, "The capital of France is")
    text, _, top_k, top_p, _ = box.children
    top_k.value, top_p.value = 1, 1.0
    heights = [bar.get_height() for bar in shown.figures[-1].axes[0].patches]
    given, left = heights[:SHOWN_TOKENS], heights[SHOWN_TOKENS:]
    assert left == [1] + [0] * (SHOWN_TOKENS - 1)
    assert 0 < sum(given) <= 1 and given == sorted(given, reverse=True)
    words = [label.get_text() for label in shown.figures[-1].axes[0].get_xticklabels()]
    assert words[0] == "·Paris"
    text.value = "The capital of Italy is"
    assert shown.figures[-1].axes[0].get_xticklabels()[0].get_text() == "·Rome"
