"""A checkpoint → a folder with `decoder`'s graph, without building the model in PyTorch.

For checkpoints that are quantized already this is the only way: their weights, scales and zero points are kept.
"""

import math
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import openvino as ov

from llm_chatbot.convert.adapters.checkpoint_base import CheckpointBase
from llm_chatbot.convert.adapters.merging import write_merged
from llm_chatbot.convert.checkpoint.checkpoints import read_chat_tokenizer
from llm_chatbot.convert.checkpoint.generation import read_generation_config
from llm_chatbot.convert.direct.formats import QuantizationFormat, read_format
from llm_chatbot.convert.direct.header import DirectCheckpoint, read_direct
from llm_chatbot.convert.direct.safetensors_files import stored_tensors
from llm_chatbot.convert.direct.settings import read_settings
from llm_chatbot.convert.direct.tensors import CheckpointTensors, quantized_shape
from llm_chatbot.convert.export.built_graph import write_built
from llm_chatbot.convert.export.saving import WriteGraph, save
from llm_chatbot.convert.resources import check_resources
from llm_chatbot.convert.side_files import write_side_files
from llm_chatbot.convert.unpacking import unpacking_of
from llm_chatbot.decoder.build import build_graph
from llm_chatbot.decoder.memory import Memory
from llm_chatbot.errors import UserError
from llm_chatbot.folder.variant import Variant
from llm_chatbot.gguf.end_tokens import listed_ids
from llm_chatbot.machine.json_progress import write_step


def write_direct(
    variant: Variant, path: Path, config: Mapping[str, Any], folder: Path, write: WriteGraph
) -> dict[str, Any]:
    """Writes a variant's files, all but the manifest, to an empty folder.

    Args:
        path: the checkpoint's folder.
        config: the content of its `config.json`.
        write: compresses a graph of 16-bit weights and writes it.

    Returns:
        What the manifest records, as `write_model` of `convert/pipeline.py`.

    Raises:
        UserError: the architecture or the format of the weights is not supported, weights are NaN or infinite, or disk
            or memory is too small.
    """
    format = read_format(path, config)
    is_kept = format is not None and format.is_kept
    if format is not None and variant.config.adapters:
        raise UserError("adapter.quantized", name=variant.config.model_id)
    if format is not None and is_kept:
        _check_precision(variant, format)
    checkpoint = read_direct(path, config)
    parameters = _parameters(checkpoint, format)
    stacking = replace(variant.config, stacks_experts=bool(checkpoint.experts))
    check_resources(replace(variant, config=stacking), parameters, folder)
    _write_side_files(variant, path, config, folder)
    with tempfile.TemporaryDirectory(dir=folder) as merged:
        if variant.config.adapters:
            checkpoint = read_direct(path, config, _merged(variant, path, config, Path(merged)))

        def build(memory: Memory) -> ov.Model:
            unpacking = None if is_kept else unpacking_of(variant)
            with CheckpointTensors(checkpoint, format, memory, unpacking) as tensors:
                return build_graph(checkpoint.header, checkpoint.row, tensors)

        write_built(build, folder, save if is_kept or variant.precision == "FP16" else write)
    return {"parameters": parameters, "quantization": format.name if format else None}


def _merged(variant: Variant, path: Path, config: Mapping[str, Any], folder: Path) -> Path:
    """A file, in a folder, with the tensors that adapters change.

    Raises:
        UserError: see `write_merged`.
    """
    tied = frozenset({"model.embed_tokens.weight"} if read_settings(path, config).is_tied else ())
    base = CheckpointBase(variant.config.model_id, stored_tensors(path), tied)
    return write_merged(variant.config.adapters, base, folder)


def _check_precision(variant: Variant, format: QuantizationFormat) -> None:
    """
    Raises:
        UserError: the checkpoint's own weights have another number of bits than the variant.
    """
    fitting = "INT4" if format.bits <= 4 else "INT8"
    if variant.precision != fitting:
        raise UserError("direct.precision", name=variant.config.model_id, format=format.name, precision=fitting)
    print(f"The checkpoint is quantized already ({format.name}): its own weights and scales are kept.")


def _parameters(checkpoint: DirectCheckpoint, format: QuantizationFormat | None) -> int:
    shapes = [info.shape for info in checkpoint.header.tensors.values()]
    shapes += [quantized_shape(checkpoint, format, name) for name in checkpoint.parts]
    return sum(map(math.prod, shapes))


def _write_side_files(variant: Variant, path: Path, config: Mapping[str, Any], folder: Path) -> None:
    write_step("Tokenizer")
    generation = read_generation_config(path)
    named = listed_ids(generation.get("eos_token_id", config.get("eos_token_id")))
    tokenizer, ends = read_chat_tokenizer(variant.config, path, named)
    kept = {key: value for key, value in config.items() if key != "quantization_config"}
    kept["name_or_path"] = variant.config.model_id
    write_side_files(folder, tokenizer, kept, {**generation, "eos_token_id": ends})
