"""Towers whose pictures have one size: CLIP (Radford et al. 2021, arXiv:2103.00020) and SigLIP (Zhai et al. 2023,
arXiv:2303.15343), each with a projector behind it.

Their graphs: `pixel_values`, float32 [1, 3, size, size] → vectors, [1, vectors, hidden size of the language model].
"""

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from llm_chatbot.decoder.blocks import linear, norm, rms_norm
from llm_chatbot.decoder.constants import constant
from llm_chatbot.tower.layers import Tower, parameter

SELECTED = "vision.feature_layer"  # the layers whose outputs count


def gemma3_tower(tower: Tower) -> ov.Model:
    """The means of squares of patches, normalised and projected."""
    pixels, x = _embedded(tower)
    x = _transformed(tower, ops.add(x, _positions(tower)))
    means = ops.reshape(
        ops.reduce_mean(_squares(tower, x, 4), constant([2, 4])), constant([1, -1, tower.hidden]), False
    )
    normed = ops.multiply(rms_norm(means, tower.outer.epsilon), constant(tower.outer.vector("mm.soft_emb_norm.weight")))
    vectors = ops.matmul(normed, tower.outer.matrix("mm.input_projection.weight"), False, False)
    return ov.Model([ops.result(vectors)], [pixels], "vision tower")


def llava_tower(tower: Tower) -> ov.Model:
    """Two matrices with GELU between, of the patches alone."""
    pixels, x = _embedded(tower)
    x = _transformed(tower, ops.add(x, _positions(tower)))
    if "v.class_embd" in tower.outer:
        x = ops.slice(x, *(constant([value]) for value in (1, np.iinfo(np.int64).max, 1, 1)))
    vectors = linear(ops.gelu(linear(x, tower.outer, "mm.0"), "erf"), tower.outer, "mm.2")
    return ov.Model([ops.result(vectors)], [pixels], "vision tower")


def idefics3_tower(tower: Tower) -> ov.Model:
    """The patches of a square are one vector, which is projected.

    There is a second input, `patch_position_ids`, int64 [1, patches].
    """
    pixels, x = _embedded(tower)
    places = parameter("patch_position_ids", [1, x.get_output_shape(0)[1]], np.int64)
    x = _transformed(tower, ops.add(x, ops.gather(_positions(tower), places, constant(0))))
    squares = _squares(tower, x)
    rows, edge = squares.get_output_shape(0)[1:3]
    joined = ops.transpose(squares, constant([0, 1, 3, 2, 4, 5]))
    joined = ops.reshape(joined, constant([1, rows**2, edge**2 * tower.hidden]), False)
    return ov.Model([ops.result(linear(joined, tower.outer, "mm.model.fc"))], [pixels, places], "vision tower")


def _embedded(tower: Tower) -> tuple[ov.op.Parameter, ov.Node]:
    """The input, and the vectors of its patches, [1, patches, hidden size], after that of the whole picture, if any."""
    pixels = parameter("pixel_values", [1, 3, tower.image, tower.image])
    weights, steps = constant(tower.outer.vector("v.patch_embd.weight")), [tower.patch] * 2
    x = ops.convolution(pixels, weights, steps, [0, 0], [0, 0], [1, 1])
    x = ops.transpose(ops.reshape(x, constant([1, tower.hidden, -1]), False), constant([0, 2, 1]))
    if "v.patch_embd.bias" in tower.outer:
        x = ops.add(x, constant(tower.outer.vector("v.patch_embd.bias")))
    if "v.class_embd" in tower.outer:
        x = ops.concat([constant(tower.outer.vector("v.class_embd").reshape(1, 1, -1)), x], 1)
    return pixels, x


def _positions(tower: Tower) -> ov.Node:
    """The vectors that are added at each position, [positions, hidden size]."""
    return constant(tower.outer.vector("v.position_embd.weight"))


def _transformed(tower: Tower, x: ov.Node) -> ov.Node:
    """All layers, with the norms before and after them that there are.

    A file of LLaVA has no more layers than those up to the one that is selected.

    Raises:
        UserError: the outputs of several layers are selected.
    """
    selected = tower.keys.get(SELECTED, [tower.layers])
    if len(selected) != 1 or not 0 < selected[0] <= tower.layers:
        raise tower.keys.refusal("gguf.no_size", key=f"clip.{SELECTED}")
    if "v.pre_ln.weight" in tower.outer:
        x = norm(x, tower.outer, "v.pre_ln")
    for index in range(selected[0]):
        x = tower.run(index, x)
    return norm(x, tower.outer, "v.post_ln") if "v.post_ln.weight" in tower.outer else x


def _squares(tower: Tower, x: ov.Node, default: int | None = None) -> ov.Node:
    """Patches in squares, [1, rows, patches down, columns, patches across, hidden size].

    Args:
        default: the patches on an edge of a square, where the file does not say.
    """
    side, edge = tower.image // tower.patch, tower.keys.size("vision.projector.scale_factor", default)
    return ops.reshape(x, constant([1, side // edge, edge, side // edge, edge, tower.hidden]), False)
