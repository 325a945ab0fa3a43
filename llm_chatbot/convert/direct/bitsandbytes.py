"""Matrices of bitsandbytes: 4-bit places in a table (NF4, FP4), and the 8-bit integers of LLM.int8().

The layouts are those of https://github.com/bitsandbytes-foundation/bitsandbytes, version 0.50.2: `QuantState` of
`functional.py`, and `Linear8bitLt` of `nn/modules.py`.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from llm_chatbot.convert.direct.quantized import Arrays, QuantizedMatrix

# What the 4 bits stand for (Dettmers et al. 2023, arXiv:2305.14314). OpenVINO's type nf4 has these 16 floats, to the
# bit.
NF4 = np.array(
    [
        *(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453),
        *(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0),
        *(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224),
        *(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0),
    ],
    np.float32,
)
QUANT_STATE = "weight.quant_state.bitsandbytes__"  # begins that of the tensor with the state, a JSON document
FEWEST_PER_SCALE = 16  # weights; the runtime was not tried with fewer
PER_127 = np.float32(7.874015718698502e-3)  # 1 / 127, as bitsandbytes has it


@dataclass(frozen=True)
class NF4Matrix:
    """A matrix [rows, columns] of places in the table `NF4`, each group of which is multiplied by a scale.

    Attributes:
        integers: the places, uint8 [rows, columns].
        scales: float32 [rows, groups].
    """

    integers: np.ndarray
    scales: np.ndarray

    def rows(self, rows: slice | np.ndarray) -> "NF4Matrix":
        """Some of its rows."""
        return replace(self, integers=self.integers[rows], scales=self.scales[rows])

    def values(self) -> np.ndarray:
        """The weights, float32 [rows, columns]."""
        return _multiplied(NF4[self.integers], self.scales)


def matrix_shape(state: np.ndarray) -> tuple[int, int]:
    """Rows and columns of a matrix of 4 bits.

    Args:
        state: the bytes of its JSON document.

    Raises:
        ValueError: it is damaged.
    """
    rows, columns = _read_state(state)["shape"]
    return rows, columns


def read_nf4(arrays: Arrays) -> NF4Matrix:
    """A matrix of NF4. The absolute maxima of blocks are its scales; "double quantized" ones are unpacked.

    Args:
        arrays: `weight`, any type, which holds two weights a byte, the first in the upper half; `weight.absmax`
            [blocks], `weight.quant_map` [16] and `QUANT_STATE` + "nf4"; double quantized, also `weight.nested_absmax`
            and `weight.nested_quant_map`.

    Raises:
        KeyError: a part is missing.
        ValueError: the parts don't fit together.
    """
    integers, scales, table, _ = _unpacked(arrays, "nf4")
    if not np.array_equal(table, NF4):
        raise ValueError("another table than NF4's")
    return NF4Matrix(integers, scales)


def read_fp4(arrays: Arrays) -> np.ndarray:
    """The weights of a matrix of FP4, [rows, columns]: float16 where it was quantized from that, otherwise float32.

    Args, raises: as for `read_nf4`, with `QUANT_STATE` + "fp4". The table is the checkpoint's own.
    """
    integers, scales, table, dtype = _unpacked(arrays, "fp4")
    values = _multiplied(table[integers], scales)
    return values.astype(np.float16) if dtype == "float16" else values


def read_int8(arrays: Arrays) -> QuantizedMatrix:
    """A matrix of LLM.int8(), each row of which has a scale. That inputs are rounded too, there, is left out.

    Args:
        arrays: `weight` int8 [rows, columns], `SCB` [rows], which 127 stands for, and `weight_format`, a number.

    Raises:
        KeyError: a part is missing.
        ValueError: the parts don't fit together.
    """
    weight, largest = arrays["weight"], arrays["SCB"]
    if np.any(arrays.get("weight_format", np.zeros(())) != 0):  # those of versions before 0.43 for some GPUs
        raise ValueError("its rows are not one after the other")
    if weight.ndim != 2 or largest.shape != weight.shape[:1] or not np.isfinite(largest).all():
        raise ValueError(f"scales {largest.shape} for {weight.shape}, or one is not a finite number")
    scales = largest.astype(np.float32).reshape(-1, 1) * PER_127
    return QuantizedMatrix(weight.view(np.uint8) ^ 0x80, scales, np.full(scales.shape, 0x80, np.uint8), bits=8)


def _unpacked(arrays: Arrays, kind: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
    """Places in the table [rows, columns], scales [rows, groups], the table, and the type that was quantized."""
    state = _read_state(arrays[QUANT_STATE + kind])
    rows, columns = state["shape"]
    packed = np.ascontiguousarray(arrays["weight"]).reshape(-1).view(np.uint8)
    scales, count, block = _scales(arrays, state), rows * columns, state["blocksize"]
    group = math.gcd(columns, block)  # a block goes on in the next row where rows are no multiple of it
    if packed.size != -(-count // 2) or scales.shape != (-(-count // block),):
        raise ValueError(f"{packed.size} bytes and scales {scales.shape} for [{rows}, {columns}]")
    if group < FEWEST_PER_SCALE:
        raise ValueError(f"rows of {columns} in blocks of {block}")
    table = arrays["weight.quant_map"]
    if table.shape != (16,) or not np.isfinite(scales).all():
        raise ValueError("a scale is not a finite number, or the table has not 16")
    integers = np.stack([packed >> 4, packed & 0x0F], axis=-1).reshape(-1)[:count].reshape(rows, columns)
    of_groups = scales[np.arange(0, count, group) // block].reshape(rows, -1)
    return integers, of_groups, table, str(state.get("dtype"))


def _scales(arrays: Arrays, state: Mapping[str, Any]) -> np.ndarray:
    """The absolute maximum of each block, float32."""
    absmax = arrays["weight.absmax"]
    if "nested_blocksize" not in state:
        return absmax.astype(np.float32)
    size, table, outer = state["nested_blocksize"], arrays["weight.nested_quant_map"], arrays["weight.nested_absmax"]
    fits = absmax.ndim == 1 and table.shape == (256,) and outer.shape == (-(-absmax.size // size),)
    if absmax.dtype != np.uint8 or not fits:
        raise ValueError(f"{absmax.size} scales in blocks of {size}")
    return table[absmax] * outer[np.arange(absmax.size) // size] + np.float32(state["nested_offset"])


def _read_state(document: np.ndarray) -> Mapping[str, Any]:
    """
    Raises:
        ValueError: it is not what bitsandbytes writes.
    """
    state = json.loads(document.tobytes())
    if not isinstance(state, dict) or not isinstance(state.get("shape"), list):
        raise ValueError("shape and blocks are missing")
    sizes = [*state["shape"], state.get("blocksize"), state.get("nested_blocksize", 1)]
    if len(sizes) != 4 or not all(isinstance(size, int) and size > 0 for size in sizes):
        raise ValueError(f"shape and blocks {sizes}")
    if not isinstance(state.get("nested_offset", 0.0), int | float):
        raise ValueError("an offset that is no number")
    return state


def _multiplied(values: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Values [rows, columns] times those of their groups."""
    return values * np.repeat(scales, values.shape[1] // scales.shape[1], axis=1)
