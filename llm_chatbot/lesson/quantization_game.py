"""A game: round parts of a model to fewer bits, see at once what that does, and beat NNCF at equal bytes."""

from dataclasses import dataclass
from html import escape
from pathlib import Path

import ipywidgets as widgets
import numpy as np
from IPython.display import display
from matplotlib.figure import Figure

from llm_chatbot.engine.decode.sampling import log_softmax
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.engine.text.tokenizer import FolderTokenizer
from llm_chatbot.evaluation.charts import mark_words
from llm_chatbot.evaluation.comparison import greedy_answer
from llm_chatbot.evaluation.metrics import score_tokens
from llm_chatbot.evaluation.texts import passages
from llm_chatbot.evaluation.weight_storage import weight_storage
from llm_chatbot.folder.manifest import MODEL_XML
from llm_chatbot.lesson.game_plots import Attempt, plot_game
from llm_chatbot.lesson.rounding import MODEL_PARTS, Matrix, RoundableModel, Rounding
from llm_chatbot.lesson.sliders import WIDE
from llm_chatbot.lesson.words import say

TEXT_TOKENS, ANSWER_TOKENS = 128, 24
BITS = tuple(range(2, 9))


@dataclass(frozen=True)
class Outcome:
    """A model after rounding.

    Attributes:
        size: bytes of its matrices, with all that belongs to them.
        kl: mean divergence from the 16-bit model, in nats.
        answer: to the game's question, as ids.
    """

    size: float
    kl: float
    answer: list[int]


class QuantizationGame:
    """Rounds a 16-bit model part by part, and compares the result with a compressed variant of it.

    Args:
        folder: the model in 16 bits.
        rival: the same model, as NNCF has compressed it.
        question: that each attempt answers.

    Attributes:
        plan: the matrices that are rounded, by name.
        rival: what the compressed variant is.
        attempts: in their order.
    """

    def __init__(self, folder: Path, rival: Path, question: str) -> None:
        self.model = RoundableModel(folder)
        self.plan: dict[str, Rounding] = {}
        self.attempts: list[Outcome] = []
        self._tokenizer, self._question = FolderTokenizer(folder), question
        self._ids = self._tokenizer(passages()["en"])["input_ids"][:TEXT_TOKENS]
        original = open_model(folder, ov_config=EXACT, paged=False)
        self._expected = self._predict(original)
        self.original = self._outcome(original, self.model.size({}))
        storage = weight_storage(rival / MODEL_XML)
        self.rival = self._outcome(
            open_model(rival, ov_config=EXACT, paged=False), storage.total * storage.bits_per_weight / 8
        )

    def round(self, bits: int, group: int, part: str | None = None, layers: tuple[int, int] | None = None) -> Outcome:
        """Rounds some of the original weights, leaves all others as they are now, and measures the model.

        Args:
            bits: of a code.
            group: weights that share a scale; 0: a whole row.
            part: "embedding", "attention" or "MLP"; None: all.
            layers: the first and the last, from 1 on; None: all, and with `part` None what belongs to no layer, too.
        """
        chosen = [each.name for each in self.model.matrices.values() if _is_chosen(each, part, layers)]
        self.plan |= dict.fromkeys(chosen, Rounding(bits, group))
        outcome = self._outcome(self.model.open(self.plan), self.model.size(self.plan))
        self.attempts.append(outcome)
        return outcome

    def start_over(self) -> None:
        """Gives all matrices their 16 bits back. The score stays."""
        self.plan.clear()

    @property
    def score(self) -> float:
        """How many times smaller the best attempt's divergence is than NNCF's, among those that are no larger; 0: none
        of them is small enough."""
        return max((self.rival.kl / each.kl for each in self.attempts if each.size <= self.rival.size), default=0.0)

    def marked(self, outcome: Outcome) -> str:
        """An answer as HTML, with the tokens marked that the 16-bit model's doesn't have there."""
        return mark_words(self.original.answer, outcome.answer, self._tokenizer.decode)[1]

    def _predict(self, model: ChatModel) -> np.ndarray:
        """The logarithms of the probabilities after each token of the text, float32 [tokens, vocabulary]."""
        return log_softmax(model.new_stateful_cache().feed_all(self._ids))

    def _outcome(self, model: ChatModel, size: float) -> Outcome:
        kl = score_tokens(self._expected, self._predict(model), self._ids).kl.mean()
        answer = greedy_answer(model, self._tokenizer, self._question, ANSWER_TOKENS)
        return Outcome(size, max(float(kl), 0.0), answer)


def _is_chosen(matrix: Matrix, part: str | None, layers: tuple[int, int] | None) -> bool:
    if part not in (None, matrix.part):
        return False
    if matrix.layer < 0:
        return part is not None or layers is None
    return layers is None or layers[0] <= matrix.layer + 1 <= layers[1]


def game_controls(game: QuantizationGame) -> widgets.VBox:
    """Shows the game: a picture of the plan, of the errors and of all attempts, the answers, and the controls below.

    A first move is made if there is none: so the picture is there too where nothing runs.
    """
    if not game.attempts:
        game.round(4, 64)
    shown = display(_picture(game), display_id=True)
    bits = widgets.SelectionSlider(options=BITS, value=4, description=say("bits"), **WIDE)
    groups = [(str(size) if size else say("a whole row"), size) for size in game.model.group_sizes]
    group = widgets.Dropdown(options=groups, value=groups[-1][1], description=say("weights in a group"), **WIDE)
    parts = [(say("everything"), None), *((say(part), part) for part in MODEL_PARTS)]
    part = widgets.Dropdown(options=parts, description=say("part"), **WIDE)
    last = game.model.num_layers
    layers = widgets.IntRangeSlider(value=(1, last), min=1, max=last, description=say("layers"), **WIDE)
    measure = widgets.Button(description=say("Round and measure"), button_style="primary", layout={"width": "auto"})
    again = widgets.Button(description=say("All 16 bits again"), layout={"width": "auto"})
    report = widgets.HTML(_report(game))

    def press(button: widgets.Button) -> None:
        report.value = f'<p role="status">{escape(say("Measuring …"))}</p>'
        measure.disabled = again.disabled = True
        try:
            if button is again:
                game.start_over()
            else:
                some = None if layers.value == (1, last) else layers.value
                game.round(bits.value, group.value, part.value, some)
            shown.update(_picture(game))
        finally:
            measure.disabled = again.disabled = False
            report.value = _report(game)

    measure.on_click(press)
    again.on_click(press)
    return widgets.VBox([report, bits, group, part, layers, widgets.HBox([measure, again])])


def _picture(game: QuantizationGame) -> Figure:
    bits = {matrix: game.plan[name].bits if name in game.plan else 16 for name, matrix in game.model.matrices.items()}
    attempts = [Attempt(each.size, each.kl) for each in game.attempts]
    return plot_game(bits, game.model.errors(game.plan), attempts, Attempt(game.rival.size, game.rival.kl))


def _report(game: QuantizationGame) -> str:
    """The answers, and what the latest attempt is beside NNCF's."""
    latest = game.attempts[-1]
    rows = {"16 bits": game.original, "NNCF": game.rival, "yours": latest}
    answers = "".join(
        f'<tr><th style="text-align: left">{escape(say(name))}</th>'
        f'<td style="text-align: right">{each.size / 1e6:.1f} MB</td>'
        f'<td style="text-align: right">KL {each.kl:.3f}</td>'
        f'<td style="text-align: left">{game.marked(each)}</td></tr>'
        for name, each in rows.items()
    )
    return f'<div role="status"><table>{answers}</table><p><b>{escape(_verdict(game))}</b></p></div>'


def _verdict(game: QuantizationGame) -> str:
    latest = game.attempts[-1]
    if not game.plan:
        return say("All weights have 16 bits. Choose what to round.")
    if latest.size > game.rival.size:
        over = f"{(latest.size - game.rival.size) / 1e6:.1f}"
        text = say("{size} MB more than NNCF's: too large to count.", size=over)
    elif latest.kl < game.rival.kl:
        text = say("NNCF is beaten.")
    else:
        text = say("Small enough, but further from 16 bits than NNCF's.")
    return f"{text} {say('Best score: {score}', score=f'{game.score:.2f}')}"
