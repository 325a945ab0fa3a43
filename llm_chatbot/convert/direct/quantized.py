"""Matrices of quantized checkpoints as the integers, scales and zero points that are in the files.

A weight is `(integer - zero point) * scale`; each group of consecutive weights of a row has one scale and zero point.
Nothing is rounded again. The layouts are those of
https://github.com/casper-hansen/AutoAWQ (its "gemm" version), https://github.com/AutoGPTQ/AutoGPTQ and
https://github.com/vllm-project/compressed-tensors ("pack-quantized").
"""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

# AWQ's order of eight 4-bit values in a 32-bit number: the lowest bits hold the first column, the next ones the third.
AWQ_ORDER = (0, 4, 1, 5, 2, 6, 3, 7)  # where the first, second … column is

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class QuantizedMatrix:
    """A matrix [rows, columns] of a linear layer.

    Attributes:
        integers: uint8 [rows, columns], one weight a byte, each below 2 ** `bits`.
        scales: floats [rows, groups].
        zero_points: of the same range as the integers, uint8 or wider [rows, groups].
        bits: of an integer.
        order: which input a column belongs to, int32 [columns]; None where the columns are in the inputs' order.
    """

    integers: np.ndarray
    scales: np.ndarray
    zero_points: np.ndarray
    bits: int
    order: np.ndarray | None = None

    @property
    def group_size(self) -> int:
        return self.integers.shape[1] // self.scales.shape[1]

    @property
    def is_symmetric(self) -> bool:
        """Whether all zero points are the middle of the range, so that signed integers need none."""
        return bool((self.zero_points == 1 << self.bits - 1).all())

    def rows(self, rows: slice | np.ndarray) -> "QuantizedMatrix":
        """Some of its rows."""
        return replace(self, integers=self.integers[rows], scales=self.scales[rows], zero_points=self.zero_points[rows])

    def values(self) -> np.ndarray:
        """The weights, float32 [rows, columns], with the columns in the inputs' order."""
        steps = self.integers.astype(np.float32) - self._spread(self.zero_points)
        values = steps * self._spread(self.scales)
        return values if self.order is None else values[:, np.argsort(self.order)]

    def _spread(self, of_groups: np.ndarray) -> np.ndarray:
        return np.repeat(of_groups.astype(np.float32), self.group_size, axis=1)


def read_awq(arrays: Arrays) -> QuantizedMatrix:
    """AWQ's matrix of 4 bits, which is stored by inputs.

    Args:
        arrays: `qweight` int32 [columns, rows / 8], `qzeros` int32 [groups, rows / 8] and `scales` [groups, rows].

    Raises:
        ValueError: the shapes don't fit together.
    """
    integers, zero_points = (_unpacked_awq(arrays[name]) for name in ("qweight", "qzeros"))
    return _checked(QuantizedMatrix(integers.T, arrays["scales"].T, zero_points.T, bits=4))


def read_gptq(arrays: Arrays, bits: int, is_first_version: bool = True) -> QuantizedMatrix:
    """GPTQ's matrix, which is stored by inputs. With act-order, the inputs of a group lie anywhere.

    Args:
        arrays: `qweight` int32 [columns * bits / 32, rows], `qzeros` int32 [groups, rows * bits / 32],
            `scales` [groups, rows] and, with act-order, `g_idx` int32 [columns], the group of each input.
        is_first_version: whether stored zero points are one too small, as in the format "gptq"; not in "gptq_v2".

    Raises:
        ValueError: the shapes don't fit together, or groups differ in size.
    """
    scales = arrays["scales"]
    groups, rows = scales.shape
    integers = unpack(arrays["qweight"].T, bits, arrays["qweight"].shape[0] * 32 // bits)
    zero_points = unpack(arrays["qzeros"], bits, rows)
    if is_first_version:
        zero_points = (zero_points + np.uint8(1)) & np.uint8((1 << bits) - 1)
    order = _order(arrays.get("g_idx"), groups)
    if order is not None:
        integers = integers[:, order]
    return _checked(QuantizedMatrix(integers, scales.T, zero_points.T, bits, order))


def read_compressed_tensors(arrays: Arrays, bits: int) -> QuantizedMatrix:
    """The matrix of a "pack-quantized" layer of compressed-tensors.

    Args:
        arrays: `weight_packed` int32 [rows, columns * bits / 32], `weight_scale` [rows, groups], `weight_shape` [2]; if
            asymmetric, `weight_zero_point` int32 [rows * bits / 32, groups]; with act-order, `weight_g_idx` [columns].

    Raises:
        ValueError: the shapes don't fit together, or groups differ in size.
    """
    rows, columns = (int(size) for size in arrays["weight_shape"])
    scales = arrays["weight_scale"]
    integers = unpack(arrays["weight_packed"], bits, columns)
    if "weight_zero_point" in arrays:
        zero_points = unpack(arrays["weight_zero_point"].T, bits, rows).T
    else:
        zero_points = np.full(scales.shape, 1 << bits - 1, np.uint8)
    order = _order(arrays.get("weight_g_idx"), scales.shape[1])
    if order is not None:
        integers = integers[:, order]
    return _checked(QuantizedMatrix(integers, scales, zero_points, bits, order))


def read_fp8(arrays: Arrays, block: tuple[int, int] | None = None) -> np.ndarray:
    """The weights of a matrix of 8-bit floats, float32 [rows, columns].

    Args:
        arrays: `weight` [rows, columns], and what it is multiplied by, `weight_scale_inv` or `weight_scale`: one number
            for all, one for each row [rows, 1], or one for each block [row blocks, column blocks].
        block: rows and columns of a block; those at the end may be smaller.

    Raises:
        KeyError: the scales are missing.
        ValueError: the shapes don't fit together.
    """
    weight = arrays["weight"]
    scale = arrays.get("weight_scale_inv")
    scale = np.asarray(arrays["weight_scale"] if scale is None else scale)
    if block is not None and scale.ndim == 2:
        needed = tuple(-(-size // step) for size, step in zip(weight.shape, block, strict=True))
        if scale.shape != needed:
            raise ValueError(f"scales {scale.shape} where {needed} belong")
        rows, columns = weight.shape
        scale = scale.repeat(block[0], axis=0)[:rows].repeat(block[1], axis=1)[:, :columns]
    elif scale.size in (1, len(weight)):
        scale = scale.reshape(-1, 1)
    else:
        raise ValueError(f"scales {scale.shape} for {weight.shape}")
    return weight * scale


def unpack(words: np.ndarray, bits: int, count: int) -> np.ndarray:
    """The integers in rows of 32-bit numbers, which hold them without gaps, the first in the lowest bits.

    int32 [rows, words] → uint8 [rows, count]

    Raises:
        ValueError: there are fewer.
    """
    rows, available = words.shape[0], words.shape[1] * 32 // bits
    if count > available:
        raise ValueError(f"{available} integers where {count} belong")
    packed = _bytes(words)
    if bits == 8:
        return packed[:, :count]
    if bits == 4:
        return np.stack([packed & 0x0F, packed >> 4], axis=-1).reshape(rows, -1)[:, :count]
    single = np.unpackbits(packed, axis=1, bitorder="little")[:, : count * bits].reshape(rows, count, bits)
    return np.packbits(single, axis=-1, bitorder="little")[..., 0]


def _unpacked_awq(words: np.ndarray) -> np.ndarray:
    """The 4-bit integers of AWQ's 32-bit numbers: int32 [rows, words] → uint8 [rows, 8 * words]."""
    integers = unpack(words, 4, words.shape[1] * 8)
    return integers.reshape(len(words), -1, 8)[..., AWQ_ORDER].reshape(len(words), -1)


def _bytes(words: np.ndarray) -> np.ndarray:
    """The bytes of 32-bit numbers, the lowest first: int32 [rows, words] → uint8 [rows, 4 * words]."""
    words = np.ascontiguousarray(words, np.int32)
    return (words if sys.byteorder == "little" else words.byteswap()).view(np.uint8)


def _order(groups_of_inputs: np.ndarray | None, groups: int) -> np.ndarray | None:
    """The inputs, sorted by their groups; None if they are sorted.

    Raises:
        ValueError: the groups differ in size, or are others than those that have scales.
    """
    if groups_of_inputs is None or (groups_of_inputs[:-1] <= groups_of_inputs[1:]).all():
        return None
    sizes = np.bincount(groups_of_inputs, minlength=groups)
    if len(sizes) != groups or (sizes != sizes[0]).any():
        raise ValueError("groups of different sizes")
    return np.argsort(groups_of_inputs, kind="stable").astype(np.int32)


def _checked(matrix: QuantizedMatrix) -> QuantizedMatrix:
    rows, columns = matrix.integers.shape
    groups = matrix.scales.shape[-1]
    if matrix.scales.shape != (rows, groups) or matrix.zero_points.shape != (rows, groups) or columns % groups:
        raise ValueError(
            f"integers {matrix.integers.shape}, scales {matrix.scales.shape}, zero points {matrix.zero_points.shape}"
        )
    if not np.isfinite(matrix.scales).all():
        raise ValueError("a scale is not a finite number")
    return matrix
