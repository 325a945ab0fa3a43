"""Small GGUF files with random weights, in any type of blocks and any architecture that is read from them."""

import numpy as np
from gguf import GGML_QUANT_SIZES
from gguf import GGMLQuantizationType as GGML

# Where the 16-bit scales of a block are, and those of its minima: offsets in bytes.
HALVES = {
    GGML.Q4_0: (0,),
    GGML.Q4_1: (0, 2),
    GGML.Q5_0: (0,),
    GGML.Q5_1: (0, 2),
    GGML.Q8_0: (0,),
    GGML.Q2_K: (80, 82),
    GGML.Q3_K: (108,),
    GGML.Q4_K: (0, 2),
    GGML.Q5_K: (0, 2),
    GGML.Q6_K: (208,),
    GGML.IQ4_NL: (0,),
    GGML.IQ4_XS: (0,),
}


def random_rows(type: GGML, shape: tuple[int, ...], rng: np.random.Generator, size: float = 0.01) -> np.ndarray:
    """Rows of a type, as bytes: uint8 [..., bytes of a row].

    All bytes make a valid block if the 16-bit numbers in it are finite.

    Args:
        size: standard deviation of the 16-bit numbers.
    """
    if type in (GGML.F32, GGML.F16, GGML.BF16):
        values = (rng.standard_normal(shape) * size).astype(np.float32)
        if type == GGML.BF16:
            return (values.view(np.uint32) >> 16).astype(np.uint16).view(np.uint8)
        return values.astype(np.float16 if type == GGML.F16 else np.float32).view(np.uint8)
    weights, n_bytes = GGML_QUANT_SIZES[type]
    blocks = rng.integers(0, 256, (int(np.prod(shape)) // weights, n_bytes), dtype=np.uint8)
    for offset in HALVES[type]:
        halves = (rng.standard_normal((len(blocks), 1)) * size).astype(np.float16)
        blocks[:, offset : offset + 2] = halves.view(np.uint8)
    return blocks.reshape(*shape[:-1], -1)
