"""Small adapters with random weights: PEFT's own, and GGUF files as llama.cpp's converter writes them."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType as GGML
from gguf import GGUFWriter
from gguf.constants import GGUFType, Keys
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from tests.convert.direct.test_settings import SIZES

LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
IDS = list(range(7, 47))

LLAMA: dict[str, Any] = {**SIZES, "tie_word_embeddings": False}


def small_llama(**settings: Any) -> LlamaForCausalLM:
    """The same at every call."""
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**LLAMA | settings)).eval()


def with_adapter(model: PreTrainedModel, folder: Path, seed: int = 1, **settings: Any) -> PeftModel:
    """Adds an adapter to a model and saves it alone. All its weights are random; PEFT begins with zeros."""
    torch.manual_seed(seed)
    config = LoraConfig(**{"r": 4, "lora_alpha": 8, "target_modules": LINEAR, "task_type": "CAUSAL_LM", **settings})
    adapted = get_peft_model(model, config).eval()
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad:
            noise = torch.randn_like(parameter)
            parameter.data = parameter.data * (1 + noise / 4) if "magnitude" in name else 0.1 * noise
    adapted.save_pretrained(folder)
    return adapted


def torch_logits(model: torch.nn.Module, ids: Sequence[int] = IDS) -> np.ndarray:
    """After each token, float32 [tokens, vocabulary]."""
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits[0].float().numpy()


def write_gguf_adapter(
    path: Path,
    shapes: Mapping[str, tuple[int, ...]],
    architecture: str = "llama",
    alpha: float = 6.0,
    says: dict[str, str] | None = None,
) -> None:
    """An adapter of rank 4 for weights [rows, columns], by their names in GGUF files.

    Args:
        says: what the header says of its kind besides the truth.
    """
    rng = np.random.default_rng(5)
    writer = GGUFWriter(path, architecture)
    kinds = {Keys.General.TYPE: GGUFType.ADAPTER, Keys.Adapter.TYPE: "lora", **(says or {})}
    for key, value in kinds.items():
        writer.add_string(key, value)
    writer.add_float32(Keys.Adapter.LORA_ALPHA, alpha)
    for name, (rows, columns) in shapes.items():
        a, b = (4, columns), (rows, 4)
        if name == "token_embd.weight":
            a, b = (rows, 4), (columns, 4)
        for end, shape, type in ((".lora_a", a, np.float32), (".lora_b", b, np.float16)):
            writer.add_tensor(name + end, (0.1 * rng.standard_normal(shape)).astype(type))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_llama_gguf(path: Path, model: LlamaForCausalLM) -> None:
    """A Llama as a GGUF file: the rows of queries and keys are sorted, matrices are in 16 bits."""
    config, writer = model.config, GGUFWriter(path, "llama")
    for key, value in {
        "block_count": config.num_hidden_layers,
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
    }.items():
        writer.add_uint32(f"llama.{key}", value)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(["<", "1", "<1", *(f"<{number}>" for number in range(3, config.vocab_size))])
    writer.add_token_types([1] * config.vocab_size)
    writer.add_token_merges(["< 1"])
    writer.add_eos_token_id(1)
    writer.add_float32("llama.attention.layer_norm_rms_epsilon", config.rms_norm_eps)
    writer.add_float32("llama.rope.freq_base", config.rope_parameters["rope_theta"])
    names = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    parts = {
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
    }
    for index in range(config.num_hidden_layers):
        names |= {f"model.layers.{index}.{ours}": f"blk.{index}.{theirs}" for ours, theirs in parts.items()}
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, parameter in model.state_dict().items():
        layer = name.removesuffix(".weight")
        values = parameter.float().numpy()
        if count := heads.get(layer.rpartition(".")[2]):
            values = values.reshape(count, 2, -1, values.shape[1]).swapaxes(1, 2).reshape(values.shape)
        is_norm = values.ndim == 1
        data = np.ascontiguousarray(values, np.float32 if is_norm else np.float16)
        writer.add_tensor(f"{names[layer]}.weight", data, raw_dtype=GGML.F32 if is_norm else GGML.F16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
