"""An adapter as the library PEFT saves it: `adapter_config.json` and `adapter_model.safetensors`.

The names and what is computed with them: https://github.com/huggingface/peft/tree/v0.21.2/src/peft/tuners/lora. A
setting that changes the computation and is not followed here is refused by its name.
"""

import math
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from llm_chatbot.adapters.low_rank import Adapter, LowRank
from llm_chatbot.catalogue.adapter_names import ADAPTER_CONFIG
from llm_chatbot.errors import UserError
from llm_chatbot.sources.json_files import read_checkpoint_json
from llm_chatbot.sources.safetensors_format import read_header

PEFT_WEIGHTS = "adapter_model.safetensors"

# Settings that are read here, or that say how the adapter was trained.
FOLLOWED = {
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "bias",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "init_lora_weights",
    "layers_pattern",
    "layers_to_transform",
    "lora_alpha",
    "lora_dropout",
    "megatron_core",
    "modules_to_save",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "runtime_config",
    "target_modules",
    "task_type",
    "use_dora",
    "use_rslora",
}
# Other ways to begin, such as PiSSA's, also change the model's own weights.
BEGINNINGS = (None, True, False, "gaussian", "eva", "orthogonal")

_PREFIX = "base_model.model."
_PARTS = re.compile(r"(.+)\.lora_(A\.weight|B\.weight|embedding_A|embedding_B|magnitude_vector)(?:\.weight)?")


def read_peft(folder: Path, weight: float, name: str) -> Adapter:
    """Reads an adapter.

    Args:
        folder: with its two files.
        weight: what its change is multiplied by.
        name: for messages.

    Raises:
        UserError: a file is missing or damaged, or the adapter is of another kind than LoRA and DoRA, or has a part
            that is not supported.
    """
    config = read_checkpoint_json(folder / ADAPTER_CONFIG)
    _check_settings(config, name)
    if not (folder / PEFT_WEIGHTS).is_file():
        raise UserError("adapter.no_weights", folder=folder, file=PEFT_WEIGHTS)
    parts: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    replaced: dict[str, np.ndarray] = {}
    for key, tensor in read_header(folder / PEFT_WEIGHTS).items():
        full = key.removeprefix(_PREFIX)
        if match := _PARTS.fullmatch(full):
            parts[match[1]][match[2].removesuffix(".weight")] = tensor.floats()
        elif ".lora_" in full or full == key:
            raise UserError("adapter.tensor", name=name, tensor=f"{key:.120}")
        else:
            replaced[full.replace(".base_layer.", ".")] = tensor.floats()
    if replaced and weight != 1:
        raise UserError("adapter.whole_weight", name=name, tensor=f"{next(iter(replaced)):.120}")
    low_rank = {layer: _low_rank(layer, found, config, weight, name) for layer, found in parts.items()}
    return Adapter(name, low_rank, replaced)


def _check_settings(config: Mapping[str, Any], name: str) -> None:
    """
    Raises:
        UserError: one of them is not followed here.
    """
    if config.get("peft_type") != "LORA":
        raise UserError("adapter.kind", name=name, kind=f"{config.get('peft_type')!r:.80}")
    wrong = {key: value for key, value in config.items() if key not in FOLLOWED and value}
    wrong.pop("loftq_config", None)  # of the beginning
    wrong |= {key: config[key] for key in ("bias",) if config.get(key, "none") != "none"}
    if config.get("init_lora_weights") not in BEGINNINGS:
        wrong["init_lora_weights"] = config["init_lora_weights"]
    for key, value in wrong.items():
        raise UserError("adapter.setting", name=name, key=key, value=f"{value!r:.80}")


def _low_rank(
    layer: str, parts: Mapping[str, np.ndarray], config: Mapping[str, Any], weight: float, name: str
) -> LowRank:
    """
    Raises:
        UserError: the parts don't fit together.
    """
    is_embedding = "embedding_A" in parts or "embedding_B" in parts
    kind = "embedding_" if is_embedding else ""
    needed = {f"{kind}A", f"{kind}B"}
    if parts.keys() - {"magnitude_vector"} != needed or (is_embedding and "magnitude_vector" in parts):
        raise UserError("adapter.tensor", name=name, tensor=f"{layer:.80}: {', '.join(sorted(parts))}")
    a, b = parts[f"{kind}A"], parts[f"{kind}B"]
    if a.ndim != 2 or b.ndim != 2 or len(a) != b.shape[1]:
        raise UserError("adapter.ranks", name=name, layer=f"{layer:.120}", a=list(a.shape), b=list(b.shape))
    rank = len(a)
    alpha = _of_pattern(config.get("alpha_pattern"), layer, config.get("lora_alpha"), name)
    scale = weight * alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    outputs_first = not (is_embedding or config.get("fan_in_fan_out"))
    left, right = (b, a) if outputs_first else (a.T, b.T)
    magnitude = parts.get("magnitude_vector")
    if magnitude is not None:
        magnitude = magnitude.reshape(-1)
        if magnitude.size != len(b):
            raise UserError("adapter.ranks", name=name, layer=f"{layer:.120}", a=list(magnitude.shape), b=list(b.shape))
    return LowRank(left, right, scale, magnitude, outputs_first)


def _of_pattern(pattern: Any, layer: str, default: Any, name: str) -> float:
    """The value of the first key that a layer's name is or ends with. PEFT takes regular expressions; only "^" and "."
    of them are followed, because those of strangers can take forever.

    Raises:
        UserError: a key is another expression, or there is no number.
    """
    found = default
    for key, value in (pattern or {}).items():
        plain = key.replace("\\.", ".").removeprefix("^").removesuffix("$")
        if re.search(r"[^\w.-]", plain):
            raise UserError("adapter.setting", name=name, key="alpha_pattern", value=f"{key!r:.80}")
        if layer == plain or (layer.endswith(f".{plain}") and not key.startswith("^")):
            found = value
            break
    if isinstance(found, bool) or not isinstance(found, int | float) or not math.isfinite(found):
        raise UserError("adapter.setting", name=name, key="lora_alpha", value=f"{found!r:.80}")
    return float(found)
