"""A figure with controls below it that draw it again."""

from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as widgets
import numpy as np
from IPython.display import display
from matplotlib.figure import Figure

from llm_chatbot.engine.decode.sampling import Sampling, candidates, log_softmax
from llm_chatbot.engine.session import Model
from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.lesson.inside_plots import plot_attention
from llm_chatbot.lesson.plots import plot_chances
from llm_chatbot.lesson.words import say

SHOWN_TOKENS = 12


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


def sampling_sliders(model: Model, tokenizer: ChatTokenizer, text: str) -> widgets.VBox:
    """The likeliest next tokens after a text, with a control for the text and one for each setting.

    Args:
        model: gives the logits.
        tokenizer: of this model.
        text: to begin with.
    """

    def draw(text: str, temperature: float, top_k: float, top_p: float, penalty: float) -> Figure:
        ids = tokenizer(text or " ", add_special_tokens=True)["input_ids"]
        logits = model.new_cache().feed(ids)
        sampling = Sampling(temperature=temperature, top_k=int(top_k), top_p=top_p, repetition_penalty=penalty)
        left, shares = candidates(logits, np.unique(ids), sampling)
        kept = np.zeros_like(logits)
        kept[left] = shares
        first = np.argsort(-logits)[:SHOWN_TOKENS]
        words = [tokenizer.decode([id]) for id in first]
        return plot_chances(words, np.exp(log_softmax(logits)[first]), kept[first])

    return with_controls(
        draw,
        text=widgets.Text(text, continuous_update=False),
        temperature=slider("temperature", 0.7, 0.1, 2, 0.1),
        top_k=slider("top-k (0: all)", 10, 0, 50, 1),
        top_p=slider("top-p", 0.9, 0.05, 1, 0.05),
        penalty=slider("repetition penalty", 1, 1, 2, 0.1),
    )


def attention_sliders(attention: np.ndarray, words: Sequence[str], layer: int, head: int) -> widgets.VBox:
    """What one head looks at, with a slider for the layer and one for the head, which count from 1.

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
