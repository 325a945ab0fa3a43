"""Small checkpoints of Llama whose matrices are packed as AWQ, GPTQ, compressed-tensors and bitsandbytes pack them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from tests.gguf_files import DATA
from tests.small_checkpoints import llama_tokenizer

GROUP = 32
CONFIG = LlamaConfig(
    vocab_size=512,
    hidden_size=64,
    intermediate_size=96,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    bos_token_id=1,
    eos_token_id=2,
)

BLOCK, NESTED_BLOCK = 64, 256  # of bitsandbytes: weights with a scale in common, and such scales

# bitsandbytes' own tables, as it writes them.
TABLES = np.load(DATA / "bitsandbytes_matrices.npz")

Packed = tuple[dict[str, Any], np.ndarray]  # the arrays of a checkpoint, and the weights that they stand for


def write_quantized(folder: Path, method: str) -> LlamaForCausalLM:
    """Writes a checkpoint, and returns the model whose weights it has.

    Args:
        method: a key of `METHODS`.
    """
    torch.manual_seed(0)
    model = LlamaForCausalLM(CONFIG).eval()
    pack, quantization = METHODS[method]
    rng = np.random.default_rng(0)
    tensors: dict[str, torch.Tensor] = {}
    for name, tensor in model.state_dict().items():
        if "_proj" in name:
            arrays, values = pack(rng, *tensor.shape)
            tensor.copy_(torch.from_numpy(values))
            base = name.removesuffix("weight")
            tensors |= {base + end: torch.as_tensor(array).contiguous() for end, array in arrays.items()}
        else:
            tensor.copy_((torch.randn(tensor.shape) * 0.3 + ("norm" in name)).half())
            tensors[name] = tensor.half()
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    described = json.loads(CONFIG.to_json_string()) | {"architectures": ["LlamaForCausalLM"]}
    described["quantization_config"] = quantization
    (folder / "config.json").write_text(json.dumps(described), encoding="utf-8")
    llama_tokenizer(folder, "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}")
    return model


def awq(rng: np.random.Generator, rows: int, columns: int) -> Packed:
    integers, zeros, scales, values = _random(rng, rows, columns, 4)
    arrays = {"qweight": _awq_words(integers.T), "qzeros": _awq_words(zeros.T), "scales": scales.T}
    return arrays, values


def gptq(rng: np.random.Generator, rows: int, columns: int, bits: int = 4, act_order: bool = False) -> Packed:
    integers, zeros, scales, values = _random(rng, rows, columns, bits, first=1)
    groups = np.arange(columns) // GROUP
    if act_order:
        inputs = rng.permutation(columns)
        groups, integers, values = groups[inputs], integers[:, inputs], values[:, inputs]
    arrays = {
        "qweight": _words(integers, bits).T,
        "qzeros": _words((zeros - 1).T, bits),
        "scales": scales.T,
        "g_idx": groups.astype(np.int32),
    }
    return arrays, values


def compressed_tensors(
    rng: np.random.Generator, rows: int, columns: int, bits: int = 4, symmetric: bool = True
) -> Packed:
    integers, zeros, scales, values = _random(rng, rows, columns, bits, first=1 << bits - 1 if symmetric else 0)
    if symmetric:
        values = (integers.astype(np.float32) - (1 << bits - 1)) * np.repeat(scales, GROUP, axis=1)
    arrays = {
        "weight_packed": _words(integers, bits),
        "weight_scale": scales,
        "weight_shape": np.array([rows, columns]),
    }
    return arrays | ({} if symmetric else {"weight_zero_point": _words(zeros.T, bits).T}), values


def fp8(rng: np.random.Generator, rows: int, columns: int, per_row: bool = False) -> Packed:
    """8-bit floats with a scale for each row, or for each block of `GROUP` rows and columns."""
    weight = torch.from_numpy(rng.normal(0, 0.2, (rows, columns))).to(torch.float8_e4m3fn)
    shape = (rows, 1) if per_row else (rows // GROUP, columns // GROUP)
    scales = rng.uniform(0.5, 1.5, shape).astype(np.float32)
    wide = scales if per_row else np.kron(scales, np.ones((GROUP, GROUP), np.float32))
    values = (weight.float() * torch.from_numpy(wide)).bfloat16().float().numpy()
    return {"weight": weight, "weight_scale" if per_row else "weight_scale_inv": scales}, values


def four_bits(rng: np.random.Generator, rows: int, columns: int, kind: str = "nf4", double: bool = False) -> Packed:
    """Blocks that go on in the next row where it ends, as bitsandbytes has them."""
    places = rng.integers(0, 16, rows * columns, np.uint8)
    blocks = rows * columns // BLOCK
    state = {"quant_type": kind, "blocksize": BLOCK, "dtype": "float16", "shape": [rows, columns]}
    table = TABLES[f"{kind} 4/weight.quant_map"]
    arrays = {"weight": (places[0::2] << 4 | places[1::2])[:, None], "weight.quant_map": table}
    if double:
        nested, offset = TABLES["nf4 4 double/weight.nested_quant_map"], 0.25
        chosen = rng.integers(0, 256, blocks, np.uint8)
        outer = rng.uniform(0.1, 0.2, -(-blocks // NESTED_BLOCK)).astype(np.float32)
        arrays |= {"weight.absmax": chosen, "weight.nested_absmax": outer, "weight.nested_quant_map": nested}
        state |= {"nested_blocksize": NESTED_BLOCK, "nested_dtype": "float32", "nested_offset": offset}
        scales = [nested[place] * outer[block // NESTED_BLOCK] + offset for block, place in enumerate(chosen)]
    else:
        arrays["weight.absmax"] = rng.uniform(0.1, 0.4, blocks).astype(np.float32)
        scales = list(arrays["weight.absmax"])
    document = np.frombuffer(json.dumps(state).encode(), np.uint8).copy()
    arrays[f"weight.quant_state.bitsandbytes__{kind}"] = document
    values = np.array([table[place] * scales[index // BLOCK] for index, place in enumerate(places)], np.float32)
    if kind == "fp4":  # which becomes the type that was quantized
        values = values.astype(np.float16).astype(np.float32)
    return arrays, values.reshape(rows, columns)


def eight_bits(rng: np.random.Generator, rows: int, columns: int) -> Packed:
    weight, largest = rng.integers(-127, 128, (rows, columns), np.int8), rng.uniform(0.2, 0.5, rows).astype(np.float32)
    arrays = {"weight": weight, "SCB": largest, "weight_format": np.array(0, np.uint8)}
    return arrays, weight * (largest / np.float32(127))[:, None]


def _random(
    rng: np.random.Generator, rows: int, columns: int, bits: int, first: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Integers, zero points from `first` on, scales, and weights: float32 [rows, columns]."""
    integers = rng.integers(0, 1 << bits, (rows, columns))
    zeros = rng.integers(first, 1 << bits, (rows, columns // GROUP))
    scales = rng.uniform(0.5, 1, (rows, columns // GROUP)).astype(np.float16) * np.float16(0.5 / (1 << bits))
    values = (integers - np.repeat(zeros, GROUP, axis=1)) * np.repeat(scales.astype(np.float32), GROUP, axis=1)
    return integers, zeros, scales, values.astype(np.float32)


def _words(integers: np.ndarray, bits: int) -> np.ndarray:
    """Rows of integers in 32-bit numbers, the first in the lowest bits."""
    per_word = 32 // bits
    parts = integers.astype(np.uint64).reshape(len(integers), -1, per_word)
    words = sum(parts[..., place] << np.uint64(bits * place) for place in range(per_word))
    return np.asarray(words).astype(np.uint32).view(np.int32)


def _awq_words(integers: np.ndarray) -> np.ndarray:
    order = [0, 2, 4, 6, 1, 3, 5, 7]
    return _words(integers.reshape(len(integers), -1, 8)[..., order].reshape(integers.shape), 4)


def _gptq_settings(bits: int, **more: object) -> dict:
    return {"quant_method": "gptq", "bits": bits, "group_size": GROUP, "sym": False, **more}


FP8 = {"quant_method": "fp8", "fmt": "e4m3", "activation_scheme": "dynamic", "weight_block_size": [GROUP, GROUP]}


FP8_ROWS = {"quant_method": "compressed-tensors", "format": "float-quantized"}


def _compressed_settings(bits: int, symmetric: bool) -> dict:
    weights = {"num_bits": bits, "type": "int", "symmetric": symmetric, "strategy": "group", "group_size": GROUP}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups}


def _four_bit_settings(kind: str) -> dict:
    return {"quant_method": "bitsandbytes", "load_in_4bit": True, "load_in_8bit": False, "bnb_4bit_quant_type": kind}


def _with(pack: Callable[..., Packed], **options: object) -> Callable[[np.random.Generator, int, int], Packed]:
    return lambda *arguments: pack(*arguments, **options)


METHODS: dict[str, tuple[Callable[[np.random.Generator, int, int], Packed], dict]] = {
    "AWQ": (awq, {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": True, "version": "gemm"}),
    "GPTQ": (gptq, _gptq_settings(4)),
    "GPTQ in 8 bits": (_with(gptq, bits=8), _gptq_settings(8)),
    "GPTQ with act-order": (_with(gptq, act_order=True), _gptq_settings(4, desc_act=True)),
    "W4A16": (compressed_tensors, _compressed_settings(4, True)),
    "W4A16, asymmetric": (
        _with(compressed_tensors, symmetric=False),
        _compressed_settings(4, False),
    ),
    "W8A16": (_with(compressed_tensors, bits=8), _compressed_settings(8, True)),
    "FP8": (fp8, FP8),
    "FP8, a scale for each row": (_with(fp8, per_row=True), FP8_ROWS),
    "NF4": (four_bits, _four_bit_settings("nf4")),
    "NF4, double quantized": (_with(four_bits, double=True), _four_bit_settings("nf4")),
    "FP4": (_with(four_bits, kind="fp4"), _four_bit_settings("fp4")),
    "LLM.int8": (eight_bits, {"quant_method": "bitsandbytes", "load_in_4bit": False, "load_in_8bit": True}),
}
