"""Makes quantized_matrices.npz: packed matrices, and what the formats' own code unpacks them to.

    pip download --no-deps autoawq==0.2.9 auto-gptq==0.7.1    # and unpack both: their modules are loaded by path
    pip install compressed-tensors==0.20.1 torch transformers
    python -m tests.data.make_quantized_matrices AUTOAWQ_FOLDER AUTO_GPTQ_FOLDER

Each case has the arrays of one matrix by the names of a checkpoint, as "awq 4/qweight", and "awq 4/values", float32. A
case's name has the method and the bits first.
"""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

OUTPUT = Path(__file__).with_name("quantized_matrices.npz")
ROWS, COLUMNS, GROUP = 32, 64, 32
GROUPS = COLUMNS // GROUP

Case = dict[str, np.ndarray]


def main() -> None:
    awq = load(Path(sys.argv[1], "awq/utils/packing_utils.py"))
    gptq = load(Path(sys.argv[2], "auto_gptq/nn_modules/qlinear/qlinear_cuda.py"))
    torch.manual_seed(0)
    cases = {"awq 4": awq_case(awq)}
    cases |= {f"gptq {bits}": gptq_case(gptq, bits) for bits in (2, 3, 4, 8)}
    cases["gptq 4 act-order"] = gptq_case(gptq, 4, torch.randperm(COLUMNS) // GROUP)
    cases |= {f"compressed-tensors {bits}": compressed_case(bits, symmetric=True) for bits in (3, 4, 8)}
    cases["compressed-tensors 4 asymmetric"] = compressed_case(4, symmetric=False)
    arrays = {f"{name}/{end}": array for name, case in cases.items() for end, array in case.items()}
    np.savez_compressed(OUTPUT, allow_pickle=False, **arrays)


def load(path: Path) -> ModuleType:
    """A module without its package, whose import needs CUDA and other versions of Transformers."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def random_words(*shape: int) -> torch.Tensor:
    return torch.randint(-(2**31), 2**31, shape, dtype=torch.int64).to(torch.int32)


def random_scales(*shape: int) -> torch.Tensor:
    return (torch.rand(shape) * 0.1 + 0.01).to(torch.float16)


def awq_case(module: ModuleType) -> Case:
    """Random bits are valid: each integer is any of 4 bits."""
    qweight, qzeros = random_words(COLUMNS, ROWS // 8), random_words(GROUPS, ROWS // 8)
    scales = random_scales(GROUPS, ROWS)
    values = module.dequantize_gemm(qweight, qzeros, scales.float(), 4, GROUP)
    return as_arrays(qweight=qweight, qzeros=qzeros, scales=scales) | {"values": values.T.numpy()}


def gptq_case(module: ModuleType, bits: int, groups: torch.Tensor | None = None) -> Case:
    """The values are what the layer makes of a unit matrix. Zero points are below the largest: see the test."""
    layer = module.QuantLinear(bits, GROUP, COLUMNS, ROWS, bias=False, weight_dtype=torch.float32)
    layer.qweight = random_words(COLUMNS * bits // 32, ROWS)
    zeros = torch.randint(0, 2**bits - 1, (GROUPS, ROWS), dtype=torch.int64)
    offset = (zeros - (1 << bits - 1)).to(torch.int8)
    layer.qzeros = pack_to_int32(offset, bits)
    layer.scales = random_scales(GROUPS, ROWS).float()
    if groups is not None:
        layer.g_idx = groups.to(torch.int32)
    values = layer(torch.eye(COLUMNS)).T
    arrays = as_arrays(qweight=layer.qweight, qzeros=layer.qzeros, scales=layer.scales.half(), g_idx=layer.g_idx)
    return arrays | {"values": values.numpy()}


def compressed_case(bits: int, symmetric: bool) -> Case:
    arguments = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy="group", group_size=GROUP)
    scheme = QuantizationScheme(targets=["Linear"], weights=arguments)
    limits = -(1 << bits - 1), 1 << bits - 1
    state = {"weight": torch.randn(ROWS, COLUMNS), "weight_scale": random_scales(ROWS, GROUPS).float()}
    if not symmetric:
        state["weight_zero_point"] = torch.randint(*limits, (ROWS, GROUPS), dtype=torch.int8)
    packed = PackedQuantizationCompressor.compress(state, scheme)
    values = PackedQuantizationCompressor.decompress(packed, scheme)["weight"]
    return as_arrays(**packed) | {"values": values.numpy()}


def as_arrays(**tensors: torch.Tensor) -> Case:
    return {name: tensor.numpy() for name, tensor in tensors.items()}


if __name__ == "__main__":
    main()
