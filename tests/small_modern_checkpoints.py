"""Checkpoints of models since 2024 in small: as in their repositories, with random weights.

All have one tokenizer. Their chat templates are one too, with a switch for reasoning where the model has it.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer
from transformers import (
    Gemma3Config,
    Gemma3ForCausalLM,
    Gemma3ForConditionalGeneration,
    Gemma3TextConfig,
    Gemma4ForCausalLM,
    Gemma4TextConfig,
    GptOssConfig,
    GptOssForCausalLM,
    GraniteMoeHybridConfig,
    GraniteMoeHybridForCausalLM,
    Lfm2Config,
    Lfm2ForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen3_5ForCausalLM,
    Qwen3_5TextConfig,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
    SmolLM3Config,
    SmolLM3ForCausalLM,
)

from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.engine.text.channels import CHANNEL_MARKS
from tests.small_checkpoints import FFN, HEADS, HIDDEN, KV_HEADS, LAYERS, VOCABULARY, of_transformers, write_llama_like
from tests.small_checkpoints import llama_tokenizer as write_tokenizer

SIZES = {
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": HEADS,
    "num_key_value_heads": KV_HEADS,
    "intermediate_size": FFN,
    "vocab_size": VOCABULARY,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
HEAD = HIDDEN // HEADS

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}</s>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
HARMONY_TEMPLATE = (
    "{% for message in messages %}<|start|>{{ message['role'] }}"
    "{% if message['role'] == 'assistant' %}<|channel|>final{% endif %}<|message|>{{ message['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|start|>assistant{% endif %}"
)
NO_REASONING = "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"


def write(name: str, hub: Path) -> Path:
    """Writes the repository of a row of the catalogue to a hub's folder, the same at every call."""
    config = SUPPORTED_LLM_MODELS[name]
    folder = hub / config.model_id
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        WRITERS[name](folder)
    if name == "gpt-oss-20b":
        write_tokenizer(folder, HARMONY_TEMPLATE)
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.add_special_tokens(list(CHANNEL_MARKS))
        tokenizer.save(str(folder / "tokenizer.json"))
    else:
        write_tokenizer(folder, TEMPLATE + NO_REASONING * (config.reasoning == "switch"))
    return folder


def save(folder: Path, model_class: type[PreTrainedModel], config: PreTrainedConfig, **described: object) -> None:
    """A model as its repository has it: in bfloat16, and a tied output layer only once."""
    tensors, found = of_transformers(model_class, config, torch.bfloat16)
    if config.tie_word_embeddings:
        tensors.pop("lm_head.weight", None)
    write_llama_like(folder, tensors, {**found, **described}, shards=1, pickles=0)


def qwen3(folder: Path) -> None:
    save(folder, Qwen3ForCausalLM, Qwen3Config(**SIZES, head_dim=HEAD, tie_word_embeddings=True))


def llama31(folder: Path) -> None:
    scaling = {
        "rope_type": "llama3",
        "rope_theta": 500_000.0,
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    }
    sizes = {**SIZES, "max_position_embeddings": 131072}
    save(folder, LlamaForCausalLM, LlamaConfig(**sizes, rope_parameters=scaling))


def gemma3_text(**options: object) -> Gemma3TextConfig:
    kinds = ["sliding_attention", "full_attention"]
    return Gemma3TextConfig(**SIZES, head_dim=HEAD, sliding_window=512, layer_types=kinds, **options)


def gemma3_with_images(folder: Path) -> None:
    """The names of the published weights; Transformers 5 renames them as it reads them."""
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = Gemma3Config(
        text_config=gemma3_text().to_dict(), vision_config={**vision, "image_size": 28, "patch_size": 14}
    )
    tensors, described = of_transformers(Gemma3ForConditionalGeneration, config, torch.bfloat16)
    published = {
        name.removeprefix("model.").replace("language_model.", "language_model.model."): tensor
        for name, tensor in tensors.items()
        if name != "lm_head.weight"
    }
    write_llama_like(folder, published, described, shards=2, pickles=0)


def text_part(
    folder: Path,
    model_class: type[PreTrainedModel],
    config: PreTrainedConfig,
    model_type: str,
    prefix: str,
    *others: str,
) -> None:
    """The repository of a model that also reads images: its language model, and tensors with the names of other parts.

    Args:
        model_type: of the whole model.
        prefix: of the names of the language model's tensors.
        others: names of tensors of the other parts.
    """
    tensors, described = of_transformers(model_class, config, torch.bfloat16)
    if config.tie_word_embeddings:
        tensors.pop("lm_head.weight")
    published = {
        name.replace("model.", f"{prefix}.", 1)
        if name.startswith("model.")
        else f"{prefix.rpartition('.model')[0]}.{name}": tensor
        for name, tensor in tensors.items()
    }
    published |= {name: torch.ones(2, 2, dtype=torch.bfloat16) for name in others}
    whole = {"model_type": model_type, "text_config": described, "vision_config": {}}
    write_llama_like(folder, published, whole, shards=1, pickles=0)


def gemma4(folder: Path) -> None:
    """With vectors for each layer, and the last layer reading what the one of its kind keeps."""
    config = Gemma4TextConfig(
        **SIZES | {"num_hidden_layers": 4},
        head_dim=HEAD,
        global_head_dim=2 * HEAD,
        layer_types=["sliding_attention", "full_attention"] * 2,
        num_kv_shared_layers=2,
        hidden_size_per_layer_input=128,
        vocab_size_per_layer_input=VOCABULARY,
        use_double_wide_mlp=True,
        final_logit_softcapping=30.0,
        tie_word_embeddings=True,
    )
    others = (
        "model.vision_tower.encoder.layers.0.mlp.up_proj.weight",
        "model.embed_vision.embedding_projection.weight",
    )
    text_part(folder, Gemma4ForCausalLM, config, "gemma4", "model.language_model", *others)


def qwen35(folder: Path) -> None:
    config = Qwen3_5TextConfig(
        **SIZES,
        head_dim=HEAD,
        layer_types=["linear_attention", "full_attention"],
        linear_num_key_heads=2,
        linear_num_value_heads=4,
        linear_key_head_dim=32,
        linear_value_head_dim=32,
        tie_word_embeddings=True,
    )
    others = ("model.visual.patch_embed.proj.weight", "mtp.fc.weight")
    text_part(folder, Qwen3_5ForCausalLM, config, "qwen3_5", "model.language_model", *others)


def mistral3(folder: Path) -> None:
    config = MistralConfig(**SIZES, head_dim=HEAD, sliding_window=None)
    others = ("vision_tower.ln_pre.weight", "multi_modal_projector.linear_1.weight")
    text_part(folder, MistralForCausalLM, config, "mistral3", "language_model.model", *others)


def lfm2(folder: Path) -> None:
    kinds = ["conv", "full_attention"]
    save(folder, Lfm2ForCausalLM, Lfm2Config(**SIZES, layer_types=kinds, block_auto_adjust_ff_dim=False))


def granite4(folder: Path, *kinds: str, experts: int = 0) -> None:
    """Of layers of these kinds; all with attention by default."""
    config = GraniteMoeHybridConfig(
        **SIZES | {"num_hidden_layers": len(kinds) or LAYERS},
        layer_types=list(kinds) or ["attention"] * LAYERS,
        num_local_experts=experts,
        num_experts_per_tok=2 if experts else 0,
        shared_intermediate_size=FFN,
        position_embedding_type="nope" if experts else "rope",
        embedding_multiplier=12.0,
        attention_multiplier=0.03,
        residual_multiplier=0.22,
        logits_scaling=8.0,
        mamba_n_heads=8,
        tie_word_embeddings=True,
    )
    save(folder, GraniteMoeHybridForCausalLM, config, time_step_limit=None)


def qwen3_moe(folder: Path) -> None:
    """Each expert has matrices of its own in the repository; Transformers 5 joins them as it reads them."""
    config = Qwen3MoeConfig(
        **SIZES, head_dim=HEAD, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64, norm_topk_prob=True
    )
    tensors, described = of_transformers(Qwen3MoeForCausalLM, config, torch.bfloat16)
    for name in [name for name in tensors if ".experts." in name]:
        joined, (prefix, kind) = tensors.pop(name), name.rsplit(".", 1)
        for number, expert in enumerate(joined):
            parts = {"down_proj": expert}
            if kind == "gate_up_proj":
                parts = dict(zip(("gate_proj", "up_proj"), expert.chunk(2), strict=True))
            tensors |= {f"{prefix}.{number}.{part}.weight": tensor for part, tensor in parts.items()}
    write_llama_like(folder, tensors, described, shards=2, pickles=0)


def gpt_oss(folder: Path) -> None:
    """The experts are in MXFP4: a byte for two numbers, and a byte with the exponent of 32 of them."""
    config = GptOssConfig(
        **{**SIZES, "num_local_experts": 4, "num_experts_per_tok": 2, "head_dim": HEAD, "sliding_window": 8},
        layer_types=["sliding_attention", "full_attention"],
    )
    tensors, described = of_transformers(GptOssForCausalLM, config, torch.bfloat16)
    for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
        experts, columns, rows = tensors.pop(name).shape
        tensors[f"{name}_blocks"] = torch.randint(0, 256, (experts, rows, columns // 32, 16), dtype=torch.uint8)
        tensors[f"{name}_scales"] = torch.randint(118, 124, (experts, rows, columns // 32), dtype=torch.uint8)
    described["quantization_config"] = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    write_llama_like(folder, tensors, described, shards=2, pickles=0)


WRITERS: dict[str, Callable[[Path], None]] = {
    "qwen3-1.7b": qwen3,
    "smollm3-3b": lambda folder: save(
        folder, SmolLM3ForCausalLM, SmolLM3Config(**SIZES, no_rope_layers=[1, 0], tie_word_embeddings=True)
    ),
    "granite-4.0-micro": granite4,
    "phi-4": lambda folder: save(
        folder,
        Phi3ForCausalLM,
        Phi3Config(**SIZES, max_position_embeddings=16384, original_max_position_embeddings=16384),
    ),
    "qwen3-30b-a3b": qwen3_moe,
    "gpt-oss-20b": gpt_oss,
    "gemma-3-270m-it": lambda folder: save(folder, Gemma3ForCausalLM, gemma3_text(tie_word_embeddings=True)),
    "gemma-3-4b-it": gemma3_with_images,
    "llama-3.1-8b-instruct": llama31,
    "lfm2.5-1.2b-instruct": lfm2,
    "qwen3.5-4b": qwen35,
    "gemma-4-e2b-it": gemma4,
    "granite-4.0-h-tiny": lambda folder: granite4(folder, "mamba", "attention", experts=4),
    "mistral-small-3.1-24b-instruct": mistral3,
}
