from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from llm_chatbot.convert.export.exporter_configs import check_exportable
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.optimum_models import LOGITS_TO_KEEP, OVChatModel, load_model
from tests.tiny_models import export

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "vocab_size": 128,
    "max_position_embeddings": 256,
    "initializer_range": 0.3,  # far from what a trained model has, so that logits differ visibly
    "pad_token_id": 0,
}
WINDOW: dict[str, Any] = {"head_dim": 8, "sliding_window": 16, "query_pre_attn_scalar": 8}
LONGROPE = {
    "rope_type": "longrope",
    "rope_theta": 10_000.0,
    "short_factor": [1.0, 1.1, 1.2, 1.3],
    "long_factor": [1.0, 2.0, 3.0, 4.0],
    "original_max_position_embeddings": 64,
}
GEMMA_4: dict[str, Any] = {
    "head_dim": 8,
    "global_head_dim": 16,
    "sliding_window": 16,
    "layer_types": ["sliding_attention", "full_attention"],
    "hidden_size_per_layer_input": 0,
    "final_logit_softcapping": 5.0,
}
# By `model_type`, and after a space what is special.
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "bloom": {"n_head": 4, "n_layer": 2},
    "exaone4": {"sliding_window": 16, "layer_types": ["sliding_attention", "full_attention"]},
    "gemma": {"head_dim": 8},
    "gemma2": {**WINDOW, "final_logit_softcapping": 5.0},
    "gemma3_text": WINDOW,
    "gemma4_text with vectors for each layer": {
        **GEMMA_4,
        "num_hidden_layers": 4,
        "layer_types": GEMMA_4["layer_types"] * 2,
        "hidden_size_per_layer_input": 4,
        "vocab_size_per_layer_input": 128,
        "num_kv_shared_layers": 2,
        "use_double_wide_mlp": True,
    },
    "gemma4_text with experts": {
        **GEMMA_4,
        "num_global_key_value_heads": 1,
        "attention_k_eq_v": True,
        "enable_moe_block": True,
        "num_experts": 4,
        "top_k_experts": 2,
        "moe_intermediate_size": 16,
    },
    "glm": {"head_dim": 8},
    "gpt_bigcode": {"n_embd": 32, "n_head": 4, "n_layer": 2, "n_positions": 256},
    "gpt_neox": {},
    "llama": {"tie_word_embeddings": True},
    "ministral3": {"head_dim": 8},
    "mistral": {"sliding_window": 16},
    "mpt": {"d_model": 32, "n_heads": 4, "n_layers": 2, "max_seq_len": 256},
    "phi3": {"rope_parameters": LONGROPE, "original_max_position_embeddings": 64},
    "qwen3": {"head_dim": 16},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_chats_and_its_cache_can_be_cut_back(name: str, tmp_path: Path):
    torch.manual_seed(0)
    config = CONFIG_MAPPING[name.split()[0]](**{**SIZES, **ARCHITECTURES[name]})
    torch_model = AutoModelForCausalLM.from_config(config).eval()
    model = load_model(export(torch_model, tmp_path / "model"), ov_config=EXACT)
    assert isinstance(model, OVChatModel)
    assert LOGITS_TO_KEEP in model.input_names

    input_ids = torch.randint(SIZES["vocab_size"], (1, 40))
    with torch.no_grad():
        expected = torch_model(input_ids).logits
    torch.testing.assert_close(model(input_ids=input_ids).logits, expected, atol=1e-4, rtol=0)

    ids, last = input_ids[0].tolist(), expected[0, -1].numpy()
    cut, stepwise = model.new_cache(), model.new_cache()
    cut.feed([*ids[:30], 1, 2, 3, 4, 5])
    assert cut.trim_to_prefix(ids) == 30
    np.testing.assert_allclose(cut.feed(ids[30:]), last, atol=1e-4)
    *_, logits = (stepwise.feed([id]) for id in ids)
    np.testing.assert_allclose(logits, last, atol=1e-4)


@pytest.mark.parametrize("model_type", ["mamba", "bert", "t5", "gemma3", "qwen", "nonsense"])
def test_an_architecture_that_cannot_be_exported_is_refused(model_type: str):
    with pytest.raises(UserError, match=rf"'{model_type}' .*; choose a model of another type"):
        check_exportable(model_type)
