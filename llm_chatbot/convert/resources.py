"""Disk space and memory: what a conversion needs, and whether it is available."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from llm_chatbot.errors import UserError
from llm_chatbot.folder.variant import Variant
from llm_chatbot.machine.disk import available_disk
from llm_chatbot.machine.memory import available_memory

# Memory for a model of any size, beside the page cache: measured by benchmarks/conversion.py.
MEMORY_NEEDED = 1_500_000_000
# Bytes for each weight when scale estimation runs the model on text.
MEMORY_PER_WEIGHT_RUN = 4
# Bytes for each weight of a mixture of experts whose matrices are joined or unpacked in memory, as Transformers does.
MEMORY_PER_EXPERT_WEIGHT = 2

# Graph and tokenizers.
BYTES_BESIDE_WEIGHTS = 20_000_000

# Bytes of a key or value in the KV cache: 16 bits, as on a CPU with bfloat16. Where the runtime takes 8, half will do.
BYTES_PER_KV_VALUE = 2
RECURRENT_KINDS = ("conv", "linear_attention", "mamba")  # layers whose state doesn't grow with a conversation
# What a chat takes besides weights and KV cache: kernels, activations, logits. With the embedded model, 0.1 to 0.15 GB.
CHAT_MEMORY_BESIDE = 200_000_000


def check_resources(variant: Variant, parameters: int, folder: Path, weights: int | None = None) -> None:
    """Prints what a conversion needs and what is available, and refuses one that cannot fit.

    Args:
        variant: what is to be made.
        parameters: the model's number of weights.
        folder: on the disk that gets the result.
        weights: bytes of a GGUF file's own weights, where the result has these.

    Raises:
        UserError: disk or memory is too small.
    """
    disk, free_disk = disk_needed(variant, parameters, weights), available_disk(folder)
    memory, free_memory = memory_needed(variant, parameters), available_memory()
    print(
        f"{variant.config.model_id} in {variant.precision} needs about {_gb(disk)} of disk space ({_gb(free_disk)} "
        f"free) and {_gb(memory)} of memory ({_gb(free_memory)} free)."
    )
    if free_disk < disk:
        raise UserError("convert.disk", folder=folder.parent, free=_gb(free_disk), needed=_gb(disk))
    if free_memory < memory:
        raise UserError("convert.memory", free=_gb(free_memory), needed=_gb(memory))


def disk_needed(variant: Variant, parameters: int, weights: int | None = None) -> int:
    """Bytes of disk for the result and what waits beside it meanwhile; an upper estimate.

    That is a second copy of the weights while they are compressed or unpacked, and in 16 bits those of a GGUF file or
    of experts whose matrices are joined.

    Args:
        weights: see `check_resources`.
    """
    if weights is not None:
        return 2 * weights + BYTES_BESIDE_WEIGHTS
    copies = 1 if variant.precision == "FP16" else 2
    unpacked = 2 * parameters if variant.config.is_gguf or variant.config.stacks_experts else 0
    return int(1.1 * copies * weights_size(variant, parameters)) + unpacked + BYTES_BESIDE_WEIGHTS


def weights_size(variant: Variant, parameters: int) -> float:
    """Bytes of a variant's weights, about."""
    return parameters * variant.config.bits_per_weight(variant.precision) / 8


@cache
def computes_in_16_bits() -> bool:
    """Whether this machine's processor has arithmetic of 16 bits, in which the runtime keeps 16-bit weights."""
    import openvino as ov  # here, because a conversion that is refused before needs no runtime

    return bool({"BF16", "FP16"} & set(ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")))


def weights_in_memory(weights: float, precision: str) -> float:
    """Bytes that a variant's weights take in the runtime's own layout. Without 16-bit arithmetic, FP16 becomes FP32."""
    return 2 * weights if precision == "FP16" and not computes_in_16_bits() else weights


def chat_memory(weights: float, kv_values: int, context: int) -> int:
    """Bytes of memory for a chat that fills a context, beside the page cache.

    The runtime keeps a copy of the weights in its own layout. The pages of the file that it made them from are the page
    cache's, which gives them up where memory is short.

    Args:
        weights: bytes of the model's weights, see `weights_in_memory`.
        kv_values: keys and values of each token, see `kv_values_per_token`.
        context: tokens, prompt and answer together.
    """
    return int(weights + BYTES_PER_KV_VALUE * kv_values * context + CHAT_MEMORY_BESIDE)


def kv_values_per_token(config: Mapping[str, Any]) -> int | None:
    """How many keys and values each token adds to the KV cache: 2 × layers × KV heads × head size.

    Args:
        config: a checkpoint's `config.json`, in which architectures have their own names for these.

    Returns:
        None if the configuration doesn't say. Models with a sliding window or shared layers need less.
    """
    config = config.get("text_config") or config

    def first(*names: str) -> int | None:
        return next((config[name] for name in names if isinstance(config.get(name), int)), None)

    kinds = config.get("layer_types") or []
    kinds = kinds if isinstance(kinds, list) else []
    shared = first("num_kv_shared_layers") or 0  # the last ones, which read another layer's
    layers = (first("num_hidden_layers", "n_layers", "n_layer", "num_layers") or 0) - shared
    heads = first("num_attention_heads", "n_heads", "n_head")
    hidden = first("hidden_size", "d_model", "n_embd")
    groups = first("multi_query_group_num") if config.get("multi_query_attention") else None
    kv_heads = groups or first("num_key_value_heads") or heads
    head_size = first("head_dim", "kv_channels") or (hidden // heads if hidden and heads else None)
    if not (layers > 0 and kv_heads and head_size):
        return None
    recurrent = sum(kind in RECURRENT_KINDS for kind in kinds[:layers])
    wide = kinds[:layers].count("full_attention") if (wide_size := first("global_head_dim")) else 0
    wide_heads = (config.get("attention_k_eq_v") and first("num_global_key_value_heads")) or kv_heads
    return 2 * ((layers - recurrent - wide) * kv_heads * head_size + wide * wide_heads * (wide_size or 0)) or None


def memory_needed(variant: Variant, parameters: int) -> int:
    """Bytes of memory for a conversion, beside the page cache."""
    memory = MEMORY_NEEDED
    if variant.config.active_parameters and not variant.config.stacks_experts:
        memory += MEMORY_PER_EXPERT_WEIGHT * parameters
    if variant.compression.get("scale_estimation"):
        memory += MEMORY_PER_WEIGHT_RUN * parameters
    return memory


def _gb(size: int) -> str:
    return f"{size / 1e9:.1f} GB"
