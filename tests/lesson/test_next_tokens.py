from copy import deepcopy

import numpy as np
import pytest
from tokenizers.processors import TemplateProcessing

from llm_chatbot.engine.decode.sampling import Sampling
from llm_chatbot.lesson import next_tokens as module
from llm_chatbot.lesson.next_tokens import SHOWN_TOKENS, TokenByToken, next_tokens, plot_next, sampling_controls
from tests.lesson.test_sliders import Shown

LOGITS = np.log(np.array([0.1, 0.5, 0.15, 0.25], dtype=np.float32))
NOTHING = np.array([], dtype=int)


def test_the_tail_is_cut_and_what_is_left_adds_up_to_one():
    following = next_tokens(LOGITS, NOTHING, Sampling(temperature=1, top_k=2))
    assert following.ids.tolist() == [1, 3, 2, 0] and following.left.tolist() == [1, 3]
    np.testing.assert_allclose(following.chances, [0.5, 0.25, 0.15, 0.1], rtol=1e-5)
    np.testing.assert_allclose(following.kept, [2 / 3, 1 / 3, 0, 0], rtol=1e-5)
    assert following.left_out == pytest.approx(0.25)


def test_the_die_falls_on_a_token_as_often_as_it_is_likely():
    following = next_tokens(LOGITS, NOTHING, Sampling(temperature=1))
    dice = (np.arange(1000) + 0.5) / 1000
    found = np.bincount([following.left[following.place(die)] for die in dice])
    assert found.tolist() == [100, 500, 150, 250]
    assert following.place(1.0) == 3


def test_bars_and_line_show_what_is_cut_and_where_the_die_fell():
    following = next_tokens(LOGITS, NOTHING, Sampling(temperature=1, top_k=2))
    axes, line = plot_next(following, lambda ids: ["$$", " a", "\n", "\r"][ids[0]], die=0.9).axes
    axes.figure.canvas.draw()
    assert [text.get_text() for text in axes.get_xticklabels()] == ["·a", "\\r", "⏎", "$$"]
    assert [text.get_text() for text in axes.texts] == ["×", "×"]
    assert axes.get_title() == "cut off: 25% of the probability" and line.get_xlabel() == "the die: 0.900"
    colors = [bar.get_facecolor() for bar in axes.patches[4:]]
    assert colors[1] != colors[0] == colors[2]
    (mark,) = line.lines
    assert list(mark.get_xdata()) == [0.9]


def test_a_text_grows_by_a_token_with_each_throw(exact_model, tokenizer):
    texts = []
    for _ in range(2):
        state = TokenByToken(exact_model, tokenizer, "The capital of France is")
        following, die = state.throw(Sampling(temperature=1, top_k=1))
        assert tokenizer.decode(following.left) == " Paris" and 0 <= die < 1
        for _ in range(3):
            state.throw(Sampling(temperature=1.5, top_k=40))
        texts.append(state.texts)
    assert texts[0] == texts[1]  # the die is the same each time
    assert texts[0][0] == "The capital of France is" and texts[0][1].startswith(" Paris")
    assert len(state.ids) == state.begun + 4


def test_a_text_that_grows_has_no_end_token_behind_it(exact_model, tokenizer):
    own = deepcopy(tokenizer)
    processor = TemplateProcessing(single="$A <|im_end|>", special_tokens=[("<|im_end|>", own.eos_token_id)])
    own.backend_tokenizer.post_processor = processor
    state = TokenByToken(exact_model, own, "The capital of France is")
    assert state.texts == ("The capital of France is", "") and own.eos_token_id not in state.ids
    state.throw(Sampling(temperature=1, top_k=1))
    assert state.texts[1] == " Paris"


def test_each_press_is_a_token_and_each_control_draws(exact_model, tokenizer, monkeypatch):
    monkeypatch.setattr(module, "display", shown := Shown())
    so_far, buttons, text, _, top_k, top_p, _ = sampling_controls(
        exact_model, tokenizer, "The capital of France is"
    ).children
    draw, again = buttons.children
    assert "<mark></mark>" in so_far.value
    top_k.value, top_p.value = 1, 1.0
    heights = [bar.get_height() for bar in shown.figures[-1].axes[0].patches]
    given, left = heights[:SHOWN_TOKENS], heights[SHOWN_TOKENS:]
    assert left == [1] + [0] * (SHOWN_TOKENS - 1) and given == sorted(given, reverse=True)
    draw.click()
    assert "<mark> Paris</mark>" in so_far.value and "0." in shown.figures[-1].axes[1].get_xlabel()
    again.click()
    assert "<mark></mark>" in so_far.value
    text.value = "The capital of Italy is"
    assert shown.figures[-1].axes[0].get_xticklabels()[0].get_text() == "·Rome"
