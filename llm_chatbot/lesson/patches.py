"""A picture read in place of tokens: its patches, and a model's graph that takes vectors for them."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import openvino as ov
from matplotlib.figure import Figure
from openvino import opset13 as ops

from llm_chatbot.decoder.build import build_decoder
from llm_chatbot.engine.graph.paged_graph import INPUT_IDS, PICTURE_ROWS
from llm_chatbot.engine.graph.picture_rows import INPUTS_EMBEDS, add_picture_rows
from llm_chatbot.evaluation.comparison import EXACT
from llm_chatbot.gguf.header import read_gguf_header
from llm_chatbot.lesson.inside import stateful_inputs
from llm_chatbot.lesson.plots import ON_COLOR

# Words that are one token each in most vocabularies, and what they look like.
NAMED_COLORS = {
    "red": (220, 30, 30),
    "green": (30, 160, 60),
    "blue": (30, 60, 220),
    "yellow": (240, 220, 40),
    "black": (10, 10, 10),
    "white": (250, 250, 250),
    "orange": (250, 140, 20),
    "purple": (130, 30, 160),
    "gray": (128, 128, 128),
    "pink": (250, 170, 190),
}


def color_shares(patches: np.ndarray, softness: float = 1500.0) -> np.ndarray:
    """How much of each of `NAMED_COLORS` there is in a patch: the nearer its mean color, the more.

    Args:
        patches: [patches, pixels, 3], from 0 to 255.
        softness: squared distance of colors at which a share falls to 1/e.

    Returns:
        [patches, colors]; rows sum to 1.
    """
    colors = np.array(list(NAMED_COLORS.values()), dtype=float)
    distances = ((patches.mean(axis=1)[:, None] - colors) ** 2).sum(axis=-1)
    nearness = np.exp((distances.min(axis=-1, keepdims=True) - distances) / softness)
    return nearness / nearness.sum(axis=-1, keepdims=True)


def plot_patches(patches: np.ndarray, shares: np.ndarray) -> Figure:
    """The patches of a picture, [patches, height, width, 3], above their `color_shares`."""
    figure, axes = plt.subplots(
        2, len(patches), figsize=(1.1 * len(patches), 3.4), layout="constrained", sharey="row", height_ratios=(1, 2)
    )
    for patch, share, (above, below) in zip(patches, shares, axes.T, strict=True):
        above.imshow(patch.astype(np.uint8))
        below.barh(list(NAMED_COLORS), share, color=np.array(list(NAMED_COLORS.values())) / 255, edgecolor=ON_COLOR)
        below.set_xlim(0, 1)
        below.tick_params(length=0, labelsize=8)
        below.set_xticks([])
        above.set_axis_off()
    axes[1][0].invert_yaxis()
    plt.close(figure)
    return figure


class PictureGraph:
    """A decoder's graph that reads vectors in place of tokens: an id -1 - r is read as row r of them.

    Args:
        path: of a GGUF file.
    """

    def __init__(self, path: Path) -> None:
        self._graph = build_decoder(read_gguf_header(path), pictures=True)

    def vectors_of(self, ids: Sequence[int]) -> np.ndarray:
        """The vectors with which the model reads tokens, float32 [tokens, hidden size]."""
        return self._embedding(np.array([ids], dtype=np.int64))[0][0]

    def logits(self, ids: Sequence[int], rows: np.ndarray) -> np.ndarray:
        """The logits of what follows each id, float32 [len(ids), vocabulary].

        Args:
            ids: of tokens; negative ones stand for `rows`, float32 [rows, hidden size].
        """
        inputs = {**stateful_inputs(self._compiled, ids), PICTURE_ROWS: rows.astype(np.float32)}
        return self._compiled.create_infer_request().infer(inputs)["logits"][0]

    def go_on(self, ids: Sequence[int], rows: np.ndarray, count: int) -> list[int]:
        """The likeliest tokens after `ids`, so many."""
        written = list(ids)
        for _ in range(count):
            written.append(int(self.logits(written, rows)[-1].argmax()))
        return written[len(ids) :]

    @cached_property
    def _embedding(self) -> ov.CompiledModel:
        graph = self._graph.clone()
        vectors = next(
            output for node in graph.get_ops() for output in node.outputs() if INPUTS_EMBEDS in output.get_names()
        )
        part = ov.Model([ops.result(vectors)], [graph.input(INPUT_IDS).node])
        return ov.Core().compile_model(part, "CPU", EXACT)

    @cached_property
    def _compiled(self) -> ov.CompiledModel:
        graph = self._graph.clone()
        add_picture_rows(graph)
        return ov.Core().compile_model(graph, "CPU", EXACT)
