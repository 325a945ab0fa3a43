import numpy as np
from matplotlib.colors import to_rgba

from llm_chatbot.lesson import sliders
from llm_chatbot.lesson.inside_plots import SHOWN_LAYERS, plot_attention, plot_layer, plot_lens
from llm_chatbot.lesson.layers import Step
from llm_chatbot.lesson.sliders import attention_sliders
from tests.lesson.test_sliders import Shown


def test_a_lens_says_the_likeliest_token_of_each_layer():
    said = np.log(np.full((31, 2, 3), 0.2))
    said[:, 0, 1] = said[-1, 1, 2] = np.log(0.6)
    figure = plot_lens([" a", "\n"], said, lambda ids: "xyz"[ids[0]])
    (axes,) = figure.axes
    texts = [text.get_text() for text in axes.texts]
    assert len(texts) == 2 * SHOWN_LAYERS and texts[:2] == ["y", "x"] and texts[-2:] == ["y", "z"]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert (names[0], names[-1]) == ("embedding", "layer 30")
    assert [label.get_text() for label in axes.get_xticklabels()] == ["·a", "⏎"]
    np.testing.assert_allclose(axes.images[0].get_array()[:, 0], 0.6, rtol=1e-6)


def test_sliders_choose_the_layer_and_the_head(monkeypatch):
    monkeypatch.setattr(sliders, "display", shown := Shown())
    attention = np.arange(2 * 3 * 4, dtype=float).reshape(2, 3, 2, 2) / 24
    layer, head = attention_sliders(attention, ["a", "b"], layer=1, head=2).children
    layer.value, head.value = 2, 3
    images = [figure.axes[0].images[0].get_array() for figure in shown.figures]
    np.testing.assert_array_equal(images, [attention[0, 1], attention[1, 1], attention[1, 2]])
    assert (layer.max, head.max) == (2, 3)


def test_arrows_say_what_flows_for_one_token():
    steps = [
        Step("input", "input", ("?", "?", 576), (), 0, 0, ()),
        Step("attn_q", "product", ("?", "?", 64), (64, 576), 4, 23040, (0,)),
        Step("add", "add", ("?", "?", 576), (), 0, 0, (0, 1)),
    ]
    texts = [text.get_text() for text in plot_layer(steps).axes[0].texts if text.get_text()]
    assert texts == ["the layer's input", "576, 2.3 kB", "attn_q\n64 × 576, 4 bits, 23.0 kB",
                     "576, 2.3 kB", "64, 0.3 kB", "add"]  # fmt: skip


def test_pictures_have_the_ground_of_the_front_end():
    step = Step("input", "input", ("?", "?", 576), (), 0, 0, ())
    for figure in (plot_lens(["a"], np.zeros((2, 1, 3)), lambda ids: ""), plot_attention(np.eye(2), ["a", "b"]),
                   plot_layer([step])):  # fmt: skip
        grounds = figure.get_facecolor(), figure.axes[0].get_facecolor()
        assert [to_rgba(ground)[3] for ground in grounds] == [0, 0]
