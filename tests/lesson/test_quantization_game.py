from pathlib import Path

import pytest

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.lesson import quantization_game
from llm_chatbot.lesson.quantization_game import Outcome, QuantizationGame, game_controls
from llm_chatbot.lesson.rounding import Rounding
from tests.lesson.test_sliders import Shown

LAYERS = 30


@pytest.fixture(scope="module")
def game(models_root: Path) -> QuantizationGame:
    folder, rival = (convert_model(DEFAULT_MODEL, precision, models_root) for precision in ("FP16", "INT4"))
    return QuantizationGame(folder, rival, "Name the capital of France.")


@pytest.fixture(autouse=True)
def new_game(game: QuantizationGame):
    game.start_over()
    game.attempts.clear()


def test_the_original_and_nncfs_variant_are_measured(game: QuantizationGame):
    assert game.original.kl == 0 and 0.01 < game.rival.kl < 1
    assert game.rival.size == pytest.approx(103.7e6, rel=0.01) and game.original.size == pytest.approx(269e6, rel=0.01)
    assert "<mark>" not in game.marked(game.original) and "Paris" in game.marked(game.original)


def test_parts_are_rounded_one_after_another(game: QuantizationGame, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(game.model, "open", lambda plan: None)
    monkeypatch.setattr(game, "_outcome", lambda model, size: Outcome(size, 1.0, []))
    game.round(4, 64, "MLP", (2, 3))
    assert list(game.plan.values()) == [Rounding(4, 64)] * 2 * 3
    game.round(6, 192, "attention")
    assert len(game.plan) == 2 * 3 + LAYERS * 4
    game.round(8, 0, "embedding", (2, 3))
    assert Rounding(8, 0) in game.plan.values()
    game.round(5, 32, layers=(1, 2))  # not what belongs to no layer
    assert sum(each == Rounding(5, 32) for each in game.plan.values()) == 2 * 7
    game.round(3, 16)
    assert set(game.plan.values()) == {Rounding(3, 16)} and len(game.plan) == 1 + LAYERS * 7
    sizes = [each.size for each in game.attempts]
    assert sizes[:3] == sorted(sizes[:3], reverse=True) and sizes[-1] == min(sizes)


def test_only_attempts_that_are_small_enough_count(game: QuantizationGame):
    size, kl = game.rival.size, game.rival.kl
    assert game.score == 0
    game.attempts += [Outcome(size + 1, kl / 10, []), Outcome(size, kl / 2, []), Outcome(size - 1, kl, [])]
    assert game.score == 2


def test_a_press_rounds_measures_and_draws(game: QuantizationGame, monkeypatch: pytest.MonkeyPatch):
    """The setting that the lesson's solution names, which beats NNCF."""
    game.attempts.append(game.original)  # spares the first move
    monkeypatch.setattr(quantization_game, "display", shown := Shown())
    report, bits, group, part, layers, buttons = game_controls(game).children
    measure, again = buttons.children
    assert "All weights have 16 bits" in report.value and len(shown.figures) == 1
    bits.value, group.value = 6, 192
    measure.click()
    assert "NNCF is beaten." in report.value and "Paris" in report.value and game.score > 1
    numbers = {text.get_text() for text in shown.figures[-1].axes[0].texts}
    assert numbers == {"6"} and not measure.disabled
    layers.value, part.value, bits.value = (1, 29), "MLP", 2
    measure.click()
    assert "further from 16 bits" in report.value and "<mark>" in report.value
    again.click()
    assert not game.plan and "All weights have 16 bits" in report.value and game.score > 1
