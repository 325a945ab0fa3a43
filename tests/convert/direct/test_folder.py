"""A checkpoint's folder, written without PyTorch's graph, against Transformers' model."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.convert import pipeline, resources
from llm_chatbot.convert.checkpoint.architectures import check_architecture
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.convert.direct.header import read_direct
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.folder.manifest import MODEL_XML, read_manifest
from llm_chatbot.optimum_models import load_model
from tests import small_checkpoints, small_modern_checkpoints
from tests.quantized_checkpoints import METHODS, write_quantized

FLOATS = [method for method in METHODS if method.startswith(("FP4", "FP8"))]
STORED = {"W4A16": "i4", "W8A16": "i8", "LLM.int8": "i8", "NF4": "nf4", "NF4, double quantized": "nf4"}
PACKED = {ov.Type.u4, ov.Type.i4, ov.Type.u8, ov.Type.i8}
IDS = torch.arange(3, 103)[None]


def logits(folder: Path) -> np.ndarray:
    return load_model(folder, ov_config=EXACT)(input_ids=IDS).logits.numpy()


def expected_logits(model: PreTrainedModel) -> np.ndarray:
    with torch.no_grad():
        return model(input_ids=IDS).logits.numpy()


def constant_types(folder: Path) -> set[str]:
    nodes = ov.Core().read_model(folder / MODEL_XML).get_ops()
    return {node.get_element_type().get_type_name() for node in nodes if node.get_type_name() == "Constant"}


@pytest.mark.parametrize("method", [method for method in METHODS if method not in FLOATS])
def test_a_quantized_checkpoint_keeps_its_integers(method: str, tmp_path: Path):
    source = tmp_path / "quantized"
    source.mkdir()
    expected = expected_logits(write_quantized(source, method))
    precision = "INT8" if "8" in method else "INT4"
    folder = convert_model(str(source), precision, tmp_path / "models")
    assert expected.std() > 0.1
    np.testing.assert_allclose(logits(folder), expected, atol=1e-4 * np.abs(expected).max())
    assert STORED.get(method, {"INT4": "u4", "INT8": "u8"}[precision]) in constant_types(folder)
    assert "quantization_config" not in json.loads((folder / "config.json").read_text(encoding="utf-8"))
    assert read_manifest(folder)["quantization"]


@pytest.mark.parametrize("method", FLOATS)
def test_floats_of_few_bits_become_16_bits_and_whatever_is_made_of_these(method: str, tmp_path: Path):
    expected = expected_logits(write_quantized(tmp_path, method))
    folder = convert_model(str(tmp_path), "FP16", tmp_path / "models")
    np.testing.assert_allclose(logits(folder), expected, atol=1e-4 * np.abs(expected).max())
    assert "u8" in constant_types(convert_model(str(tmp_path), "INT8", tmp_path / "models"))


def test_an_unquantized_matrix_beside_quantized_ones_stays_as_it_is(tmp_path: Path):
    write_quantized(tmp_path, "AWQ")
    folder = convert_model(str(tmp_path), "INT4", tmp_path / "models")
    nodes = {node.get_friendly_name(): node for node in ov.Core().read_model(folder / MODEL_XML).get_ops()}
    stored = load_file(tmp_path / "model.safetensors")["lm_head.weight"].numpy()
    np.testing.assert_array_equal(nodes["output.weight"].data, stored)


@pytest.mark.parametrize(
    ("method", "precision", "wanted"), [("AWQ", "INT8", "INT4"), ("W8A16", "INT4", "INT8"), ("NF4", "FP16", "INT4")]
)
def test_another_precision_than_the_checkpoints_is_refused(method: str, precision: str, wanted: str, tmp_path: Path):
    write_quantized(tmp_path, method)
    with pytest.raises(UserError, match=f"--precision {wanted}"):
        convert_model(str(tmp_path), precision, tmp_path / "models")


def test_a_damaged_matrix_is_named(tmp_path: Path):
    write_quantized(tmp_path, "AWQ")
    tensors = load_file(tmp_path / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.scales"][0, 0] = float("nan")
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"blk\.1\.ffn_up\.weight .* not a finite number"):
        convert_model(str(tmp_path), "INT4", tmp_path / "models")


@pytest.mark.parametrize("end", ["qweight", "qzeros"])
def test_a_matrix_without_one_of_its_parts_is_named(end: str, tmp_path: Path):
    write_quantized(tmp_path, "AWQ")
    tensors = load_file(tmp_path / "model.safetensors")
    del tensors[f"model.layers.1.mlp.up_proj.{end}"]
    save_file(tensors, tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=rf"blk\.1\.ffn_up\.weight is not of .* names: no {end}\)"):
        convert_model(str(tmp_path), "INT4", tmp_path / "models")


def test_a_matrix_packed_in_16_bit_floats_is_read_by_its_bytes(tmp_path: Path):
    """As for training in parts (FSDP), which shards floats alone."""
    expected = expected_logits(write_quantized(tmp_path, "NF4"))
    tensors = load_file(tmp_path / "model.safetensors")
    for name, tensor in tensors.items():
        if tensor.dtype == torch.uint8 and name.endswith(".weight"):
            tensors[name] = tensor.reshape(-1).view(torch.bfloat16)[:, None]
    save_file(tensors, tmp_path / "model.safetensors")
    folder = convert_model(str(tmp_path), "INT4", tmp_path / "models")
    np.testing.assert_allclose(logits(folder), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b'{"eos_token_id": "</s>"}'])
def test_damaged_generation_settings_are_a_sentence(content: bytes, tmp_path: Path):
    write_quantized(tmp_path, "AWQ")
    (tmp_path / "generation_config.json").write_bytes(content)
    with pytest.raises(UserError, match=r"generation_config\.json is damaged"):
        convert_model(str(tmp_path), "INT4", tmp_path / "models")


@pytest.mark.parametrize("precision", ["INT8", "INT4"])
def test_a_directly_written_folder_has_the_weights_of_an_exported_one(precision: str, tmp_path: Path):
    small_checkpoints.write("tiny-llama-1b-chat", tmp_path)
    source = str(tmp_path / SUPPORTED_LLM_MODELS["tiny-llama-1b-chat"].model_id)
    direct = convert_model(source, precision, tmp_path / "direct", direct=True)
    exported = convert_model(source, precision, tmp_path / "exported")
    assert packed_constants(direct) == packed_constants(exported)
    expected = logits(exported)
    np.testing.assert_allclose(logits(direct), expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("precision", ["FP16", "INT8"])
def test_experts_are_joined_without_building_the_model(precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small_modern_checkpoints.write("qwen3-30b-a3b", tmp_path)
    source = str(tmp_path / SUPPORTED_LLM_MODELS["qwen3-30b-a3b"].model_id)
    with monkeypatch.context() as exporting:
        exporting.setattr(pipeline, "can_stack_experts", lambda *_: False)
        expected = logits(convert_model(source, precision, tmp_path / "exported"))
    monkeypatch.delattr(pipeline, "_export")
    written = logits(convert_model(source, precision, tmp_path / "written"))
    np.testing.assert_allclose(written, expected, atol=1e-3 * np.abs(expected).max())


def test_quantized_experts_are_refused_before_their_download(tmp_path: Path):
    small_modern_checkpoints.write("qwen3-30b-a3b", tmp_path)
    source = tmp_path / SUPPORTED_LLM_MODELS["qwen3-30b-a3b"].model_id
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    quantized = {**config, "quantization_config": {"quant_method": "gptq", "bits": 4}}
    with pytest.raises(UserError, match=r"has experts whose weights are quantized already \(GPTQ, 4 bits\)"):
        check_architecture(source, quantized)


def test_experts_that_only_the_export_follows_need_its_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    small_modern_checkpoints.write("qwen3-30b-a3b", tmp_path)
    row = SUPPORTED_LLM_MODELS["qwen3-30b-a3b"]
    source = tmp_path / row.model_id
    path = source / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**config, "hidden_act": "gelu"}), encoding="utf-8")
    monkeypatch.setitem(SUPPORTED_LLM_MODELS, "qwen3-30b-a3b", replace(row, checkpoint=source))
    monkeypatch.setattr(resources, "available_disk", lambda _: 10**12)
    monkeypatch.setattr(resources, "available_memory", lambda: 10**10)
    with pytest.raises(UserError, match=r"10\.0 GB of memory are free .* 62\.6 GB"):
        convert_model("qwen3-30b-a3b", "INT4", tmp_path / "models")


def test_a_missing_expert_is_named(tmp_path: Path):
    small_modern_checkpoints.write("qwen3-30b-a3b", tmp_path)
    source = tmp_path / SUPPORTED_LLM_MODELS["qwen3-30b-a3b"].model_id
    index = source / "model.safetensors.index.json"
    files = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
    name = "model.layers.1.mlp.experts.2.up_proj.weight"
    tensors = load_file(source / files[name])
    del tensors[name]
    save_file(tensors, source / files.pop(name), metadata={"format": "pt"})
    index.write_text(json.dumps({"weight_map": files}), encoding="utf-8")
    with pytest.raises(UserError, match=r"blk\.1\.ffn_up_exps\.2\.weight"):
        read_direct(source, json.loads((source / "config.json").read_text(encoding="utf-8")))


@pytest.mark.parametrize("name", ["lm_head.weight", "output_layer.weight", "embed_out.weight"])
def test_a_head_that_is_promised_to_be_the_table_is_left_out_whatever_its_name(name: str, tmp_path: Path):
    small_checkpoints.write("tiny-llama-1b-chat", tmp_path)
    source = tmp_path / SUPPORTED_LLM_MODELS["tiny-llama-1b-chat"].model_id
    tensors = load_file(source / "model.safetensors")
    tensors[name] = torch.ones_like(tensors.pop("lm_head.weight"))
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((source / "config.json").read_text(encoding="utf-8"))
    checkpoint = read_direct(source, {**config, "tie_word_embeddings": True})
    assert "token_embd.weight" in checkpoint.header.tensors and "output.weight" not in checkpoint.header.tensors
    assert "output.weight" in read_direct(source, {**config, "tie_word_embeddings": False}).header.tensors


def packed_constants(folder: Path) -> Counter[bytes]:
    """The bytes of all integers that weights are packed in."""
    nodes = ov.Core().read_model(folder / MODEL_XML).get_ops()
    packed = [node for node in nodes if node.get_type_name() == "Constant" and node.get_element_type() in PACKED]
    assert packed
    return Counter(node.data.tobytes() for node in packed)


def test_weights_that_are_no_numbers_are_refused(tmp_path: Path):
    small_checkpoints.write("tiny-llama-1b-chat", tmp_path)
    source = tmp_path / SUPPORTED_LLM_MODELS["tiny-llama-1b-chat"].model_id
    tensors = load_file(source / "model.safetensors")
    tensors["model.layers.0.self_attn.q_proj.weight"][0, 0] = float("inf")
    save_file(tensors, source / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match="attn_q"):
        convert_model(str(source), "INT8", tmp_path / "models", direct=True)
    convert_model(str(source), "FP16", tmp_path / "models", direct=True, allow_non_finite=True)
