"""Small GGUF files with random weights, for every supported block type and architecture."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from gguf import GGML_QUANT_SIZES, GGUFWriter, TokenType, dequantize
from gguf import GGMLQuantizationType as GGML
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoConfig
from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor, get_gguf_hf_weights_map

from tests.vocabularies import byte_level_tokens

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
    GGML.IQ2_XS: (0,),
    GGML.TQ1_0: (52,),
    GGML.TQ2_0: (64,),
    GGML.MXFP4: (),
    GGML.NVFP4: (),
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
    if type == GGML.MXFP4:  # whose first byte is an exponent
        blocks[:, 0] = rng.integers(118, 126, len(blocks))
    return blocks.reshape(*shape[:-1], -1)


def random_weights(type: GGML, shape: tuple[int, ...], rng: np.random.Generator, deviation: float = 0.05) -> np.ndarray:
    """Random rows whose weights have about this standard deviation."""
    sample = dequantize(random_rows(type, (8, shape[-1]), rng), type)
    return random_rows(type, shape, rng, 0.01 * deviation / float(sample.std()))


# What the header of a small model says; all of them are read by some architecture.
HYPERPARAMETERS = {
    "context_length": 256,
    "embedding_length": 256,
    "block_count": 2,
    "feed_forward_length": 512,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.key_length": 64,
    "attention.value_length": 64,
    "attention.layer_norm_epsilon": 1e-5,
    "attention.layer_norm_rms_epsilon": 1e-5,
    "attention.sliding_window": 64,
    "rope.dimension_count": 64,
    "rope.freq_base": 10000.0,
}
OTHER_HYPERPARAMETERS: dict[str, dict[str, float]] = {
    "bloom": {"attention.head_count_kv": 4, "feed_forward_length": 1024},
    "falcon": {"attention.head_count_kv": 1, "feed_forward_length": 1024},
    "gemma2": {"attention.key_length": 256, "attention.value_length": 256, "rope.dimension_count": 256},
    "gemma3": {"attention.key_length": 256, "attention.value_length": 256, "rope.dimension_count": 256},
    "stablelm": {"rope.dimension_count": 16},
    "gpt2": {"attention.head_count_kv": 4, "feed_forward_length": 1024, "context_length": 1024},
    # What Transformers doesn't read from a file is as in its configuration of such a model.
    "qwen2moe": {
        "expert_count": 4,
        "expert_used_count": 2,
        "expert_feed_forward_length": 1408,
        "expert_shared_feed_forward_length": 5632,
    },
    "qwen3": {"attention.key_length": 128, "attention.value_length": 128, "rope.dimension_count": 128},
    "qwen3moe": {"expert_count": 4, "expert_used_count": 2, "expert_feed_forward_length": 768},
}


# Types without a minimum, with which nothing is rounded, and those with one.
EXACT_TYPES = (GGML.Q4_0, GGML.Q6_K, GGML.Q8_0, GGML.Q5_0, GGML.Q3_K, GGML.IQ4_XS, GGML.IQ4_NL)
MINIMUM_TYPES = (GGML.Q4_K, GGML.Q5_K, GGML.Q2_K, GGML.Q4_1, GGML.Q5_1)

# Those that Transformers reads too.
ARCHITECTURES = (
    *("llama", "qwen2", "qwen2moe", "qwen3", "qwen3moe", "phi3", "gemma2", "gemma3"),
    *("gpt2", "starcoder2", "falcon", "stablelm", "bloom"),
)

# Architectures whose models of all sizes share the embeddings with the output layer.
TIED = ("gemma2", "gemma3", "falcon", "bloom")

DATA = Path(__file__).resolve().parent / "data"
MERGES = json.loads((DATA / "gguf_tokens.json").read_text(encoding="utf-8"))["merges"]


def write_architecture(path: Path, architecture: str) -> None:
    """A small model of an architecture in blocks with which nothing is rounded."""
    write_model(path, architecture, EXACT_TYPES, MERGES, tied=architecture in TIED)


def write_model(
    path: Path,
    architecture: str,
    types: Sequence[GGML],
    merges: list[tuple[str, str]],
    tied: bool = False,
    name: str = "small",
    rope_scaling: tuple[str, float] | None = None,
    rope_factors: np.ndarray | None = None,
    says_architecture: str | None = None,
    without: str | None = None,
) -> None:
    """A GGUF file with a small model, random but for its vocabulary.

    Args:
        types: of the matrices, in turn.
        merges: of the byte-level vocabulary.
        tied: whether there is no output layer but the embeddings.
        name: of the model.
        rope_scaling: the method by which positions are scaled, and its factor.
        rope_factors: what the wavelengths are multiplied by.
        says_architecture: what the header says instead of the truth.
        without: name of a tensor that is left out.
    """
    values: dict = {**HYPERPARAMETERS, **OTHER_HYPERPARAMETERS.get(architecture, {})}
    with tempfile.TemporaryDirectory() as folder:
        empty = Path(folder, "empty.gguf")
        _write(empty, architecture, values, merges, {})
        shapes = _tensor_shapes(empty, architecture, tied)
    rng = np.random.default_rng(0)
    tensors: dict[str, tuple[np.ndarray, GGML]] = {}
    for index, (name, shape) in enumerate(shapes.items()):
        if len(shape) == 1:
            around = 1 if "norm.weight" in name else 0
            tensors[name] = around + rng.standard_normal(shape).astype(np.float32) * np.float32(0.1), GGML.F32
        else:
            type = types[index % len(types)] if "gate_inp" not in name else GGML.F32
            if "_exps" in name:
                type = types[-1]
            tensors[name] = random_weights(type, shape, rng), type
    if rope_scaling:
        values |= {"rope.scaling.type": rope_scaling[0], "rope.scaling.factor": rope_scaling[1]}
    if rope_factors is not None:
        tensors["rope_freqs.weight"] = rope_factors, GGML.F32
    tensors.pop(without or "", None)
    _write(path, says_architecture or architecture, values, merges, tensors, name)


def _write(path: Path, architecture: str, values: dict, merges: list, tensors: dict, model_name: str = "small") -> None:
    writer = GGUFWriter(path, architecture)
    writer.add_name(model_name)
    adders: dict[type, Callable] = {float: writer.add_float32, int: writer.add_uint32, str: writer.add_string}
    for key, value in values.items():
        adders[type(value)](f"{architecture}.{key}", value)
    tokens = [*byte_level_tokens(merges), "<|begin|>", "<|end|>"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.NORMAL] * (len(tokens) - 2) + [TokenType.CONTROL] * 2)
    writer.add_token_merges([" ".join(merge) for merge in merges])
    writer.add_bos_token_id(len(tokens) - 2)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_pad_token_id(len(tokens) - 1)
    for name, (data, data_type) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=data_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _tensor_shapes(path: Path, architecture: str, tied: bool) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors of the model whose header is in `path`."""
    config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
    config.tie_word_embeddings = tied
    with torch.device("meta"):
        model = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)](config)
    processor = TENSOR_PROCESSORS.get(architecture, TensorProcessor)(config=config.to_dict())
    parameters = dict(model.named_parameters())
    shapes = {}
    for name, parameter in get_gguf_hf_weights_map(model, processor).items():
        if parameter not in parameters or (tied and name == "output.weight"):
            continue
        shape = tuple(parameters[parameter].shape)
        if name.endswith(("gate_exps", "up_exps")):
            shape = (shape[0], shape[1] // 2, shape[2])
        if architecture == "gpt2" and name.startswith("blk."):
            shape = shape[::-1]  # what GGUF files don't have is GPT-2's layout of a Linear layer
        shapes[f"{name}.weight" if name.endswith("_exps") else name] = shape[1:] if "inp_shexp" in name else shape
    return shapes
