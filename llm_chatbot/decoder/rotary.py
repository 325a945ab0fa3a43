"""Rotary position embeddings (Su et al. 2021, arXiv:2104.09864) with each scaling for longer contexts."""

import math
from dataclasses import dataclass

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from llm_chatbot.decoder.blocks import part, scaled
from llm_chatbot.decoder.constants import constant, number
from llm_chatbot.decoder.keys import Keys
from llm_chatbot.decoder.tensors import Tensors

# Tensors that divide the frequencies: Llama 3's for all contexts, and longrope's for short and long ones.
FACTORS, SHORT_FACTORS, LONG_FACTORS = "rope_freqs.weight", "rope_factors_short.weight", "rope_factors_long.weight"
SECTIONS = "rope.dimension_sections"  # the key that says how many pairs rotate with the position on each axis
SCALINGS = ("none", "linear", "yarn", "longrope")


@dataclass(frozen=True)
class Rotation:
    """How fast the values of a head rotate.

    Attributes:
        frequencies: of each pair of values, radians per position, float32 [size / 2].
        magnitude: what cosines and sines are multiplied by.
    """

    frequencies: np.ndarray
    magnitude: float = 1.0


def read_rotation(
    keys: Keys, tensors: Tensors, size: int, base: float, is_scaled: bool, context: int, equal_growth: bool = False
) -> Rotation:
    """The rotation of a layer as the file says.

    Args:
        size: how many values of a head rotate.
        base: the wavelength of pair i is 2π * base^(2i / size).
        is_scaled: whether the file's scaling holds for this layer.
        context: the tokens that a conversation may have; longrope has other factors for more than the original ones.
        equal_growth: whether YaRN's two multipliers of the magnitude are equal, so that it doesn't grow.

    Raises:
        UserError: the scaling is of an unknown kind.
    """
    kind, factor, original = _scaling(keys)
    if base <= 1:
        raise keys.refusal("gguf.rotary_base")
    steps = base ** (-np.arange(0, size, 2) / size)
    factors = _factors(tensors, context > original)
    if not is_scaled:
        return Rotation(steps.astype(np.float32))
    if factors is not None:
        steps = steps / factors
    magnitude = keys.number("rope.scaling.attn_factor", 1.0)
    if kind == "yarn":
        kept = _kept_by_yarn(keys, size, base, original)
        steps = steps * (kept + (1 - kept) / factor)
        multiplier = keys.number("rope.scaling.yarn_log_multiplier", 0.0)
        if not (equal_growth and multiplier):
            magnitude *= _grown(factor, 1.0) / _grown(factor, multiplier)
    elif kind != "none":
        steps = steps / factor
    return Rotation(steps.astype(np.float32), magnitude)


def original_context(keys: Keys) -> int:
    """The tokens that the model was trained for before its positions were scaled."""
    return keys.size("rope.scaling.original_context_length", keys.size("context_length"))


def _scaling(keys: Keys) -> tuple[str, float, int]:
    """The kind of scaling, how many times longer the context becomes, and what it was."""
    kind = keys.get("rope.scaling.type", "linear")
    if kind not in SCALINGS:
        raise keys.refusal("gguf.rotary_method", method=f"{kind!r:.80}")
    factor = keys.number("rope.scaling.factor", 0.0) or keys.number("rope.scale_linear", 0.0) or 1.0
    if factor <= 0:
        raise keys.refusal("gguf.rotary_factor")
    return kind, factor, original_context(keys)


def _factors(tensors: Tensors, long: bool) -> np.ndarray | None:
    """The divisors of the frequencies, float32 [size / 2]; all such tensors count as used."""
    found = {name: tensors.vector(name) for name in (FACTORS, SHORT_FACTORS, LONG_FACTORS) if name in tensors}
    return found.get(FACTORS, found.get(LONG_FACTORS if long else SHORT_FACTORS))


def _kept_by_yarn(keys: Keys, size: int, base: float, original: int) -> np.ndarray:
    """How much of each frequency YaRN keeps (Peng et al. 2023, arXiv:2309.00071): all of the fast ones, none of the
    slow ones, which did not turn around once in the original context."""

    def pair(turns: float) -> float:
        return size * math.log(original / (turns * 2 * math.pi)) / (2 * math.log(base))

    low = max(0, math.floor(pair(keys.number("rope.scaling.yarn_beta_fast", 32.0))))
    high = min(size - 1, math.ceil(pair(keys.number("rope.scaling.yarn_beta_slow", 1.0))))
    return 1 - np.clip((np.arange(size // 2) - low) / max(0.001, high - low), 0, 1)


def yarn_growth(keys: Keys) -> float:
    """YaRN's factor of queries and keys in latent attention, besides cosines and sines.

    The file has a tenth of DeepSeek's `mscale_all_dim`.
    """
    kind, factor, _ = _scaling(keys)
    return _grown(factor, 10 * keys.number("rope.scaling.yarn_log_multiplier", 0.0)) if kind == "yarn" else 1.0


def _grown(factor: float, multiplier: float) -> float:
    return 0.1 * multiplier * math.log(factor) + 1 if factor > 1 else 1.0


def axes_of_pairs(keys: Keys, size: int, by_turns: bool) -> np.ndarray:
    """The axis whose position each pair of values rotates with, 0 to 2: M-RoPE (Wang et al. 2024, arXiv:2409.12191).

    Args:
        by_turns: whether the axes take turns, and the pairs that are left are those of time, as in Qwen3-VL.

    Raises:
        UserError: the file gives the axes fewer pairs than there are, or more.
    """
    pairs = keys.get(SECTIONS)
    are_numbers = isinstance(pairs, list) and len(pairs) >= 3 and all(isinstance(pair, int) for pair in pairs)
    if not are_numbers or min(pairs) < 0 or sum(pairs[:3]) != size // 2 or any(pairs[3:]):
        raise keys.refusal("gguf.no_sizes", key=f"{keys.architecture}.{SECTIONS}")
    if not by_turns:
        return np.repeat(np.arange(3), pairs[:3])
    turns = np.arange(size // 2)
    return np.where(turns < 3 * np.array(pairs)[turns % 3], turns % 3, 0)


def angles(rotation: Rotation, positions: ov.Node, axes: np.ndarray | None = None) -> tuple[ov.Node, ov.Node]:
    """Cosines and sines for positions [batch, tokens]: float32 [batch, 1, tokens, size].

    Args:
        axes: see `axes_of_pairs`, where positions are [axes, batch, tokens].
    """
    frequencies = rotation.frequencies.reshape(1, 1, -1)
    if axes is not None:
        frequencies = np.where(axes == np.arange(3).reshape(-1, 1, 1, 1), frequencies, np.float32(0))
    turned = ops.multiply(ops.unsqueeze(ops.convert(positions, "f32"), constant(-1)), constant(frequencies))
    if axes is not None:
        turned = ops.reduce_sum(turned, constant([0]), False)
    both = ops.unsqueeze(ops.concat([turned, turned], -1), constant(1))
    cosines, sines = ops.cos(both), ops.sin(both)
    return scaled(cosines, rotation.magnitude), scaled(sines, rotation.magnitude)


def rotate(heads: ov.Node, cosines: ov.Node, sines: ov.Node, size: int) -> ov.Node:
    """Rotates the first values of each head: float32 [batch, heads, tokens, head size] → the same.

    Value i forms a pair with value i + size / 2.
    """
    whole = heads.get_output_partial_shape(0)[3].get_length()
    if size < whole:
        return ops.concat([rotate(part(heads, 0, size), cosines, sines, size), part(heads, size, whole)], -1)
    # Axis 3 and not -1, which OpenVINO's plugins don't recognise as a rotation.
    first, second = ops.variadic_split(heads, constant(3), constant([size // 2, size // 2])).outputs()
    turned = ops.concat([ops.multiply(second, number(-1)), first], -1)
    return ops.add(ops.multiply(heads, cosines), ops.multiply(turned, sines))


def halves_from_pairs(heads: int, head_size: int, size: int, start: int = 0) -> np.ndarray:
    """The order of a matrix's rows that makes pairs of neighbours pairs of halves: row indices [heads * head size].

    Args:
        size: how many values of each head rotate, from `start` on.
    """
    order = np.arange(head_size)
    order[start : start + size] = start + np.arange(size).reshape(-1, 2).T.reshape(-1)
    return (np.arange(heads)[:, None] * head_size + order).reshape(-1)
