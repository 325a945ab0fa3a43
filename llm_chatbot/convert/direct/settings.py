"""A checkpoint's `config.json` → the keys that a GGUF file would have, and the row of `decoder/rows.py` that fits."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from transformers import CONFIG_MAPPING

from llm_chatbot.convert.checkpoint.invalid import reading_settings
from llm_chatbot.decoder.rows import ROWS, DecoderRow
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.header import Fields

# Keys of `config.json` by the ends of a GGUF file's.
SIZES = {
    "num_hidden_layers": ("block_count",),
    "hidden_size": ("embedding_length",),
    "intermediate_size": ("feed_forward_length",),
    "num_attention_heads": ("attention.head_count",),
    "num_key_value_heads": ("attention.head_count_kv",),
    "head_dim": ("attention.key_length", "attention.value_length"),
    "max_position_embeddings": ("context_length",),
    "vocab_size": ("vocab_size",),
    "rms_norm_eps": ("attention.layer_norm_rms_epsilon",),
}
GRANITES = {
    "embedding_multiplier": ("embedding_scale",),
    "residual_multiplier": ("residual_scale",),
    "attention_multiplier": ("attention.scale",),
    "logits_scaling": ("logit_scale",),
}
EXPERTS = {
    "num_experts": ("expert_count",),
    "num_local_experts": ("expert_count",),
    "num_experts_per_tok": ("expert_used_count",),
    "norm_topk_prob": ("expert_weights_norm",),
}

# Keys that say nothing about how a trained model computes, or what its tensors say anyhow.
WITHOUT_EFFECT = {
    "_name_or_path",
    "architectures",
    "attention_bias",
    "attention_dropout",
    "bos_token_id",
    "decoder_sparse_step",
    "dtype",
    "embd_pdrop",
    "eos_token_id",
    "id2label",
    "initializer_range",
    "label2id",
    "max_window_layers",
    "mlp_bias",
    "mlp_only_layers",
    "moe_intermediate_size",
    "output_router_logits",
    "pad_token_id",
    "pretraining_tp",
    "quantization_config",
    "resid_pdrop",
    "residual_dropout",
    "router_aux_loss_coef",
    "router_jitter_noise",
    "shared_expert_intermediate_size",
    "tie_word_embeddings",
    "torch_dtype",
    "transformers_version",
    "use_cache",
}
# Keys that are read here.
READ = {
    "layer_types",
    "no_rope_layers",
    "original_max_position_embeddings",
    "partial_rotary_factor",
    "rope_parameters",
    "sliding_window",
    "use_sliding_window",
}
UNROTATED = 4  # each layer of SmolLM3 whose number, counted from 1, this divides


@dataclass(frozen=True)
class DirectRow:
    """How the checkpoints of a `model_type` of Transformers differ from a GGUF file.

    Attributes:
        architecture: the name that a GGUF file has for it.
        halves: whether pairs of values that rotate together are the halves of a head, while llama.cpp sorts the rows of
            its files so that they are neighbours.
        keys: further keys of `config.json`, by the ends of a GGUF file's.
    """

    architecture: str
    halves: bool = False
    keys: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def has_experts(self) -> bool:
        return EXPERTS.items() <= self.keys.items()

    @property
    def decoder(self) -> DecoderRow:
        row = ROWS[self.architecture]
        return replace(row, rotary="halves") if self.halves else row


DIRECT_ROWS = {
    "llama": DirectRow("llama", halves=True),
    "mistral": DirectRow("llama", halves=True),
    "qwen2": DirectRow("qwen2"),
    "qwen3": DirectRow("qwen3"),
    "seed_oss": DirectRow("seed_oss"),
    "granite": DirectRow("granite", halves=True, keys=GRANITES),
    "olmo2": DirectRow("olmo2"),
    "smollm3": DirectRow("smollm3", halves=True),
    "arcee": DirectRow("arcee", halves=True),
    "phi3": DirectRow("phi3"),
    "qwen2_moe": DirectRow("qwen2moe", keys=EXPERTS),
    "qwen3_moe": DirectRow("qwen3moe", keys=EXPERTS),
    "mixtral": DirectRow("llama", halves=True, keys=EXPERTS),
    "olmoe": DirectRow("olmoe", keys=EXPERTS),
}


class CheckpointFields(Fields):
    """The keys of a GGUF file that has a checkpoint's settings."""

    def __init__(self, path: Path, values: Mapping[str, Any]) -> None:
        super().__init__(path, {})
        self._values = values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


@dataclass(frozen=True)
class Settings:
    """The settings of a checkpoint.

    Attributes:
        row: how the model's checkpoints differ from a GGUF file.
        fields: the same settings as a GGUF file has them.
        is_tied: whether one table is for input and output.
        frequency_factors: what divides the frequencies of rotary embeddings, float32 [size / 2]; None for nothing.
    """

    row: DirectRow
    fields: CheckpointFields
    is_tied: bool
    frequency_factors: np.ndarray | None = None


def read_settings(folder: Path, config: Mapping[str, Any]) -> Settings:
    """Reads a checkpoint's settings. Transformers' class gives what `config.json` leaves out.

    Args:
        config: the content of `config.json`.

    Raises:
        UserError: the architecture is not known here, a setting changes the computation in a way that is not, or a
            value is missing, or has the wrong type or range.
    """
    model_type = config["model_type"]
    if model_type not in DIRECT_ROWS:
        raise UserError("direct.architecture", folder=folder, type=repr(model_type), known=", ".join(DIRECT_ROWS))
    with reading_settings(folder):
        return _settings(folder, config, DIRECT_ROWS[model_type])


def _settings(folder: Path, config: Mapping[str, Any], row: DirectRow) -> Settings:
    config_class = CONFIG_MAPPING[config["model_type"]]
    parsed, defaults = config_class.from_dict(dict(config)).to_dict(), config_class().to_dict()
    names = {**SIZES, **row.keys}
    for key, default in defaults.items():
        if key not in names.keys() | WITHOUT_EFFECT | READ and parsed.get(key) != default:
            raise _not_supported(folder, key, parsed.get(key))
    _check_layers(folder, parsed)
    values = {end: parsed[key] for key, ends in names.items() if parsed.get(key) is not None for end in ends}
    head_size = values.get("attention.key_length", parsed["hidden_size"] // parsed["num_attention_heads"])
    said = dict(parsed["rope_parameters"])
    values["rope.dimension_count"] = size = int(head_size * said.get("partial_rotary_factor", 1.0))
    rotary, factors = _rotation(folder, said, size)
    values |= rotary
    fields = {f"{row.architecture}.{end}": value for end, value in values.items()}
    path = folder / "config.json"
    fields = {"general.architecture": row.architecture, **fields}
    return Settings(row, CheckpointFields(path, fields), bool(parsed["tie_word_embeddings"]), factors)


def _check_layers(folder: Path, parsed: Mapping[str, Any]) -> None:
    """
    Raises:
        UserError: layers see a window of the conversation only, or other ones than usual rotate.
    """
    rotate = parsed.get("no_rope_layers") or []  # 1 for those that do, in spite of the name
    if any(bool(flag) != bool(number % UNROTATED) for number, flag in enumerate(rotate, start=1)):
        raise _not_supported(folder, "no_rope_layers", rotate)
    kinds = set(parsed.get("layer_types") or ()) - {"full_attention"}
    window = parsed.get("sliding_window") if parsed.get("use_sliding_window", True) else None
    if kinds or (window and window < parsed["max_position_embeddings"]):
        raise _not_supported(folder, "sliding_window", window)


def _rotation(folder: Path, said: dict[str, Any], size: int) -> tuple[dict[str, Any], np.ndarray | None]:
    """The keys for rotary embeddings, and the factors of Llama 3's scaling.

    Args:
        said: `rope_parameters` of Transformers 5.
        size: how many values of a head rotate.

    Raises:
        UserError: they are scaled in a way that is not supported.
    """
    kind, base = said.get("rope_type", "default"), said["rope_theta"]
    keys = {"rope.freq_base": float(base)}
    if kind == "default":
        return keys, None
    if kind == "linear":
        return {**keys, "rope.scaling.type": "linear", "rope.scaling.factor": float(said["factor"])}, None
    if kind == "llama3":
        return keys, _llama3_factors(said, base ** (-np.arange(0, size, 2) / size))
    raise _not_supported(folder, "rope_type", kind)


def _llama3_factors(said: Mapping[str, Any], frequencies: np.ndarray) -> np.ndarray:
    """The numbers that Llama 3.1 divides frequencies by: 1 for fast ones, `factor` for those that did not turn often
    enough in the original context, something between for those between.

    As `_compute_llama3_parameters` of Transformers.

    Args:
        frequencies: of each pair of values, radians per position [size / 2].
    """
    turns = said["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    low, high = said["low_freq_factor"], said["high_freq_factor"]
    kept = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - kept) / said["factor"] + kept)).astype(np.float32)


def _not_supported(folder: Path, key: str, value: Any) -> UserError:
    return UserError("direct.setting", folder=folder, key=key, value=f"{value!r:.80}")
