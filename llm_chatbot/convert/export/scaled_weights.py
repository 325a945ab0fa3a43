"""A weight matrix times scales, computed a block of rows at a time: data-free AWQ without 32-bit copies of a matrix."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import openvino as ov
from nncf.tensor import Tensor


class ScaledWeight:
    """Stands in for the `nncf.tensor.Tensor` of a weight matrix, as far as NNCF's data-free AWQ uses it.

    What it computes is NNCF's result to the last bit: 32-bit products, rounded to the weight's own type.

    Args:
        blocks: the matrix's rows, in views of some of them each.
        scale: float32 [1, columns] or [rows, 1]; None: not scaled.
    """

    ndim = 2
    dtype = None  # NNCF hands it to `astype` only

    def __init__(self, blocks: Sequence[ov.Tensor], scale: np.ndarray | None = None) -> None:
        self._blocks, self._scale = blocks, scale
        self.shape = (sum(block.shape[0] for block in blocks), blocks[0].shape[1])

    def astype(self, dtype: Any) -> "ScaledWeight":
        return self

    def __mul__(self, scale: Tensor) -> "ScaledWeight":
        return ScaledWeight(self._blocks, scale.data)

    def mean_magnitude(self, axis: int) -> np.ndarray:
        """The mean of the unscaled weights' magnitudes over an axis."""
        magnitudes = (np.abs(_as_float32(block)) for block in self._blocks)
        if axis == 1:
            return np.concatenate([block.mean(axis=1) for block in magnitudes])
        total = np.zeros(self.shape[1], np.float32)
        for block in magnitudes:  # row after row, in the order in which NumPy adds the rows of a whole matrix
            total = np.add.reduce(np.vstack([total, block]), axis=0)
        return total / np.float32(self.shape[0])

    def parts(self) -> Iterator[np.ndarray]:
        """The scaled weights block by block, in their own type."""
        first = 0
        for block in self._blocks:
            values, rows = _as_float32(block), block.shape[0]
            if self._scale is not None:
                by_row = self._scale.shape[0] != 1
                values = values * (self._scale[first : first + rows] if by_row else self._scale)
            first += rows
            constant = ov.opset13.constant(values, dtype=block.get_element_type())  # rounds as NNCF's constants do
            yield constant.data


def _as_float32(tensor: ov.Tensor) -> np.ndarray:
    return ov.opset13.constant(tensor, shared_memory=True).get_data(dtype=np.float32)
