"""The towers of Qwen2-VL (Wang et al. 2024, arXiv:2409.12191) and 2.5-VL (Bai et al. 2025, arXiv:2502.13923).

Pictures keep their shape: patches lie in squares, each of which becomes one vector.

The graphs have the inputs of Optimum Intel's, see `llm_chatbot.engine.vision.qwen_tower`.
"""

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from llm_chatbot.decoder.blocks import Layer, linear, norm
from llm_chatbot.decoder.constants import constant
from llm_chatbot.tower.layers import Tower, parameter

MERGED = "vision.spatial_merge_size"  # patches on an edge of a square
FULL = "vision.n_wa_pattern"  # each so many-th layer sees the whole picture, the others a window


def embedded_patches(tower: Tower) -> ov.Model:
    """The first graph: `hidden_states`, the values of patches → their vectors, [patches, hidden size]."""
    frames = [tower.outer.vector(f"v.patch_embd.weight{frame}") for frame in ("", ".1")]
    matrix = np.stack(frames, axis=2).reshape(tower.hidden, -1)  # of colours, frames, rows and columns
    patches = parameter("hidden_states", [-1, matrix.shape[1]])
    x = ops.matmul(patches, constant(matrix), False, True)
    if "v.patch_embd.bias" in tower.outer:
        x = ops.add(x, constant(tower.outer.vector("v.patch_embd.bias")))
    return ov.Model([ops.result(x)], [patches], "patches")


def merged_squares(tower: Tower) -> ov.Model:
    """The second graph: the vectors of patches → those of squares, [squares, hidden size of the language model].

    Where some layers have a projector of their own (Qwen3-VL), what it makes follows in each vector.

    Inputs: `hidden_states` [patches, hidden size], `rotary_pos_emb` [patches, half of a head], `attention_mask` [1,
    patches, patches]; where there are windows, `window_attention_mask` of the same shape, and `window_index`, int64
    [squares], the order in which the patches of a window follow each other; where positions are learned,
    `position_places`, int64 [corners, patches], and `position_weights`, with which each patch's are mixed.
    """
    square = tower.keys.size(MERGED, 2) ** 2
    pattern = int(tower.keys.number(FULL, 0))
    states = parameter("hidden_states", [-1, tower.hidden])
    angles = parameter("rotary_pos_emb", [-1, tower.head_size // 2])
    mask = parameter("attention_mask", [1, -1, -1])
    inputs = [states, mask, angles]
    x, turned, window_mask, order = states, angles, mask, None
    if pattern:
        window_mask, order = (
            parameter("window_attention_mask", [1, -1, -1]),
            parameter("window_index", [-1], np.int64),
        )
        inputs += [window_mask, order]
        x, turned = (_ordered(each, order, square) for each in (states, angles))
    if "v.position_embd.weight" in tower.outer:
        places, weights = parameter("position_places", [4, -1], np.int64), parameter("position_weights", [4, -1])
        inputs += [places, weights]
        corners = ops.gather(constant(tower.outer.vector("v.position_embd.weight")), places, constant(0))
        x = ops.add(x, ops.reduce_sum(ops.multiply(corners, ops.unsqueeze(weights, constant(2))), constant([0])))
    x = ops.unsqueeze(x, constant(0))
    turned = ops.reshape(ops.concat([turned, turned], -1), constant([1, 1, -1, tower.head_size]), False)
    rotation = ops.cos(turned), ops.sin(turned)
    joined, deep = constant([-1, square * tower.hidden]), []
    for index in range(tower.layers):
        sees_all = not pattern or (index + 1) % pattern == 0
        x = tower.run(index, x, mask if sees_all else window_mask, rotation)
        if f"v.deepstack.{index}.fc1.weight" in tower.outer:
            own = tower.layer(f"v.deepstack.{index}.")
            deep.append(_projected(norm(ops.reshape(x, joined, False), own, "norm"), own, "fc1", "fc2"))
    x = ops.reshape(norm(x, tower.outer, "v.post_ln"), joined, False)
    x = _projected(x, tower.outer, "mm.0", "mm.2")
    if deep:
        x = ops.concat([x, *deep], -1)
    if order is not None:
        x = ops.scatter_update(x, order, x, constant(0))
    return ov.Model([ops.result(x)], inputs, "vision tower")


def _projected(x: ov.Node, layer: Layer, first: str, last: str) -> ov.Node:
    return linear(ops.gelu(linear(x, layer, first), "erf"), layer, last)


def _ordered(x: ov.Node, order: ov.Node, square: int) -> ov.Node:
    """[patches, size] with its squares in another order."""
    size = x.get_output_partial_shape(0)[1].get_length()
    squares = ops.gather(ops.reshape(x, constant([-1, square * size]), False), order, constant(0))
    return ops.reshape(squares, constant([-1, size]), False)
