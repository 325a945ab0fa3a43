"""One conversion: checkpoint → OpenVINO IR → compressed weights, written to a folder.

Importing this module takes seconds, because it brings PyTorch, Transformers, Optimum Intel and NNCF.
"""

import gc
import json
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nncf
import openvino as ov
from transformers import PreTrainedTokenizerBase

from llm_chatbot.convert.checkpoint.adapted import add_adapters
from llm_chatbot.convert.checkpoint.architectures import is_quantized, read_checkpoint_config
from llm_chatbot.convert.checkpoint.checkpoints import fetch_checkpoint, load_checkpoint
from llm_chatbot.convert.checkpoint.finite import check_finite
from llm_chatbot.convert.checkpoint.image_settings import copy_image_settings
from llm_chatbot.convert.direct.folder import write_direct
from llm_chatbot.convert.direct.header import can_stack_experts
from llm_chatbot.convert.export.calibration import calibration_dataset
from llm_chatbot.convert.export.compression import compress_and_save
from llm_chatbot.convert.export.exporter import can_hand_over, export
from llm_chatbot.convert.export.quiet import quiet
from llm_chatbot.convert.export.saving import save
from llm_chatbot.convert.gguf.folder import write_unpacked
from llm_chatbot.convert.resources import check_resources
from llm_chatbot.convert.tokenizer.original_tokenizers import read_tokenizer
from llm_chatbot.folder.current import compare_folder
from llm_chatbot.folder.manifest import (
    FURTHER_IMAGE_PARTS,
    LANGUAGE_XML,
    MANIFEST,
    MODEL_CACHE,
    TEXT_EMBEDDINGS_XML,
    VISION_XML,
    graph_files,
    reads_images,
)
from llm_chatbot.folder.template_check import check_chat_template
from llm_chatbot.folder.variant import Variant
from llm_chatbot.gguf.end_tokens import end_token_ids, listed_ids
from llm_chatbot.machine.json_progress import write_step
from llm_chatbot.sources.gguf_files import found_files
from llm_chatbot.sources.hub import download_converted
from llm_chatbot.sources.json_files import read_checkpoint_json

# If the group size does not divide a row, NNCF uses smaller groups for it, or 8 bits. No row of the catalogue needs
# that; other models may.
SMALLER_GROUPS = nncf.AdvancedCompressionParameters(group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST)

# In the names of what a layer with a gated delta rule is made of. It gets 8 bits: in 4, its state is soon far off.
GATED_DELTA = ".linear_attn."


def write_model(variant: Variant, folder: Path) -> dict[str, Any]:
    """Writes a variant's files, all but the manifest, to an empty folder.

    A current FP16 variant is compressed; otherwise the checkpoint is converted, without writing a 16-bit model first.

    Returns:
        What the manifest records of the source: the number of `parameters`, what identifies its files, and how a GGUF
        file is quantized; of an FP16 folder also its `checks`, see `check_folder`.

    Raises:
        UserError: disk or memory is too small, or the checkpoint cannot be downloaded or read.
    """
    if variant.prebuilt:
        return _take_prebuilt(variant, folder)
    fp16 = replace(variant, precision="FP16")
    if variant.precision != "FP16" and (found := compare_folder(fp16)).is_current:
        return _compress_fp16(variant, fp16.folder, found.manifest, folder)
    convert = _convert_gguf if variant.config.is_gguf else _convert_checkpoint
    return convert(variant, folder)


def _compress_fp16(variant: Variant, fp16: Path, manifest: dict[str, Any], folder: Path) -> dict[str, Any]:
    """Writes a variant's files from its FP16 folder, whose manifest is given. Returns as `write_model`."""
    check_resources(variant, manifest["parameters"], folder)
    compress_folder(fp16, folder, variant.compression)
    kept = ("parameters", "gguf_type", "quantization", "checkpoint_files", "checks")
    return {fact: manifest[fact] for fact in kept if fact in manifest}


def _take_prebuilt(variant: Variant, folder: Path) -> dict[str, Any]:
    """Copies OpenVINO's own folder of a model from the Hub. Returns as `write_model`."""
    config = variant.config
    assert config.openvino_id and config.parameters
    source = download_converted(config.openvino_id)
    shutil.copytree(source, folder, dirs_exist_ok=True)
    for name in ("config.json", "tokenizer_config.json"):  # names of Python files, which nobody is to run
        content = read_checkpoint_json(folder / name)
        content.pop("auto_map", None)
        (folder / name).write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if config.chat_format.template:
        (folder / "chat_template.jinja").write_text(config.chat_format.template, encoding="utf-8")
    tokenizer = read_tokenizer(folder)
    checked = check_chat_template(tokenizer.chat_template, tokenizer.special_tokens_map, config.openvino_id)
    _add_end_tokens(folder, end_token_ids(tokenizer, checked.after_answers))
    return {"parameters": config.parameters}


def _add_end_tokens(folder: Path, ids: set[int]) -> None:
    """Adds tokens that end an answer to a folder's generation settings."""
    path = folder / "generation_config.json"
    settings = read_checkpoint_json(path)
    settings["eos_token_id"] = sorted(listed_ids(settings.get("eos_token_id")) | ids)
    path.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")


def _convert_gguf(variant: Variant, folder: Path) -> dict[str, Any]:
    """Writes a variant's files from a GGUF file whose weights are unpacked. Returns as `write_model`."""
    return write_unpacked(variant, folder, save if variant.precision == "FP16" else _compressing(variant, folder))


def _compressing(variant: Variant, folder: Path) -> Callable[[ov.Model, Path], None]:
    """Compresses a graph and writes it, once the folder has its tokenizer."""
    return lambda graph, path: compress_part(graph, path, read_tokenizer(folder), variant.compression)


def _convert_checkpoint(variant: Variant, folder: Path) -> dict[str, Any]:
    """Writes a variant's files from its checkpoint. Returns as `write_model`."""
    config = variant.config
    if config.parameters:
        check_resources(variant, config.parameters, folder)
    write_step("Reading")
    with quiet():
        path = fetch_checkpoint(config)
        files = found_files(config)
    settings = read_checkpoint_config(path)
    if variant.direct or is_quantized(settings) or can_stack_experts(path, settings):
        return {
            **write_direct(variant, path, settings, folder, _compressing(variant, folder)),
            "checkpoint_files": files,
        }
    if config.stacks_experts and config.parameters:  # it was checked for another way than the export's
        exported = replace(variant, config=replace(config, stacks_experts=False))
        check_resources(exported, config.parameters, folder)
    with tempfile.TemporaryDirectory(dir=folder) as merged:
        return {**_export(variant, path, folder, Path(merged)), "checkpoint_files": files}


def _export(variant: Variant, path: Path, folder: Path, merged: Path) -> dict[str, Any]:
    """Writes a variant's files from its checkpoint, which Optimum Intel exports. Returns as `write_model`.

    Args:
        path: the checkpoint's folder.
        merged: a folder for what adapters make of the weights.
    """
    config = variant.config
    with quiet():
        model, tokenizer = load_checkpoint(config, path, variant.text_only)
        if config.adapters:
            add_adapters(model, config.model_id, config.adapters, merged)
    parameters = model.num_parameters()
    if not config.parameters:
        check_resources(variant, parameters, folder)
    if not variant.allow_non_finite:
        check_finite(model, config.model_id)

    if variant.precision == "FP16":
        export(model, tokenizer, folder)
    elif can_hand_over():
        export(model, tokenizer, folder, lambda ir, path: compress_part(ir, path, tokenizer, variant.compression))
    else:
        print("This version of Optimum Intel is untested, so the conversion takes more disk space and time.")
        export(model, tokenizer, folder / "16bit")
        compress_folder(folder / "16bit", folder, variant.compression)
        shutil.rmtree(folder / "16bit")
    if reads_images(folder):
        copy_image_settings(path, folder)
    del model  # before the files that it is mapped from are removed
    gc.collect()
    return {"parameters": parameters}


def compress_folder(source: Path, folder: Path, compression: dict[str, Any]) -> None:
    """Compresses the weights of a 16-bit variant and copies everything else.

    Args:
        source: the folder of the 16-bit variant.
        folder: an existing folder for the result.
        compression: see `Variant.compression`.
    """
    copy_side_files(source, folder)
    for part in graph_files(source):
        compress_part(ov.Core().read_model(part), folder / part.name, read_tokenizer(source), compression)


def copy_side_files(source: Path, folder: Path) -> None:
    """Copies the files of a converted folder that its variants have in common: all but graph, weights and manifest."""
    graphs = (file.with_suffix(suffix).name for file in graph_files(source) for suffix in (".xml", ".bin"))
    own = shutil.ignore_patterns(*graphs, MANIFEST, MODEL_CACHE)
    shutil.copytree(source, folder, ignore=own, dirs_exist_ok=True)


def compress_part(ir: ov.Model, path: Path, tokenizer: PreTrainedTokenizerBase, compression: dict[str, Any]) -> None:
    """Compresses a graph of a folder: as the settings say, or to 8 bits if it reads images or has the tokens' vectors.

    Args: as `compress_model`.
    """
    if path.name in (TEXT_EMBEDDINGS_XML, VISION_XML, *FURTHER_IMAGE_PARTS):
        compress_and_save(ir, path, mode=nncf.CompressWeightsMode.INT8_ASYM)
    else:
        compress_model(ir, path, tokenizer, compression)


def compress_model(
    model: ov.Model, path: Path, tokenizer: PreTrainedTokenizerBase, compression: dict[str, Any]
) -> None:
    """Compresses a model's weights and writes it to `path` (.xml) and the .bin beside it.

    Args:
        model: with 16-bit weights; it cannot be used afterwards.
        tokenizer: the model's, for methods that run it on sample text.
        compression: see `Variant.compression`.
    """
    arguments = {**compression, "mode": nncf.CompressWeightsMode[compression["mode"]]}
    if compression.get("scale_estimation") and path.name == LANGUAGE_XML:
        print("The language model of one that reads images takes no sample text, so scale estimation is left out.")
        del arguments["scale_estimation"]
    elif compression.get("scale_estimation"):
        arguments["dataset"] = calibration_dataset(model, tokenizer)
    if "group_size" in compression:
        arguments["advanced_parameters"] = SMALLER_GROUPS
        if gated := [node.get_friendly_name() for node in model.get_ops() if GATED_DELTA in node.get_friendly_name()]:
            arguments["ignored_scope"] = nncf.IgnoredScope(names=gated, validate=False)
    compress_and_save(_without_outsiders(model), path, **arguments)


def _without_outsiders(model: ov.Model) -> ov.Model:
    """The graph without operations that read from it and lead nowhere, which NNCF takes for a part of it.

    The exporter leaves some behind in the loops of recurrent layers. A clone shares the weights.
    """
    own = {node.get_friendly_name() for node in model.get_ops()}
    readers = (
        reader.get_node() for node in model.get_ops() for out in node.outputs() for reader in out.get_target_inputs()
    )
    return model.clone() if any(reader.get_friendly_name() not in own for reader in readers) else model
