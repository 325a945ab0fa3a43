"""Rewrites 4-bit weights in groups of sizes that OpenVINO's CPU plugin multiplies wrongly, as groups that it does not.

With OpenVINO 2026.4.1, products of one to four rows are wrong with groups above 32 that are no multiple of 32, and
where the plugin computes in bfloat16 with those above 64 that are no multiple of 64. With AMX, products of up to 16
rows are with 384, 576, 768 and other groups. With odd groups, products of any number of rows are. Nothing is raised:
the prompt is read well, and the answer is garbage. Folders of other people have such groups, where the rows of a model
have no power of two for a divisor.

Smaller groups with the same scale compute the same product.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from llm_chatbot.errors import UserError
from llm_chatbot.folder.group_sizes import LARGEST_SMALL_GROUP, is_multiplied_rightly

PACKED = (ov.Type.u4, ov.Type.i4)


@dataclass(frozen=True)
class Grouped:
    """Weights in groups, as the graph computes them.

    Attributes:
        integers: the constant, [..., groups, weights per group].
        scaled: the product with the scales.
        scale: the constant [..., groups, 1].
        zero_point: the constant [..., groups, 1], or one for all groups; None if there is none.
    """

    integers: ov.Node
    scaled: ov.Node
    scale: ov.Node
    zero_point: ov.Node | None

    @property
    def size(self) -> int:
        return self.integers.get_output_shape(0)[-1]


def split_groups(model: ov.Model, folder: Path) -> int:
    """Rewrites all such weights of a graph in place, and returns how many there were.

    Args:
        folder: the model's, for the message.

    Raises:
        UserError: groups can't be made smaller, because their size is odd.
    """
    wrong = [weights for weights in _grouped(model) if not is_multiplied_rightly(weights.size)]
    for weights in wrong:
        size = smaller_group(weights.size)
        if size is None:
            raise UserError("engine.groups", folder=folder, size=weights.size)
        _split_groups(weights, size)
    if wrong:
        model.validate_nodes_and_infer_types()
    return len(wrong)


def smaller_group(size: int) -> int | None:
    """The largest size of groups into which a group can be split so that they are multiplied rightly; None: no size."""
    return next((part for part in range(LARGEST_SMALL_GROUP, 0, -2) if size % part == 0), None)


def _grouped(model: ov.Model) -> Iterator[Grouped]:
    """Weights of the form: integers → Convert → (Subtract) → Multiply."""
    for scaled in model.get_ops():
        if scaled.get_type_name() != "Multiply":
            continue
        shifted, scale = (scaled.input_value(port).node for port in (0, 1))
        zero_point = None
        if shifted.get_type_name() == "Subtract":
            shifted, zero_point = shifted.input_value(0).node, _before(shifted.input_value(1).node)
        integers, scale = _before(shifted), _before(scale)
        if integers.get_type_name() != "Constant" or integers.get_element_type() not in PACKED:
            continue
        shape = list(integers.get_output_shape(0))
        if len(shape) > 2 and list(scale.get_output_shape(0)) == [*shape[:-1], 1]:
            yield Grouped(integers, scaled, scale, zero_point)


def _before(node: ov.Node) -> ov.Node:
    return node.input_value(0).node if node.get_type_name() == "Convert" else node


def _split_groups(weights: Grouped, size: int) -> None:
    """Replaces weights by the same ones in groups of another size, with the scale of their group."""
    times = weights.size // size
    *leading, groups, _ = weights.integers.get_output_shape(0)
    shape = ov.Shape([*leading, groups * times, size])
    # A copy: the memory of a constant that no graph has any more is freed.
    integers = ov.Tensor(weights.integers.get_element_type(), shape)
    integers.data.reshape(-1)[:] = weights.integers.data.reshape(-1).view(np.uint8)
    float_type = weights.scaled.get_output_element_type(0)
    weight = ops.convert(ops.constant(integers), float_type)
    if weights.zero_point is not None:
        zero_point = _repeated_groups(weights.zero_point, times)
        weight = ops.subtract(weight, ops.convert(zero_point, float_type))
    scaled = ops.multiply(weight, ops.convert(_repeated_groups(weights.scale, times), float_type))
    for reader in weights.scaled.output(0).get_target_inputs():
        reader.replace_source_output(scaled.output(0))


def _repeated_groups(constant: ov.Node, times: int) -> ov.Node:
    """A constant [..., groups, 1] with each value repeated; one for all groups as it is."""
    shape = list(constant.get_output_shape(0))
    if len(shape) < 2 or shape[-2] == 1:
        return constant
    element_type = constant.get_element_type()
    if element_type not in PACKED:
        return ops.constant(np.repeat(constant.data, times, axis=-2))
    packed = constant.data.reshape(-1).view(np.uint8)
    halves = np.stack([packed & 15, packed >> 4], axis=1).reshape(-1)[: math.prod(shape)]
    halves = np.repeat(halves, times)  # the last axis has one value, so those of a group are neighbours
    halves = np.append(halves, np.zeros(halves.size % 2, np.uint8))
    repeated = ov.Tensor(element_type, ov.Shape([*shape[:-2], shape[-2] * times, 1]))
    repeated.data.reshape(-1)[:] = halves[0::2] | halves[1::2] << 4
    return ops.constant(repeated)
