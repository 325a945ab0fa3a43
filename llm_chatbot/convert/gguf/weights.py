"""Tensors of a GGUF file → OpenVINO constants, and the operations that dequantize them.

The operations form NNCF's pattern for compressed weights, which the runtimes recognise, so that they multiply with the
integers directly: integers → Convert → Subtract zero points → Multiply by scales → Reshape.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import openvino as ov
from gguf import GGML_QUANT_SIZES, ReaderTensor
from gguf import GGMLQuantizationType as GGML
from openvino import opset13 as ops

from llm_chatbot.convert.export.mapped_constants import MappedConstants
from llm_chatbot.convert.gguf.tensors import Source
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.blocks import FORMS, read_groups

FLOATS = {GGML.F32: ov.Type.f32, GGML.F16: ov.Type.f16, GGML.BF16: ov.Type.bf16}


def make_weight(name: str, source: Source, shape: Sequence[int], constants: MappedConstants) -> ov.Node:
    """Creates the operations for a weight, float32.

    The values are exactly those of `gguf.quants.dequantize`, except for types with a minimum, whose zero points are
    rounded to float16.

    Args:
        name: the prefix of the constants' names.
        source: where the values come from.
        shape: the weight's shape in the graph; if the source is transposed, the output has the transposed shape.
        constants: where the constants are stored.

    Raises:
        UserError: the blocks are damaged.
    """
    shape = list(shape[::-1] if source.transposed else shape)
    if source.type in FLOATS:
        weight = constants.make(source.chunks(), shape, FLOATS[source.type], name)
        return weight if source.type == GGML.F32 else ops.convert(weight, "f32")
    form = FORMS[source.type]
    scales: list[np.ndarray] = []
    zero_points: list[np.ndarray] = []

    def integers() -> Iterator[np.ndarray]:
        for rows in source.chunks():
            groups = read_groups(rows, source.type)
            scales.append(groups.scale)
            if groups.zero_point is not None:
                zero_points.append(groups.zero_point)
            yield groups.integers

    grouped = [*shape[:-1], shape[-1] // form.group, form.group]
    try:
        packed = constants.make(integers(), grouped, getattr(ov.Type, form.integer_type), name)
    except ValueError as error:
        raise UserError("gguf.blocks_damaged", name=name, reason=error) from error
    per_group = [*grouped[:-1], 1]
    type = ov.Type(scales[0].dtype)
    weight = ops.convert(packed, type)
    if form.has_minimum:
        zero_point = constants.make(zero_points, per_group, ov.Type.f16, f"{name}/zero_point")
        weight = ops.subtract(weight, zero_point if type == ov.Type.f16 else ops.convert(zero_point, type))
    weight = ops.multiply(weight, constants.make(scales, per_group, type, f"{name}/scale"))
    weight = ops.reshape(weight, np.array(shape, np.int64), special_zero=False)
    return weight if type == ov.Type.f32 else ops.convert(weight, "f32")


def bytes_in_openvino(tensors: Sequence[ReaderTensor]) -> int:
    """The size of the tensors' constants with scales and zero points, in bytes."""

    def bits(type: GGML) -> float:
        if type in FLOATS:
            return FLOATS[type].bitwidth
        form, (_, block_bytes) = FORMS[type], GGML_QUANT_SIZES[type]
        _, scale, minimum = form.unpack(np.zeros((1, block_bytes), np.uint8))
        per_group = scale.itemsize * 8 + (16 if minimum is not None else 0)
        return getattr(ov.Type, form.integer_type).bitwidth + per_group / form.group

    return int(sum(bits(tensor.tensor_type) / 8 * int(tensor.n_elements) for tensor in tensors))


def put_weight(placeholder: ov.Node, weight: ov.Node, transposed: bool) -> None:
    """Replaces a constant, or its conversion to float32, by a weight."""
    for port in placeholder.output(0).get_target_inputs():
        user = port.get_node()
        replaced = user.output(0) if user.get_type_name() == "Convert" else placeholder.output(0)
        if transposed:
            for target in replaced.get_target_inputs():
                _put_transposed(target, weight)
        else:
            replaced.replace(weight.output(0))


def _put_transposed(target: ov.Input, weight: ov.Node) -> None:
    """Connects a transposed weight: through the matrix product's `transpose_b` if possible, else by a Transpose."""
    product = target.get_node()
    is_right_factor = product.get_type_name() == "MatMul" and target.get_index() == 1
    if is_right_factor and not product.get_attributes()["transpose_b"]:
        other = ops.matmul(product.input_value(0), weight, product.get_attributes()["transpose_a"], True)
        other.set_friendly_name(product.get_friendly_name())
        product.output(0).replace(other.output(0))
    else:
        target.replace_source_output(ops.transpose(weight, np.array([1, 0], np.int64)).output(0))
