"""How a model's weights are stored, read from its IR."""

from collections import Counter
from dataclasses import dataclass
from math import prod
from pathlib import Path

import openvino as ov

# Operations whose constant operands are weights, and those between a stored weight and its use.
USERS = ("MatMul", "Gather", "Convolution")
PASSED = ("Convert", "Reshape", "Transpose", "Unsqueeze")
SCALED = ("Multiply", "Subtract")


@dataclass(frozen=True)
class WeightStorage:
    """The bytes that the matrices of a model take.

    Attributes:
        counts: number of weights by their bits.
        overhead: bits of all scales and zero points together.
    """

    counts: dict[int, int]
    overhead: int

    @property
    def total(self) -> int:
        """Number of weights."""
        return sum(self.counts.values())

    @property
    def bits_per_weight(self) -> float:
        """Scales and zero points included."""
        return (sum(bits * count for bits, count in self.counts.items()) + self.overhead) / self.total

    def share(self, bits: int) -> float:
        """Of the weights, those with this many bits."""
        return self.counts.get(bits, 0) / self.total

    @property
    def is_16bit(self) -> bool:
        """Whether nothing is compressed: all weights are floating-point numbers of 16 bits or more."""
        return min(self.counts) >= 16


def weight_storage(model_xml: Path) -> WeightStorage:
    """Reads how the weights are stored. A matrix that is used twice counts once; vectors, as in norms, don't count."""
    stored: dict[str, tuple[ov.Node, bool]] = {}
    for node in ov.Core().read_model(model_xml).get_ops():
        if node.get_type_name() in USERS:
            for operand in node.input_values():
                stored.update(_stored(operand.node))
    counts: Counter[int] = Counter()
    overhead = 0
    for constant, is_weight in stored.values():
        bits, size = constant.get_element_type().bitwidth, prod(constant.get_output_shape(0))
        if is_weight:
            counts[bits] += size
        else:
            overhead += bits * size
    return WeightStorage(dict(counts), overhead)


def _stored(operand: ov.Node) -> dict[str, tuple[ov.Node, bool]]:
    """The constants that an operand is made of, by name, and whether each is the weight itself; none if it isn't one.

    A compressed weight is (weight - zero point) · scale: the weight is the first operand of each of these steps.
    """
    parts = _constants(operand, is_weight=True)
    weight = next((constant for constant, is_weight in parts or [] if is_weight), None)
    if parts is None or weight is None:
        return {}
    is_matrix = sum(size > 1 for size in weight.get_output_shape(0)) > 1
    if not is_matrix or weight.get_element_type() in (ov.Type.i64, ov.Type.i32, ov.Type.boolean):
        return {}
    return {constant.get_name(): (constant, is_weight) for constant, is_weight in parts}


def _constants(node: ov.Node, is_weight: bool) -> list[tuple[ov.Node, bool]] | None:
    """The constants below a node; None where it depends on anything else."""
    kind = node.get_type_name()
    if kind == "Constant":
        return [(node, is_weight)]
    if kind in PASSED:
        return _constants(node.input_value(0).node, is_weight)
    if kind not in SCALED:
        return None
    left, right = (_constants(node.input_value(index).node, is_weight and index == 0) for index in (0, 1))
    return None if left is None or right is None else [*left, *right]
