"""A short convolution in place of attention, with its state, in the form that OpenVINO's paged form recognises (LFM2).

https://github.com/ggml-org/llama.cpp/blob/master/src/models/lfm2.cpp
"""

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from llm_chatbot.decoder.attention import Inputs, LayerCache
from llm_chatbot.decoder.blocks import Layer, linear
from llm_chatbot.decoder.constants import constant

TO_THE_END = np.iinfo(np.int64).max


def short_convolution(x: ov.Node, index: int, layer: Layer, inputs: Inputs, cache: LayerCache) -> ov.Node:
    """out(c * convolution(b * x)), where b, c and x are the thirds of in(x): float32 [batch, tokens, hidden size].

    The convolution takes each channel alone, and the tokens before.
    """
    before, after, values = ops.split(linear(x, layer, "shortconv.in_proj"), constant(-1), 3).outputs()
    order = constant([0, 2, 1])
    new = ops.transpose(ops.multiply(before, values), order)  # (batch, channels, tokens)
    kernel = layer.vector("shortconv.conv.weight")  # (channels, length)
    channels, length = len(kernel), kernel.shape[-1]
    past = cache.past(f"conv.{index}", [channels, length])
    whole = ops.concat([past, new], -1)
    last, one, axis = constant([TO_THE_END]), constant([1]), constant([2])
    cache.keep(f"conv.{index}", ops.slice(whole, constant([-length]), last, one, axis))
    zero = [0]
    convolved = ops.group_convolution(whole, constant(kernel.reshape(channels, 1, 1, length)), [1], zero, zero, [1])
    tokens = ops.gather(ops.shape_of(inputs.input_ids), constant([1]), constant(0))
    mixed = ops.slice(convolved, ops.negative(tokens), last, one, axis)
    return linear(ops.multiply(after, ops.transpose(mixed, order)), layer, "shortconv.out_proj")
