"""The tower of Pixtral (Agrawal et al. 2024, arXiv:2410.07073) and Mistral 3: pictures keep their shape.

The graphs have the inputs of Optimum Intel's, and one more: `rotary_pos_emb`, see
`llm_chatbot.engine.vision.own_shape`.
"""

import openvino as ov
from openvino import opset13 as ops

from llm_chatbot.decoder.blocks import linear, norm
from llm_chatbot.decoder.constants import constant
from llm_chatbot.folder.manifest import PROJECTOR_XML, VISION_XML
from llm_chatbot.tower.layers import Tower, parameter


def encoded_patches(tower: Tower) -> ov.Model:
    """`pixel_values`, float32 [1, 3, height, width], and `rotary_pos_emb` [patches, half of a head] → the vectors of
    patches, [1, patches, hidden size]."""
    pixels, angles = parameter("pixel_values", [1, 3, -1, -1]), parameter("rotary_pos_emb", [-1, tower.head_size // 2])
    weights = constant(tower.outer.vector("v.patch_embd.weight"))
    x = ops.convolution(pixels, weights, [tower.patch] * 2, [0, 0], [0, 0], [1, 1])
    x = ops.transpose(ops.reshape(x, constant([1, tower.hidden, -1]), False), constant([0, 2, 1]))
    if "v.patch_embd.bias" in tower.outer:
        x = ops.add(x, constant(tower.outer.vector("v.patch_embd.bias")))
    turned = ops.reshape(ops.concat([angles, angles], -1), constant([1, 1, -1, tower.head_size]), False)
    rotation = ops.cos(turned), ops.sin(turned)
    x = norm(x, tower.outer, "v.pre_ln")
    for index in range(tower.layers):
        x = tower.run(index, x, rotation=rotation)
    if "mm.input_norm.weight" in tower.outer:
        x = norm(x, tower.outer, "mm.input_norm")
    if "v.token_embd.img_break" in tower.outer:
        tower.outer.vector("v.token_embd.img_break")  # also a token of the language model, which is read there
    return ov.Model([ops.result(x)], [pixels, angles], "vision tower")


def projected_squares(tower: Tower) -> ov.Model:
    """`image_features`, the vectors of the patches of squares → vectors, [squares, hidden size of the language
    model]."""
    edge = tower.keys.size("vision.spatial_merge_size", 1)
    features = parameter("image_features", [-1, tower.hidden * edge**2])
    x = linear(features, tower.outer, "mm.patch_merger") if "mm.patch_merger.weight" in tower.outer else features
    x = linear(ops.gelu(linear(x, tower.outer, "mm.1"), "erf"), tower.outer, "mm.2")
    return ov.Model([ops.result(x)], [features], "projector")


GRAPHS = {VISION_XML: encoded_patches, PROJECTOR_XML: projected_squares}
