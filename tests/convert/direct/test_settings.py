"""Directly written graphs, against Transformers' models with the same random weights."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedModel

from llm_chatbot.convert.direct.header import read_direct
from llm_chatbot.convert.direct.settings import DIRECT_ROWS, read_settings
from llm_chatbot.convert.direct.tensors import CheckpointTensors
from llm_chatbot.decoder.build import build_graph
from llm_chatbot.errors import UserError
from tests.decoder.running import logits_of

SIZES = {
    "vocab_size": 320,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "pad_token_id": 0,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
MULTIPLIERS = {
    "embedding_multiplier": 3.0,
    "logits_scaling": 2.0,
    "residual_multiplier": 0.5,
    "attention_multiplier": 0.2,
}
# Twelve experts: in the order of their names, the tenth would be the second.
ROUTED: dict[str, Any] = {"moe_intermediate_size": 48, "num_experts_per_tok": 2}

CASES: dict[str, dict[str, Any]] = {
    "llama": {"tie_word_embeddings": True},
    "llama with biases": {"attention_bias": True, "mlp_bias": True},
    "llama with Llama 3's rotation": {"rope_parameters": LLAMA3},
    "llama with stretched positions": {
        "rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0},
    },
    "mistral": {"sliding_window": None, "head_dim": 32},
    "qwen2": {},
    "qwen3": {"head_dim": 32},
    "seed_oss": {"head_dim": 16},
    "granite": MULTIPLIERS,
    "olmo2": {},
    "smollm3": {"num_hidden_layers": 5},
    "arcee": {},
    "qwen2_moe": ROUTED | {"num_experts": 12, "shared_expert_intermediate_size": 48},
    "qwen3_moe": ROUTED | {"num_experts": 12, "head_dim": 32},
    "qwen3_moe whose weights are normalised": ROUTED | {"num_experts": 12, "norm_topk_prob": True},
    "mixtral": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "olmoe": {"num_experts": 12, "num_experts_per_tok": 2, "num_key_value_heads": 4},
    "phi3": {"original_max_position_embeddings": 256},
    "phi3 that rotates a part": {
        "original_max_position_embeddings": 256,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e4, "partial_rotary_factor": 0.5},
    },
}


def small_model(case: str) -> PreTrainedModel:
    torch.manual_seed(0)
    config = CONFIG_MAPPING[case.split(" ")[0]](**SIZES | CASES[case])
    model = AutoModelForCausalLM.from_config(config).eval()
    for name, parameter in model.named_parameters():
        is_norm = parameter.ndim == 1 and "bias" not in name
        torch.nn.init.normal_(parameter, mean=float(is_norm), std=0.2)
    return model


@pytest.mark.parametrize("case", CASES)
def test_the_logits_are_those_of_transformers(case: str, tmp_path: Path):
    model = small_model(case)
    model.save_pretrained(tmp_path)
    checkpoint = read_direct(tmp_path, json.loads((tmp_path / "config.json").read_text(encoding="utf-8")))
    with CheckpointTensors(checkpoint) as tensors:
        graph = build_graph(checkpoint.header, checkpoint.row, tensors)
    ids = [*range(7, 107)]
    with torch.no_grad():
        expected = model(input_ids=torch.tensor([ids])).logits[0].numpy()
    assert expected.std() > 0.5
    np.testing.assert_allclose(logits_of(graph, ids), expected, atol=1e-4)


def test_each_architecture_is_compared():
    assert {case.split(" ")[0] for case in CASES} == DIRECT_ROWS.keys()


@pytest.mark.parametrize(
    ("model_type", "settings", "named"),
    [
        ("llama", {"hidden_act": "gelu"}, "hidden_act = 'gelu'"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}}, "rope_type = 'yarn'"),
        ("mistral", {"sliding_window": 128}, "sliding_window = 128"),
        ("qwen2", {"use_sliding_window": True, "sliding_window": 128, "max_window_layers": 0}, "sliding_window"),
        ("smollm3", {"no_rope_layers": [1, 0]}, "no_rope_layers"),
        ("bamba", {}, "'bamba'"),
    ],
)
def test_what_the_graph_does_not_follow_is_refused_by_name(model_type: str, settings: dict, named: str):
    with pytest.raises(UserError, match=named):
        read_settings(Path("checkpoint"), {"model_type": model_type, **SIZES, **settings})


@pytest.mark.parametrize(
    "settings",
    [
        {"hidden_size": "64"},
        {"num_attention_heads": 0},
        {"layer_types": ["full_attention"] * 9},
        {"rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4}},
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 1e4, "factor": "four"}},
    ],
)
def test_a_damaged_value_is_a_sentence(settings: dict):
    with pytest.raises(UserError, match=r"config\.json is invalid"):
        read_settings(Path("checkpoint"), {"model_type": "llama", **SIZES, **settings})


def test_a_tensor_that_the_graph_does_not_use_is_refused_by_name(tmp_path: Path):
    model = small_model("llama")
    model.model.layers[0].self_attn.register_parameter("gate", torch.nn.Parameter(torch.ones(4)))
    model.save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"self_attn\.gate"):
        read_direct(tmp_path, json.loads((tmp_path / "config.json").read_text(encoding="utf-8")))
