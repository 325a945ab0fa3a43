"""Repacks ggml's quantized blocks as integers, scales and zero points in OpenVINO's layout, without requantizing.

A weight is `(integer - zero point) * scale`; each group of consecutive weights in a row has one scale and zero point.
The block layouts are in https://github.com/ggml-org/ggml/blob/master/src/ggml-common.h; the reference is
`gguf.quants.dequantize`. ggml packs the first half of a group into the low nibbles and the second half into the high
ones; OpenVINO packs consecutive weights into one byte, the first into the low nibble.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as GGML
from gguf.quants import IQ4_NL

# The largest float16 zero point. In a group whose minimum is more steps away than that, the steps are negligible.
LARGEST_ZERO_POINT = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class Groups:
    """Rows of group-wise quantized weights.

    Attributes:
        integers: in OpenVINO's packing, uint8 [rows, bytes].
        scale: float16 or float32 [rows, groups, 1].
        zero_point: float16 [rows, groups, 1]; None for symmetric types.
    """

    integers: np.ndarray
    scale: np.ndarray
    zero_point: np.ndarray | None


# Unpacked blocks: packed integers [blocks, bytes], scales [blocks, groups], minima [blocks, groups] or None.
Unpacked = tuple[np.ndarray, np.ndarray, np.ndarray | None]


@dataclass(frozen=True)
class BlockForm:
    """How blocks of a type are represented in OpenVINO.

    Attributes:
        integer_type: the smallest OpenVINO type that holds the integers and that the CPU runtime multiplies with
            without dequantizing the whole matrix first.
        group: the number of weights that share a scale.
        unpack: unpacks blocks, uint8 [blocks, bytes per block].
        has_minimum: whether the type is asymmetric, that is, has zero points.
    """

    integer_type: str
    group: int
    unpack: Callable[[np.ndarray], Unpacked]
    has_minimum: bool = False


def read_groups(rows: np.ndarray, type: GGML) -> Groups:
    """Repacks rows of blocks, uint8 [rows, bytes].

    Scales are exact: float32 for types with super-blocks, whose scales are products of two numbers, float16 otherwise.
    Zero points are rounded to float16.

    Raises:
        ValueError: a scale or a minimum is not finite.
    """
    form = FORMS[type]
    _, block_bytes = GGML_QUANT_SIZES[type]
    integers, scale, minimum = form.unpack(rows.reshape(-1, block_bytes))
    if not (np.isfinite(scale).all() and (minimum is None or np.isfinite(minimum).all())):
        raise ValueError("a scale is not a finite number")
    zero_point = None
    if minimum is not None:
        integers, scale, zero_point = _with_zero_points(integers, scale, minimum)
        zero_point = zero_point.reshape(len(rows), -1, 1)
    return Groups(integers.reshape(len(rows), -1), scale.reshape(len(rows), -1, 1), zero_point)


def _with_zero_points(
    integers: np.ndarray, scale: np.ndarray, minimum: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rewrites `integer * scale + minimum` as `(integer - zero point) * scale`.

    In a group whose scale is zero or negligible beside the minimum, all weights become the minimum:
    `(0 - -1) * minimum`.
    """
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        zero_point = -minimum.astype(np.float32) / scale.astype(np.float32)
    negligible = (minimum != 0) & ~(np.abs(zero_point) <= LARGEST_ZERO_POINT)
    zero_point[minimum == 0] = 0
    if negligible.any():
        zero_point[negligible] = -1
        scale = np.where(negligible, minimum, scale)
        integers = integers.copy()
        integers.reshape(*scale.shape, -1)[negligible] = 0
    return integers, scale, zero_point.astype(np.float16)


def _split(blocks: np.ndarray, *sizes: int) -> list[np.ndarray]:
    """Splits blocks into fields of these sizes in bytes; the last field takes the rest."""
    return [np.ascontiguousarray(field) for field in np.split(blocks, np.cumsum(sizes), axis=1)]


def _nibbles(packed: np.ndarray) -> np.ndarray:
    """Unpacks nibbles in ggml's order, all low ones first: uint8 [..., bytes] → [..., 2 * bytes]."""
    return np.concatenate([packed & 0x0F, packed >> 4], axis=-1)


def _swap_nibbles(packed: np.ndarray) -> np.ndarray:
    """Reorders nibbles from ggml's to OpenVINO's packing: uint8 [..., 16 or 32]; the last axis is one unit."""
    pairs = packed.view("<u2")  # two consecutive bytes, 0xDCBA: low nibbles A and C, high nibbles B and D
    low, high = pairs & 0x0F0F, pairs >> 4 & 0x0F0F
    # NumPy is slow along short axes, so the bytes of a half are one number.
    half = np.dtype("<u8" if packed.shape[-1] == 16 else "<c16")
    swapped = np.empty((*packed.shape[:-1], 2), half)
    for place, nibbles in enumerate((low, high)):
        nibbles |= nibbles >> 4
        swapped[..., place] = nibbles.astype(np.uint8).view(half)[..., 0]
    return swapped.view(np.uint8)


def _shifted(packed: np.ndarray, *shifts: int) -> np.ndarray:
    """Shifts the bytes right by each number of bits: uint8 [..., bytes] → [..., shifts, bytes]."""
    return packed[..., None, :] >> np.array(shifts, np.uint8)[:, None]


def _pack_pairs(values: np.ndarray) -> np.ndarray:
    """Packs pairs of consecutive 4-bit values into bytes: uint8 [..., 2 * bytes] → [..., bytes]."""
    return values[..., 0::2] | values[..., 1::2] << 4


def _bits(packed: np.ndarray) -> np.ndarray:
    """Unpacks bits, lowest first: uint8 [blocks, bytes] → [blocks, 8 * bytes]."""
    return np.unpackbits(packed, axis=-1, bitorder="little")


def _words(field: np.ndarray) -> np.ndarray:
    """Eight bytes in each number, with the blocks along the last axis: NumPy is slow along short ones.

    uint8 [blocks, bytes] → uint64 [bytes / 8, blocks]
    """
    return np.ascontiguousarray(field.view("<u8").T)


def _half(field: np.ndarray) -> np.ndarray:
    return field.view("<f2")


def _product(factor: np.ndarray, integers: np.ndarray) -> np.ndarray:
    """A super-block's float16 factor times the integer scale of each group; exact in float32."""
    return _half(factor).astype(np.float32) * integers.astype(np.float32)


def _q4_0(blocks: np.ndarray) -> Unpacked:
    scale, integers = _split(blocks, 2)
    return _swap_nibbles(integers) ^ 0x88, _half(scale), None  # offset binary (zero is 8) → two's complement


def _q4_1(blocks: np.ndarray) -> Unpacked:
    scale, minimum, integers = _split(blocks, 2, 2)
    return _swap_nibbles(integers), _half(scale), _half(minimum)


def _q5_0(blocks: np.ndarray) -> Unpacked:
    scale, high, low = _split(blocks, 2, 4)
    return (_nibbles(low) | _bits(high) << 4) - np.uint8(16), _half(scale), None


def _q5_1(blocks: np.ndarray) -> Unpacked:
    scale, minimum, high, low = _split(blocks, 2, 2, 4)
    return _nibbles(low) | _bits(high) << 4, _half(scale), _half(minimum)


def _q8_0(blocks: np.ndarray) -> Unpacked:
    scale, integers = _split(blocks, 2)
    return integers, _half(scale), None


def _q2_k(blocks: np.ndarray) -> Unpacked:
    scales, packed, factor, minimum_factor = _split(blocks, 16, 64, 2)
    values = _shifted(packed.reshape(-1, 2, 32), 0, 2, 4, 6).reshape(len(blocks), -1) & 3
    return _pack_pairs(values), _product(factor, scales & 0x0F), -_product(minimum_factor, scales >> 4)


def _q3_k(blocks: np.ndarray) -> Unpacked:
    high, low, scales, factor = _split(blocks, 32, 64, 12)
    values = _shifted(low.reshape(-1, 2, 32), 0, 2, 4, 6).reshape(len(blocks), -1) & 3
    values |= (_shifted(high, *range(8)).reshape(len(blocks), -1) & 1) << 2
    integers = _pack_pairs(values) ^ 0x44  # offset binary (zero is 4) → 3-bit two's complement
    integers |= (integers & 0x44) << 1  # sign extension to 4 bits
    low_scales, high_scales = _nibbles(scales[:, :8]), _shifted(scales[:, 8:], 0, 2, 4, 6).reshape(-1, 16) & 3
    signed = (low_scales | high_scales << 4).astype(np.int8) - np.int8(32)
    return integers, _product(factor, signed), None


def _six_bit_scales(packed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unpacks the eight 6-bit scales and minima of Q4_K and Q5_K: uint8 [blocks, 12] → two arrays [blocks, 8]."""
    first, second, rest = packed.view("<u4").T  # four bytes in each number
    low, high = 0x0F0F0F0F, 0x30303030
    scales = np.stack([first & (low | high), rest & low | first >> 2 & high], axis=1)
    minima = np.stack([second & (low | high), rest >> 4 & low | second >> 2 & high], axis=1)
    return scales.view(np.uint8), minima.view(np.uint8)


def _q4_k(blocks: np.ndarray) -> Unpacked:
    factor, minimum_factor, scales, packed = _split(blocks, 2, 2, 12)
    integers = _swap_nibbles(packed.reshape(-1, 4, 32)).reshape(len(blocks), -1)
    scales, minima = _six_bit_scales(scales)
    return integers, _product(factor, scales), -_product(minimum_factor, minima)


def _q5_k(blocks: np.ndarray) -> Unpacked:
    factor, minimum_factor, scales, high, low = _split(blocks, 2, 2, 12, 32)
    values = _nibbles(low.reshape(-1, 4, 32)).reshape(len(blocks), -1)
    values |= (_shifted(high, *range(8)).reshape(len(blocks), -1) & 1) << 4
    scales, minima = _six_bit_scales(scales)
    return values, _product(factor, scales), -_product(minimum_factor, minima)


def _q6_k(blocks: np.ndarray) -> Unpacked:
    low, high, scales, factor = _split(blocks, 128, 64, 16)
    low, high = _words(low).reshape(2, 8, -1), _words(high).reshape(2, 4, -1)
    nibbles = np.stack([low & 0x0F0F0F0F0F0F0F0F, low >> 4 & 0x0F0F0F0F0F0F0F0F], axis=1)
    values = nibbles.reshape(2, 4, 4, -1)
    for quarter, bits in enumerate((high << 4, high << 2, high, high >> 2)):
        values[:, quarter] |= bits & 0x3030303030303030
    integers = np.ascontiguousarray(values.reshape(32, -1).T).view(np.uint8)
    integers -= 32
    return integers, _product(factor, scales.view(np.int8)), None


def _iq4_nl(blocks: np.ndarray) -> Unpacked:
    scale, packed = _split(blocks, 2)
    return CODEBOOK[_nibbles(packed)], _half(scale), None


def _iq4_xs(blocks: np.ndarray) -> Unpacked:
    factor, high, low, packed = _split(blocks, 2, 2, 4)
    integers = CODEBOOK[_nibbles(packed.reshape(-1, 8, 16))].reshape(len(blocks), -1)
    low_scales = np.stack([low & 0x0F, low >> 4], axis=-1).reshape(-1, 8)
    high_scales = (high.view("<u2") >> np.arange(0, 16, 2, dtype=np.uint16) & 3).astype(np.uint8)
    signed = (low_scales | high_scales << 4).astype(np.int8) - np.int8(32)
    return integers, _product(factor, signed), None


def _tq2_0(blocks: np.ndarray) -> Unpacked:
    packed, scale = _split(blocks, 64)
    values = _shifted(packed.reshape(-1, 2, 32), 0, 2, 4, 6).reshape(len(blocks), -1) & 3
    return _ternary(values), _half(scale), None


def _tq1_0(blocks: np.ndarray) -> Unpacked:
    """Five digits to the base 3 in a byte, in all but the last four bytes: the byte is their number's fraction."""
    long, short, last, scale = _split(blocks, 32, 16, 4)
    digits = [_ternary_digits(field, count) for field, count in ((long, 5), (short, 5), (last, 4))]
    return _ternary(np.concatenate(digits, axis=1)), _half(scale), None


def _ternary_digits(packed: np.ndarray, count: int) -> np.ndarray:
    """The first digits of each byte: uint8 [blocks, bytes] → [blocks, count * bytes], each 0 to 2."""
    powers = (3 ** np.arange(count)).astype(np.uint8)
    shifted = packed[:, None, :] * powers[:, None]  # the digits before fall out of the byte
    return (shifted.astype(np.uint16) * 3 >> 8).astype(np.uint8).reshape(len(packed), -1)


def _ternary(values: np.ndarray) -> np.ndarray:
    """Packs 0, 1 and 2 as -1, 0 and 1 in 4 bits."""
    return _pack_pairs((values - np.uint8(1)) & 0x0F)


def _mxfp4(blocks: np.ndarray) -> Unpacked:
    """OCP's microscaling format: halves of the codebook's integers, times a power of two for each block."""
    exponent, packed = _split(blocks, 1)
    return HALVES_OF_FP4[_nibbles(packed)], np.ldexp(np.float32(1), exponent.astype(np.int32) - 128), None


def _nvfp4(blocks: np.ndarray) -> Unpacked:
    """NVIDIA's 4-bit floats: halves of the codebook's integers, times a scale of 8 bits for each 16 of them."""
    scales, packed = _split(blocks, 4)
    integers = HALVES_OF_FP4[_nibbles(packed.reshape(-1, 4, 8))].reshape(len(blocks), -1)
    exponent, fraction = (scales >> 3 & 0x0F).astype(np.int32), (scales & 7).astype(np.float32)
    small = np.ldexp(fraction, -10)
    scale = np.where(exponent == 0, small, np.ldexp(1 + fraction / 8, exponent - 8)).astype(np.float32)
    return integers, np.where(scales == 0x7F, np.float32(0), scale), None


# Twice the values of 4-bit floats (E2M1), as bytes.
HALVES_OF_FP4 = np.array([0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12], np.int8).view(np.uint8)

# The codebook of the IQ4 types: the int8 value of each 4-bit index, as a byte.
CODEBOOK = np.array(IQ4_NL.kvalues, np.int8).view(np.uint8)

FORMS = {
    GGML.Q4_0: BlockForm("i4", 32, _q4_0),
    GGML.Q4_1: BlockForm("u4", 32, _q4_1, has_minimum=True),
    GGML.Q5_0: BlockForm("i8", 32, _q5_0),
    GGML.Q5_1: BlockForm("u8", 32, _q5_1, has_minimum=True),
    GGML.Q8_0: BlockForm("i8", 32, _q8_0),
    # u2 is as fast on the CPU, but the runtime would dequantize an embedding table in u2 to 32 bits.
    GGML.Q2_K: BlockForm("u4", 16, _q2_k, has_minimum=True),
    GGML.Q3_K: BlockForm("i4", 16, _q3_k),
    GGML.Q4_K: BlockForm("u4", 32, _q4_k, has_minimum=True),
    GGML.Q5_K: BlockForm("u8", 32, _q5_k, has_minimum=True),
    GGML.Q6_K: BlockForm("i8", 16, _q6_k),
    GGML.IQ4_NL: BlockForm("i8", 32, _iq4_nl),
    GGML.IQ4_XS: BlockForm("i8", 32, _iq4_xs),
    GGML.TQ1_0: BlockForm("i4", 256, _tq1_0),
    GGML.TQ2_0: BlockForm("i4", 256, _tq2_0),
    # The runtime would unpack 4-bit floats to 32 bits; it multiplies with these integers as they are.
    GGML.MXFP4: BlockForm("i8", 32, _mxfp4),
    GGML.NVFP4: BlockForm("i8", 16, _nvfp4),
}
