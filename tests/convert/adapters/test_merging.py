"""Folders with adapters in their weights, made in each way that there is, against PEFT's logits."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as GGML
from peft import LoraConfig, PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.folder.manifest import read_manifest
from llm_chatbot.folder.place import AS_IN_FILE
from llm_chatbot.gguf.header import read_gguf_header
from llm_chatbot.optimum_models import load_model
from tests import small_checkpoints, small_modern_checkpoints
from tests.convert.adapters.small_adapters import IDS, torch_logits, with_adapter, write_gguf_adapter
from tests.gguf_files import MERGES, write_model
from tests.quantized_checkpoints import write_quantized


@pytest.fixture
def base(tmp_path: Path) -> Path:
    small_checkpoints.write("tiny-llama-1b-chat", tmp_path)
    return tmp_path / SUPPORTED_LLM_MODELS["tiny-llama-1b-chat"].model_id


def loaded(folder: Path) -> AutoModelForCausalLM:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def folder_logits(folder: Path) -> np.ndarray:
    return load_model(folder, ov_config=EXACT)(input_ids=torch.tensor([IDS])).logits[0].numpy()


@pytest.mark.parametrize("direct", [False, True])
def test_a_checkpoint_with_adapters_gives_the_logits_of_peft(direct: bool, base: Path, tmp_path: Path):
    with_adapter(loaded(base), tmp_path / "first", r=2)
    with_adapter(loaded(base), tmp_path / "second", seed=2)
    name = f"{base}+{tmp_path / 'first'}+{tmp_path / 'second'}:0.5"
    folder = convert_model(name, "FP16", tmp_path / "models", direct=direct)
    both = PeftModel.from_pretrained(loaded(base), tmp_path / "first", "first")
    both.load_adapter(tmp_path / "second", "second")
    both.add_weighted_adapter(["first", "second"], [1.0, 0.5], "both", "cat")
    both.set_adapter("both")
    expected, without = torch_logits(both.eval()), torch_logits(loaded(base))
    assert np.abs(expected - without).max() > 0.2
    np.testing.assert_allclose(folder_logits(folder), expected, atol=0.02 * np.abs(expected).max())  # bfloat16
    assert folder.parent.name == f"{base.name}+first+second@0.5"
    assert not [name for name in read_manifest(folder)["files"] if "merged" in name]


def test_an_adapter_of_single_experts_gives_the_logits_of_the_changed_checkpoint(tmp_path: Path):
    """By the names that PEFT had for them while Transformers kept each expert's matrices as layers."""
    small_modern_checkpoints.write("qwen3-30b-a3b", tmp_path)
    source, adapter = tmp_path / SUPPORTED_LLM_MODELS["qwen3-30b-a3b"].model_id, tmp_path / "adapter"
    without = torch_logits(loaded(source))
    layers = [
        f"model.layers.{layer}.mlp.experts.{layer + 1}.{name}_proj" for layer in (0, 1) for name in ("up", "down")
    ]
    index = json.loads((source / "model.safetensors.index.json").read_text(encoding="utf-8"))["weight_map"]
    parts: dict[str, torch.Tensor] = {}
    torch.manual_seed(1)
    before = tmp_path / "before"
    shutil.copytree(source, before)
    for layer in layers:
        tensors = load_file(source / index[f"{layer}.weight"])
        weight = tensors[f"{layer}.weight"]
        a, b = torch.randn(2, weight.shape[1]), torch.randn(len(weight), 2)
        tensors[f"{layer}.weight"] = (weight.float() + 2.0 * b @ a).to(weight.dtype)
        save_file(tensors, source / index[f"{layer}.weight"], metadata={"format": "pt"})
        parts |= {f"base_model.model.{layer}.lora_A.weight": a, f"base_model.model.{layer}.lora_B.weight": b}
    LoraConfig(r=2, lora_alpha=4, target_modules=["up_proj", "down_proj"]).save_pretrained(str(adapter))
    save_file(parts, adapter / "adapter_model.safetensors")
    expected = torch_logits(loaded(source))
    assert np.abs(expected - without).max() > 0.2 * np.abs(expected).max()
    folder = convert_model(f"{before}+{adapter}", "FP16", tmp_path / "models")
    np.testing.assert_allclose(folder_logits(folder), expected, atol=0.02 * np.abs(expected).max())


def test_a_folder_is_made_again_when_the_adapter_has_changed(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture):
    with_adapter(loaded(base), tmp_path / "adapter")
    name = f"{base}+{tmp_path / 'adapter'}"
    folder = convert_model(name, "INT8", tmp_path / "models", direct=True)
    first = read_manifest(folder)
    assert convert_model(name, "INT8", tmp_path / "models", direct=True) == folder
    assert read_manifest(folder) == first
    with_adapter(loaded(base), tmp_path / "adapter", seed=9)
    convert_model(name, "INT8", tmp_path / "models", direct=True)
    assert "its checkpoint has changed" in capsys.readouterr().out
    assert read_manifest(folder)["checkpoint_files"] != first["checkpoint_files"]


def test_a_gguf_file_with_an_adapter_becomes_a_folder(tmp_path: Path):
    model, adapter = tmp_path / "small.gguf", tmp_path / "adapter.gguf"
    write_model(model, "llama", [GGML.F16], MERGES)
    tensors = read_gguf_header(model).tensors
    write_gguf_adapter(
        adapter, {name: info.shape for name, info in tensors.items() if "attn_" in name and "norm" not in name}
    )
    with pytest.raises(UserError, match="choose one of: FP16, INT8, INT4"):
        convert_model(f"{model}+{adapter}", AS_IN_FILE, tmp_path)
    without = folder_logits(convert_model(str(model), "FP16", tmp_path))
    one, half = (
        folder_logits(convert_model(f"{model}+{adapter}{weight}", "FP16", tmp_path)) for weight in ("", ":0.5")
    )
    assert np.abs(one - without).max() > 0.05
    assert np.abs(half - without).max() < np.abs(one - without).max()


def test_a_checkpoint_that_is_quantized_already_takes_no_adapter(tmp_path: Path):
    source, adapter = tmp_path / "quantized", tmp_path / "adapter"
    source.mkdir()
    model = write_quantized(source, "AWQ")
    with_adapter(model, adapter)
    with pytest.raises(UserError, match="no adapter can be merged; serve it with --adapter NAME=ADAPTER"):
        convert_model(f"{source}+{adapter}", "INT4", tmp_path / "models")


def test_what_openvino_has_made_takes_no_adapter(base: Path, tmp_path: Path):
    with_adapter(loaded(base), tmp_path / "adapter")
    with pytest.raises(UserError, match="leave --prebuilt out"):
        convert_model(f"qwen3-0.6b+{tmp_path / 'adapter'}", "INT4", tmp_path, prebuilt=True)


def test_a_gguf_adapter_belongs_to_a_gguf_file(base: Path, tmp_path: Path):
    write_gguf_adapter(tmp_path / "adapter.gguf", {"blk.0.attn_q.weight": (128, 128)})
    with pytest.raises(UserError, match=r"can only be added to a model in a \.gguf file"):
        convert_model(f"{base}+{tmp_path / 'adapter.gguf'}", "FP16", tmp_path, direct=True)
