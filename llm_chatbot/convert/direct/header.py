"""A checkpoint as a GGUF file would describe it: keys by its `config.json`, tensors where they lie in its files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from gguf import MODEL_ARCH, MODEL_ARCH_NAMES, GGMLQuantizationType, TensorNameMap, get_tensor_name_map

from llm_chatbot.convert.direct.safetensors_files import stored_tensors
from llm_chatbot.convert.direct.settings import DIRECT_ROWS, Settings, read_settings
from llm_chatbot.decoder.rotary import FACTORS
from llm_chatbot.decoder.rows import DecoderRow
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.header import GGUFHeader, TensorInfo
from llm_chatbot.sources.safetensors_format import StoredTensor, read_header

FLOAT_TYPES = {"F32": GGMLQuantizationType.F32, "F16": GGMLQuantizationType.F16, "BF16": GGMLQuantizationType.BF16}

# The output layer, whatever a checkpoint calls it.
OUTPUT_LAYER = "output"

# In the names of what bitsandbytes stores beside a packed weight.
OF_WEIGHT = ".weight."

# In the names of an expert's matrices, which a GGUF file joins.
EXPERT = re.compile(r"\.experts\.(\d+)\.")

# Tensors that hold nothing that `config.json` does not say.
COMPUTED = (".rotary_emb.inv_freq",)


@dataclass(frozen=True)
class DirectCheckpoint:
    """A checkpoint whose graph can be written without PyTorch.

    Attributes:
        header: its keys and its tensors of floats, by the names that a GGUF file has for them.
        row: what the model is made of.
        parts: of quantized matrices, by the GGUF name of the matrix, then by the ends of the checkpoint's names.
        computed: vectors that no file has, by the GGUF name.
        experts: names in the header of matrices that a GGUF file has as one, by its name, in the order of the experts.
    """

    header: GGUFHeader
    row: DecoderRow
    parts: Mapping[str, Mapping[str, StoredTensor]]
    computed: Mapping[str, np.ndarray]
    experts: Mapping[str, Sequence[str]] = field(default_factory=dict)


def read_direct(folder: Path, config: Mapping[str, Any], merged: Path | None = None) -> DirectCheckpoint:
    """Reads what a checkpoint says of itself.

    Args:
        config: the content of its `config.json`.
        merged: a file with tensors that take the place of the checkpoint's.

    Raises:
        UserError: the architecture, a setting or a tensor is not supported, or a file is missing or damaged.
    """
    settings = read_settings(folder, config)
    stored = {**stored_tensors(folder), **(read_header(merged) if merged else {})}
    names = _name_map(settings)
    packed = {name.split(OF_WEIGHT)[0] for name in stored if OF_WEIGHT in name}
    infos: dict[str, TensorInfo] = {}
    parts: dict[str, dict[str, StoredTensor]] = {}
    counts: dict[str, int] = {}  # of experts, by what a GGUF file joins
    for name, tensor in stored.items():
        if name.endswith(COMPUTED):
            continue
        base, end = _split(name)
        expert = EXPERT.search(base)
        known = names.get_name(EXPERT.sub(".experts.", base))
        if known is None:
            raise UserError("direct.tensor", folder=folder, tensor=f"{name:.80}")
        if known == OUTPUT_LAYER and settings.is_tied:  # a copy of the embeddings, or left behind by another tool
            continue
        is_packed = end == "weight" and base in packed
        if expert is not None:
            if end != "weight" or tensor.type not in FLOAT_TYPES or is_packed:
                raise UserError("direct.tensor", folder=folder, tensor=f"{name:.80}")
            number = int(expert[1])
            infos[f"{known}.{number}.weight"] = _info(tensor)
            counts[known] = max(counts.get(known, 0), number + 1)
        elif end in ("weight", "bias") and tensor.type in FLOAT_TYPES and not is_packed:
            infos[f"{known}.{end}"] = _info(tensor)
        else:
            parts.setdefault(f"{known}.weight", {})[end] = tensor
    computed = {} if settings.frequency_factors is None else {FACTORS: settings.frequency_factors}
    header = GGUFHeader(folder / "config.json", settings.fields, infos)
    count = settings.fields.get(f"{settings.row.architecture}.expert_count", 0)
    experts = {f"{known}.weight": _experts(header, known, max(found, count)) for known, found in counts.items()}
    return DirectCheckpoint(header, settings.row.decoder, parts, computed, experts)


def can_stack_experts(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether a checkpoint has experts whose matrices can be joined in a file.

    A PyTorch model would have all of them in memory: docs/conversion.md has the figures.
    """
    row = DIRECT_ROWS.get(config["model_type"])
    if row is None or not row.has_experts:
        return False
    try:
        return bool(read_direct(folder, config).experts)
    except UserError:  # a setting or tensor that only the export follows
        return False


def _experts(header: GGUFHeader, known: str, count: int) -> list[str]:
    """The names in a header of the matrices of so many experts.

    Raises:
        UserError: one is missing.
    """
    names = [f"{known}.{number}.weight" for number in range(count)]
    for name in names:
        if name not in header.tensors:
            raise UserError("gguf.weights_missing", path=header.path.parent, name=name)
    return names


def _split(name: str) -> tuple[str, str]:
    """A tensor's name → that of its layer, and the end: "weight", "qweight", "weight.absmax"."""
    if OF_WEIGHT in name:
        base, _, end = name.partition(OF_WEIGHT)
        return base, f"weight.{end}"
    base, _, end = name.rpartition(".")
    return base, end


def _info(tensor: StoredTensor) -> TensorInfo:
    return TensorInfo(tensor.path, FLOAT_TYPES[tensor.type], tensor.shape, tensor.offset, tensor.size)


def _name_map(settings: Settings) -> TensorNameMap:
    """The names that a GGUF file has for the layers of a checkpoint."""
    architecture = next(key for key, known in MODEL_ARCH_NAMES.items() if known == settings.row.architecture)
    return get_tensor_name_map(MODEL_ARCH(architecture), settings.fields[f"{settings.row.architecture}.block_count"])
