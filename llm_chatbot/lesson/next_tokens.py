"""One token at a time: what may follow a text, what the settings leave of it, and the die that chooses."""

from collections.abc import Callable
from dataclasses import dataclass
from html import escape
from typing import Any

import ipywidgets as widgets
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from llm_chatbot.engine.decode.sampling import Sampling, candidates, log_softmax
from llm_chatbot.engine.session import Model
from llm_chatbot.engine.text.prompt import completion_ids
from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.lesson.inside_plots import shown_token
from llm_chatbot.lesson.plots import BLUE, GREY, INK, ORANGE, label
from llm_chatbot.lesson.sliders import slider
from llm_chatbot.lesson.words import say

SHOWN_TOKENS = 12
SHOWN_PIECES = 60  # of the line on which the die falls; the rest are one piece


@dataclass(frozen=True)
class NextTokens:
    """The tokens that may follow a text.

    Attributes:
        ids: the likeliest tokens [n].
        chances: their probabilities, as the model gives them [n].
        left: the tokens that the settings leave, the likeliest first [m].
        shares: the probabilities of these, which add up to 1 [m].
        left_out: the probability that the model gives to all others.
    """

    ids: np.ndarray
    chances: np.ndarray
    left: np.ndarray
    shares: np.ndarray
    left_out: float

    @property
    def kept(self) -> np.ndarray:
        """The shares of `ids`; 0 for one that is left out."""
        shares = dict(zip(self.left.tolist(), self.shares.tolist(), strict=True))
        return np.array([shares.get(id, 0.0) for id in self.ids.tolist()])

    def place(self, die: float) -> int:
        """The place in `left` of the token that a number from 0 to 1 chooses."""
        return min(int(np.searchsorted(np.cumsum(self.shares), die, side="right")), len(self.left) - 1)


def next_tokens(logits: np.ndarray, seen: np.ndarray, sampling: Sampling) -> NextTokens:
    """
    Args:
        logits: float32 [vocabulary].
        seen: ids of the tokens to penalise.
        sampling: with a temperature above 0.
    """
    ids = np.argsort(-logits)[:SHOWN_TOKENS]
    chances = np.exp(log_softmax(logits))
    left, shares = candidates(logits, seen, sampling)
    order = np.argsort(-shares, kind="stable")
    left_out = max(0.0, 1 - float(chances[left].sum()))
    return NextTokens(ids, chances[ids], left[order], shares[order], left_out)


def plot_next(following: NextTokens, decode: Callable[[list[int]], str], die: float | None = None) -> Figure:
    """The likeliest tokens as bars, × below those that are cut; and the line from 0 to 1 on which the die falls."""
    figure, (axes, line) = plt.subplots(2, figsize=(7.5, 4), height_ratios=(6, 1), layout="constrained")
    chosen = None if die is None else int(following.left[following.place(die)])
    _draw_bars(axes, following, chosen)
    words = [shown_token(decode([id])) for id in following.ids.tolist()]
    axes.set_xticks(range(len(words)), words, rotation=35, ha="right", parse_math=False)  # a token may be "$$"
    _draw_line(line, following.shares, None if die is None else following.place(die))
    if die is not None:
        line.plot([die], [1.3], "v", color=INK, markersize=9, clip_on=False)
    line.set_xlabel(label("the die: {value}", value="–" if die is None else f"{die:.3f}"))
    plt.close(figure)
    return figure


def _draw_bars(axes: Axes, following: NextTokens, chosen: int | None) -> None:
    places, kept = np.arange(len(following.ids)), following.kept
    colors = [ORANGE if id == chosen else BLUE for id in following.ids.tolist()]
    axes.bar(places - 0.2, following.chances, 0.4, color=GREY, label=label("the model's"))
    axes.bar(places + 0.2, kept, 0.4, color=colors, label=label("after the settings"))
    for place in places[kept == 0]:
        axes.annotate("×", (place + 0.2, 0), ha="center", va="bottom", color=INK)
    highest = float(max(following.chances.max(), kept.max()))
    axes.set(ylabel=label("probability"), ylim=(0, max(1e-3, 1.1 * highest)))
    axes.set_title(label("cut off: {share} of the probability", share=f"{following.left_out:.0%}"), fontsize=9)
    axes.legend()


def _draw_line(axes: Axes, shares: np.ndarray, place: int | None) -> None:
    """Each token that is left as a piece of a line, as long as it is likely; the one at `place` stands out."""
    ends = np.cumsum(shares)
    pieces = list(zip(ends - shares, shares, strict=True))
    shorter = [*pieces[:SHOWN_PIECES], (float(ends[SHOWN_PIECES - 1]), 1.0)] if len(pieces) > SHOWN_PIECES else pieces
    axes.broken_barh(shorter, (0, 1), facecolor=BLUE, edgecolor="white")
    if place is not None:
        axes.broken_barh([pieces[place]], (0, 1), facecolor=ORANGE, edgecolor="white")
    axes.set(xlim=(0, 1), ylim=(0, 1.6), yticks=[])
    axes.spines[["top", "right", "left"]].set_visible(False)


class TokenByToken:
    """A text that grows by one drawn token at a time.

    Args:
        model: gives the logits.
        tokenizer: of this model.
        text: to begin with.
        seed: of the die.
    """

    def __init__(self, model: Model, tokenizer: ChatTokenizer, text: str, seed: int = 0) -> None:
        self._cache, self._tokenizer = model.new_cache(), tokenizer
        self._random = np.random.default_rng(seed)
        self.begin(text)

    def begin(self, text: str) -> None:
        """Takes another text, or the same from its beginning."""
        self.ids = completion_ids(self._tokenizer, text or " ")
        self.begun = len(self.ids)
        self._cache.reset()
        self._logits = self._cache.feed(self.ids).copy()

    def following(self, sampling: Sampling) -> NextTokens:
        return next_tokens(self._logits, np.unique(self.ids), sampling)

    def throw(self, sampling: Sampling) -> tuple[NextTokens, float]:
        """Draws a token and appends it; returns what it was drawn from, and the die, from 0 to 1."""
        following, die = self.following(sampling), float(self._random.random())
        token = int(following.left[following.place(die)])
        self.ids.append(token)
        self._logits = self._cache.feed([token]).copy()
        return following, die

    @property
    def texts(self) -> tuple[str, str]:
        """The text to begin with, and what was drawn."""
        begun = self._tokenizer.decode(self.ids[: self.begun])
        return begun, self._tokenizer.decode(self.ids)[len(begun) :]


def sampling_controls(model: Model, tokenizer: ChatTokenizer, text: str) -> widgets.VBox:
    """The likeliest next tokens after a text, a control for the text and for each setting, and a button that draws one.

    Args:
        model: gives the logits.
        tokenizer: of this model.
        text: to begin with.
    """
    state = TokenByToken(model, tokenizer, text)
    settings = {
        "temperature": slider("temperature", 0.7, 0.1, 2, 0.1),
        "top_k": slider("top-k (0: all)", 10, 0, 50, 1),
        "top_p": slider("top-p", 0.9, 0.05, 1, 0.05),
        "repetition_penalty": slider("repetition penalty", 1, 1, 2, 0.1),
    }
    box = widgets.Text(text, description=say("text"), continuous_update=False, layout={"width": "520px"})
    draw = widgets.Button(description=say("Draw a token"), button_style="primary", layout={"width": "auto"})
    again = widgets.Button(description=say("From the beginning"), layout={"width": "auto"})
    so_far = widgets.HTML()

    def sampling() -> Sampling:
        values: dict[str, Any] = {name: control.value for name, control in settings.items()}
        return Sampling(**values | {"top_k": int(values["top_k"])})

    def show(following: NextTokens, die: float | None = None) -> None:
        picture.update(plot_next(following, tokenizer.decode, die))
        so_far.value = _grown(*state.texts)

    def begin(change: object) -> None:
        state.begin(box.value)
        show(state.following(sampling()))

    picture = display(plot_next(state.following(sampling()), tokenizer.decode), display_id=True)
    so_far.value = _grown(*state.texts)
    for control in settings.values():
        control.observe(lambda change: show(state.following(sampling())), names="value")
    box.observe(begin, names="value")
    again.on_click(begin)
    draw.on_click(lambda button: show(*state.throw(sampling())))
    return widgets.VBox([so_far, widgets.HBox([draw, again]), box, *settings.values()])


def _grown(begun: str, drawn: str) -> str:
    return f'<p role="status">{escape(begun)}<mark>{escape(drawn)}</mark></p>'
