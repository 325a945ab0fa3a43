"""The lesson's picture: what its patches are, and what the model reads in place of tokens."""

import numpy as np
import pytest

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.engine.gguf_file import GGUFFile
from llm_chatbot.lesson.inside import OpenedGraph
from llm_chatbot.lesson.patches import NAMED_COLORS, PictureGraph, color_shares, plot_patches
from llm_chatbot.sources.gguf_files import gguf_path

CLOSE = 1e-3  # of logits up to 40
TEXT = "The sky is blue and the grass is"


@pytest.fixture(scope="module")
def file() -> GGUFFile:
    return GGUFFile(gguf_path(get_model_config(DEFAULT_MODEL)))


@pytest.fixture(scope="module")
def graph(file: GGUFFile) -> PictureGraph:
    return PictureGraph(file.path)


def test_a_patch_is_the_color_that_it_has():
    patches = np.array([[color] * 4 for color in NAMED_COLORS.values()], dtype=float)
    assert np.allclose(color_shares(patches), np.eye(len(NAMED_COLORS)), atol=0.05)
    between = color_shares(np.array([[NAMED_COLORS["red"], NAMED_COLORS["orange"]]], dtype=float))[0]
    named = dict(zip(NAMED_COLORS, between, strict=True))
    assert named["red"] == pytest.approx(named["orange"]) and sum(between) == pytest.approx(1)


def test_vectors_of_tokens_are_read_as_the_tokens_themselves(file: GGUFFile, graph: PictureGraph):
    ids = file.tokenizer(TEXT)["input_ids"]
    expected = OpenedGraph(file.read_graph()).read(ids).logits
    rows = graph.vectors_of(ids[2:4])
    for given, vectors in (
        (ids, rows),
        ([*ids[:2], -1, -2, *ids[4:]], rows),
        ([*ids[:2], -2, -1, *ids[4:]], rows[::-1]),
    ):
        assert np.abs(graph.logits(given, vectors) - expected).max() < CLOSE
    assert np.abs(graph.logits([*ids[:2], -2, -1, *ids[4:]], rows)[-1] - expected[-1]).max() > 100 * CLOSE


def test_what_goes_on_is_the_likeliest(file: GGUFFile, graph: PictureGraph):
    ids = file.tokenizer(TEXT)["input_ids"]
    none = np.zeros((1, 576))
    first, second = graph.go_on(ids, none, 2)
    assert first == graph.logits(ids, none)[-1].argmax()
    assert second == graph.logits([*ids, first], none)[-1].argmax()


def test_the_plot_shows_each_patch_with_its_colors():
    patches = np.zeros((3, 4, 4, 3))
    figure = plot_patches(patches, color_shares(patches.reshape(3, 16, 3)))
    assert len(figure.axes) == 6
    assert [bar.get_width() for bar in figure.axes[3].patches][4] > 0.9
    assert [name.get_text() for name in figure.axes[3].get_yticklabels()] == list(NAMED_COLORS)
