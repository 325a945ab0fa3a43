"""Adapters that PEFT saved, added to Transformers' models, against PEFT's own logits."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedModel

from llm_chatbot.adapters.peft import read_peft
from llm_chatbot.catalogue.adapter_names import AdapterSource
from llm_chatbot.convert.checkpoint.adapted import add_adapters
from llm_chatbot.errors import UserError
from tests.convert.adapters.small_adapters import LINEAR, small_llama, torch_logits, with_adapter

CASES: dict[str, dict[str, Any]] = {
    "plain": {},
    "of some layers": {"target_modules": ["q_proj", "v_proj"], "layers_to_transform": [1]},
    "rank-stabilised": {"use_rslora": True},
    "with patterns": {
        "rank_pattern": {"q_proj": 2, "layers.1.mlp.up_proj": 6},
        "alpha_pattern": {"^v_proj": 99, "v_proj": 3, r"^model\.layers\.1\.mlp\.up_proj": 5, "down_proj": 2},
    },
    "DoRA": {"use_dora": True, "target_modules": LINEAR},
    "with whole modules": {"target_modules": ["q_proj"], "modules_to_save": ["lm_head", "norm"]},
    "of the embeddings": {"target_modules": ["q_proj", "embed_tokens", "lm_head"]},
}


def adapted(model: PreTrainedModel, folder: Path, *adapters: AdapterSource) -> PreTrainedModel:
    folder.mkdir()
    add_adapters(model, "small", adapters, folder)
    return model


@pytest.mark.parametrize("case", CASES)
def test_the_logits_are_those_of_peft(case: str, tmp_path: Path):
    without = torch_logits(small_llama())
    expected = torch_logits(with_adapter(small_llama(), tmp_path / "adapter", **CASES[case]))
    found = torch_logits(adapted(small_llama(), tmp_path / "work", AdapterSource(tmp_path / "adapter")))
    assert np.abs(expected - without).max() > 1e-2
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


@pytest.mark.parametrize("use_dora", [False, True])
def test_weights_that_are_stored_by_inputs_are_changed_so(use_dora: bool, tmp_path: Path):
    def small_gpt2() -> GPT2LMHeadModel:
        torch.manual_seed(0)
        sizes = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 320, "n_positions": 256}
        return GPT2LMHeadModel(GPT2Config(**sizes)).eval()

    settings: dict[str, Any] = {"target_modules": ["c_attn", "c_proj"], "fan_in_fan_out": True, "use_dora": use_dora}
    expected = torch_logits(with_adapter(small_gpt2(), tmp_path / "adapter", **settings))
    found = torch_logits(adapted(small_gpt2(), tmp_path / "work", AdapterSource(tmp_path / "adapter")))
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_several_adapters_are_added_by_their_weights(tmp_path: Path):
    for seed, name in enumerate(("first", "second")):
        with_adapter(small_llama(), tmp_path / name, seed, r=4 + seed)
    both = PeftModel.from_pretrained(small_llama(), tmp_path / "first", "first")
    both.load_adapter(tmp_path / "second", "second")
    both.add_weighted_adapter(["first", "second"], [1.0, 0.5], "both", "cat")
    both.set_adapter("both")
    sources = AdapterSource(tmp_path / "first"), AdapterSource(tmp_path / "second", 0.5)
    found = torch_logits(adapted(small_llama(), tmp_path / "work", *sources))
    expected = torch_logits(both.eval())
    np.testing.assert_allclose(found, expected, atol=2e-5 * np.abs(expected).max())


def test_a_weight_of_16_bits_is_rounded_once(tmp_path: Path):
    with_adapter(small_llama(), tmp_path / "adapter")
    exact = adapted(small_llama().bfloat16().float(), tmp_path / "32", AdapterSource(tmp_path / "adapter"))
    found = adapted(small_llama().bfloat16(), tmp_path / "16", AdapterSource(tmp_path / "adapter"))
    for name, weight in found.named_parameters():
        assert weight.dtype == torch.bfloat16
        assert torch.equal(weight, exact.get_parameter(name).bfloat16()), name


def changed_settings(folder: Path, **settings: Any) -> AdapterSource:
    path = folder / "adapter_config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, **settings}), encoding="utf-8")
    return AdapterSource(folder)


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"peft_type": "LOHA"}, "'LOHA'"),
        ({"bias": "all"}, "bias = 'all'"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights = 'pissa_niter_4'"),
        ({"alora_invocation_tokens": [5, 6]}, r"alora_invocation_tokens = \[5, 6\]"),
        ({"alpha_pattern": {"(a+)+$": 3}}, "alpha_pattern"),
        ({"lora_alpha": "8"}, "lora_alpha = '8'"),
        ({"something_new": True}, "something_new = True"),
    ],
)
def test_a_setting_that_is_not_followed_is_refused_by_name(settings: dict[str, Any], named: str, tmp_path: Path):
    with_adapter(small_llama(), tmp_path / "adapter")
    with pytest.raises(UserError, match=named):
        adapted(small_llama(), tmp_path / "work", changed_settings(tmp_path / "adapter", **settings))


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ({"hidden_size": 128}, r"_proj of the shape \[64, \d+\], and that of small has \[128, \d+\]"),
        ({"num_hidden_layers": 1}, r"changes model\.layers\.1\.\S+, which small does not have"),
    ],
)
def test_another_base_is_refused_by_name_and_shape(base: dict[str, Any], message: str, tmp_path: Path):
    with_adapter(small_llama(), tmp_path / "adapter")
    with pytest.raises(UserError, match=message):
        adapted(small_llama(**base), tmp_path / "work", AdapterSource(tmp_path / "adapter"))


def test_a_table_for_input_and_output_is_not_changed(tmp_path: Path):
    with_adapter(small_llama(), tmp_path / "adapter", target_modules=["lm_head"])
    with pytest.raises(UserError, match="table of the input and of the output"):
        adapted(small_llama(tie_word_embeddings=True), tmp_path / "work", AdapterSource(tmp_path / "adapter"))


def test_whole_modules_have_no_weight_and_come_once(tmp_path: Path):
    with_adapter(small_llama(), tmp_path / "adapter", target_modules=["q_proj"], modules_to_save=["lm_head"])
    source = AdapterSource(tmp_path / "adapter")
    with pytest.raises(UserError, match=r"lm_head\.weight whole"):
        adapted(small_llama(), tmp_path / "half", AdapterSource(source.source, 0.5))
    with pytest.raises(UserError, match="an adapter before it"):
        adapted(small_llama(), tmp_path / "twice", source, source)


def test_parts_that_are_missing_or_new_are_named(tmp_path: Path):
    folder = tmp_path / "adapter"
    with_adapter(small_llama(), folder)
    file = folder / "adapter_model.safetensors"
    tensors = load_file(file)
    key = "base_model.model.model.layers.0.self_attn.q_proj.lora_B"
    save_file({**tensors, f"{key}.bias": torch.ones(64)}, file)
    with pytest.raises(UserError, match=r"lora_B\.bias"):
        read_peft(folder, 1.0, "adapter")
    save_file({name: tensor for name, tensor in tensors.items() if name != f"{key}.weight"}, file)
    with pytest.raises(UserError, match=r"q_proj: A"):
        read_peft(folder, 1.0, "adapter")
    save_file({**tensors, f"{key}.weight": torch.ones(64, 5)}, file)
    with pytest.raises(UserError, match=r"\[4, 64\], \[64, 5\]"):
        read_peft(folder, 1.0, "adapter")
    file.unlink()
    with pytest.raises(UserError, match="as safetensors with PEFT"):
        read_peft(folder, 1.0, "adapter")
