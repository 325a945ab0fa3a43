"""A checkpoint folder as its authors published it → a Transformers model. No code in the folder is run.

Most checkpoints are of an architecture that Transformers has. Those that bring their own Python code instead are
converted to the equivalent architecture of Transformers: `converters` has one function for each.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING,
    GlmConfig,
    GptOssConfig,
    GraniteConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2Config,
)

from llm_chatbot.catalogue.architectures import architecture, by_model_type
from llm_chatbot.convert.checkpoint.image_settings import read_image_settings
from llm_chatbot.convert.checkpoint.invalid import missing_keys, reading_settings, refuse_options, required_ints
from llm_chatbot.convert.checkpoint.weights import (
    build_model,
    drop_tensors,
    read_tensors,
    rename_tensors,
    split_gate_up,
    split_qkv,
    unpack_mxfp4,
)
from llm_chatbot.convert.direct.formats import check_direct
from llm_chatbot.convert.export.exporter_configs import check_exportable, nearest_types
from llm_chatbot.errors import UserError
from llm_chatbot.folder.image_settings import processor_name
from llm_chatbot.folder.manifest import IMAGE_SETTINGS, ORIGINAL_MODEL_TYPE, PROCESSOR_SETTINGS, SCALED_CONTEXT
from llm_chatbot.sources.json_files import read_checkpoint_json
from llm_chatbot.texts import Text

# ChatGLM3's `<|user|>` and `<|observation|>`: it ends its turn by naming who speaks next.
CHATGLM3_TURNS = (64795, 64797)

# Parts of tensor names in a Qwen v1 checkpoint, and their counterparts in Qwen2.
QWEN_NAMES = {
    "transformer.wte.": "model.embed_tokens.",
    "transformer.ln_f.": "model.norm.",
    "transformer.h.": "model.layers.",
    ".ln_1.": ".input_layernorm.",
    ".ln_2.": ".post_attention_layernorm.",
    ".attn.c_proj.": ".self_attn.o_proj.",
    ".mlp.w2.": ".mlp.gate_proj.",
    ".mlp.w1.": ".mlp.up_proj.",
    ".mlp.c_proj.": ".mlp.down_proj.",
    ".attn.c_attn.": ".self_attn.qkv_proj.",
}

# The same for ChatGLM2 and ChatGLM3, and GLM.
CHATGLM_NAMES = {
    "transformer.embedding.word_embeddings.": "model.embed_tokens.",
    "transformer.encoder.final_layernorm.": "model.norm.",
    "transformer.encoder.layers.": "model.layers.",
    "transformer.output_layer.": "lm_head.",
    ".self_attention.dense.": ".self_attn.o_proj.",
    ".mlp.dense_h_to_4h.": ".mlp.gate_up_proj.",
    ".mlp.dense_4h_to_h.": ".mlp.down_proj.",
    ".self_attention.query_key_value.": ".self_attn.qkv_proj.",
}

# The same for Granite 4.0 without Mamba layers and experts, and Granite.
GRANITE_NAMES = {
    ".shared_mlp.input_linear.": ".mlp.gate_up_proj.",
    ".shared_mlp.output_linear.": ".mlp.down_proj.",
}

# The same for a model that reads images, and its language model. Transformers 5 swaps the first two parts of a name.
IMAGE_MODEL_NAMES = {
    "model.language_model.": "model.",
    "language_model.model.": "model.",
    "language_model.lm_head.": "lm_head.",
}
# Its other parts: they read images and sound, or propose several tokens at once.
PARTS_LEFT_OUT = (
    *("audio_tower.", "embed_audio.", "embed_vision.", "multi_modal_projector.", "vision_tower.", "visual."),
    "mtp.",
)


def read_checkpoint(folder: Path, text_only: bool = False) -> PreTrainedModel:
    """The model in a folder, in the checkpoint's own precision, with its weights mapped from the files.

    Nothing in the folder is executed: `auto_map` is ignored, and pickles may hold only tensors.

    Args:
        text_only: leave out what reads images.

    Raises:
        UserError: a file is missing or damaged, the weights are not those that `config.json` describes, or the
            architecture is not supported.
    """
    config = read_checkpoint_config(folder)
    model_type = config["model_type"]
    check_architecture(folder, config)
    has_tower = bool(architecture(model_type).image_exporter)
    if has_tower and not text_only and (found := read_image_settings(folder)):
        return from_image_model(folder, config, *found)
    if has_tower and model_type not in converters:
        if text_only:
            raise UserError("checkpoint.text_only", type=repr(model_type))
        files = Text("gguf.or", first=IMAGE_SETTINGS, second=PROCESSOR_SETTINGS)
        raise UserError("checkpoint.no_image_settings", folder=folder, type=repr(model_type), file=files)
    model = converters.get(model_type, from_transformers)(folder, config)
    model.config.name_or_path = str(folder)
    if model.config.model_type != model_type:
        setattr(model.config, ORIGINAL_MODEL_TYPE, model_type)
    return model


def check_architecture(folder: Path, config: dict[str, Any]) -> None:
    """Checks that a checkpoint's architecture is supported; its `config.json` is enough for that.

    Raises:
        UserError: it is not, or its weights are quantized in a way that is not.
    """
    model_type = config["model_type"]
    if is_quantized(config):
        check_direct(folder, config)
        return
    if model_type not in converters and model_type not in CONFIG_MAPPING:
        advice = nearest_types(model_type)
        raise UserError("checkpoint.unknown_type", folder=folder, type=repr(model_type), advice=advice)
    if model_type not in converters and not architecture(model_type).image_exporter:
        check_exportable(model_type)


def is_quantized(config: dict[str, Any]) -> bool:
    """Whether a checkpoint's weights are quantized already. Those of gpt-oss are unpacked; see `from_gpt_oss`."""
    quantization = config.get("quantization_config")
    method = quantization.get("quant_method") if isinstance(quantization, dict) else quantization
    return bool(method) and (config["model_type"], method) != ("gpt_oss", "mxfp4")


def read_checkpoint_config(folder: Path) -> dict[str, Any]:
    """The content of `config.json` without `auto_map`, which names Python files to run.

    Raises:
        UserError: the file is missing or damaged, or has no `model_type`.
    """
    config = read_checkpoint_json(folder / "config.json")
    config.pop("auto_map", None)
    if not isinstance(config.get("model_type"), str):
        raise UserError("checkpoint.no_model_type", path=folder / "config.json")
    return config


def from_transformers(folder: Path, config: dict[str, Any]) -> PreTrainedModel:
    """A model of an architecture that Transformers has."""
    config_class = CONFIG_MAPPING[config["model_type"]]
    # A default number of heads would go unnoticed: the weights' shapes don't depend on it.
    heads = {"num_attention_heads", config_class.attribute_map.get("num_attention_heads"), "n_head"}
    if not heads & config.keys():
        raise missing_keys(folder, ["num_attention_heads"])
    parsed = _parsed_config(folder, config_class, config)
    check_exportable(parsed.model_type)
    if type(parsed) not in MODEL_FOR_CAUSAL_LM_MAPPING or parsed.is_encoder_decoder:
        raise UserError("checkpoint.no_language_model", folder=folder, type=repr(parsed.model_type))
    return build_model(folder, parsed, read_tensors(folder))


def from_image_model(folder: Path, config: dict[str, Any], settings: dict[str, Any], place: Path) -> PreTrainedModel:
    """A language model with the vision tower before it. Args: settings, place: see `read_image_settings`."""
    processor_name(settings, place)
    parsed = _parsed_config(folder, CONFIG_MAPPING[config["model_type"]], config)
    if isinstance(vectors := settings.get("max_soft_tokens"), int):
        parsed.vision_config.max_soft_tokens = vectors  # Optimum Intel's graph is for so many, and finds it there
    model = build_model(folder, parsed, read_tensors(folder), MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING)
    model.config.name_or_path = str(folder)
    return model


def from_mpt(folder: Path, config: dict[str, Any]) -> PreTrainedModel:
    """MPT. Transformers has the architecture, but ignores the options that it does not implement."""
    attention = config.get("attn_config") or {}
    refuse_options(
        folder,
        {
            "attn_config.alibi": attention.get("alibi", True) is not True,
            "attn_config.alibi_bias_max": attention.get("alibi_bias_max", 8) != 8,
            "attn_config.clip_qkv": attention.get("clip_qkv") is not None,  # the exporter ignores it
            "attn_config.prefix_lm": bool(attention.get("prefix_lm")),
            "attn_config.qk_ln": bool(attention.get("qk_ln")),
            "logit_scale": config.get("logit_scale") is not None,
            "no_bias": config.get("no_bias", True) is not True,
        },
    )
    required_ints(folder, config, "d_model", "n_heads", "n_layers", "max_seq_len", "vocab_size")
    return from_transformers(folder, {**config, "use_cache": True})


def from_qwen(folder: Path, config: dict[str, Any]) -> PreTrainedModel:
    """Qwen v1 as a Qwen2. Its `config.json` comes in two layouts.

    Up to `seq_length`, which becomes `max_position_embeddings`, both compute the same. Beyond it the original scales
    its attention, which `OVQWENModel` adds to the converted graph.
    """
    hidden, layers, heads, ffn, vocabulary, context = required_ints(
        folder,
        config,
        ("hidden_size", "n_embd"),
        ("num_hidden_layers", "n_layer"),
        ("num_attention_heads", "n_head"),
        ("intermediate_size", "ffn_hidden_size"),
        ("padded_vocab_size", "vocab_size"),
        "seq_length",
    )
    refuse_options(
        folder, {"rotary_pct": config.get("rotary_pct", 1.0) != 1.0, "no_bias": config.get("no_bias") is False}
    )
    parsed = Qwen2Config(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=heads,
        intermediate_size=ffn // 2,
        vocab_size=vocabulary,
        max_position_embeddings=context,
        rms_norm_eps=config.get("layer_norm_epsilon", 1e-6),
        rope_parameters={"rope_type": "default", "rope_theta": float(config.get("rotary_emb_base", 10_000))},
        tie_word_embeddings=bool(config.get("tie_word_embeddings", False)),
        eos_token_id=config.get("eos_token_id"),
        seq_length=context,
    )
    if config.get("use_dynamic_ntk") and config.get("use_logn_attn"):
        scaled = required_ints(folder, config, ("max_position_embeddings", "n_positions"))[0]
        setattr(parsed, SCALED_CONTEXT, max(context, scaled))
    tensors = split_qkv(rename_tensors(read_tensors(folder), QWEN_NAMES), [hidden, hidden, hidden])
    return build_model(folder, parsed, drop_tensors(tensors, ".rotary_emb.inv_freq"))


def from_chatglm(folder: Path, config: dict[str, Any]) -> PreTrainedModel:
    """ChatGLM2 and ChatGLM3 as a GLM."""
    hidden, layers, heads, head_size, ffn, vocabulary, context = required_ints(
        folder,
        config,
        "hidden_size",
        "num_layers",
        "num_attention_heads",
        "kv_channels",
        "ffn_hidden_size",
        ("padded_vocab_size", "vocab_size"),
        "seq_length",
    )
    refuse_options(
        folder,
        {
            "add_bias_linear": bool(config.get("add_bias_linear")),
            "rmsnorm": config.get("rmsnorm", True) is not True,
            "post_layer_norm": config.get("post_layer_norm", True) is not True,
            "apply_residual_connection_post_layernorm": bool(config.get("apply_residual_connection_post_layernorm")),
        },
    )
    groups = config.get("multi_query_group_num", heads) if config.get("multi_query_attention") else heads
    parsed = GlmConfig(
        hidden_size=hidden,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=groups,
        head_dim=head_size,
        intermediate_size=ffn,
        vocab_size=vocabulary,
        max_position_embeddings=context,
        rms_norm_eps=config.get("layernorm_epsilon", 1e-5),
        attention_bias=bool(config.get("add_qkv_bias")),
        rope_parameters={
            "rope_type": "default",
            "rope_theta": 10_000.0 * config.get("rope_ratio", 1),
            "partial_rotary_factor": 0.5,
        },
        tie_word_embeddings=bool(config.get("tie_word_embeddings", False)),
        pad_token_id=config.get("pad_token_id", 0),
        eos_token_id=_chatglm_eos(config.get("eos_token_id", 2), vocabulary),
    )
    rows = [heads * head_size, groups * head_size, groups * head_size]
    tensors = split_qkv(rename_tensors(read_tensors(folder), CHATGLM_NAMES), rows)
    return build_model(folder, parsed, drop_tensors(tensors, "rotary_pos_emb.inv_freq"))


def from_text_part(folder: Path, config: dict[str, Any]) -> PreTrainedModel:
    """The language model of one that also reads images. A published config may leave out what is the default."""
    text_config = config.get("text_config")
    if not isinstance(text_config, dict):
        raise missing_keys(folder, ["text_config"])
    config_class = type(CONFIG_MAPPING[config["model_type"]]().get_text_config())
    text_type = text_config.get("model_type", config_class.model_type)
    parsed = _parsed_config(folder, CONFIG_MAPPING[text_type], text_config)
    check_exportable(parsed.model_type)
    tied = config.get("tie_word_embeddings")  # the head belongs to the whole model, whose settings count too
    if tied is False or (tied and "tie_word_embeddings" not in text_config):
        parsed.tie_word_embeddings = tied
    tensors = {
        name: tensor
        for name, tensor in read_tensors(folder).items()
        if not name.removeprefix("model.").startswith(PARTS_LEFT_OUT)
    }
    return build_model(folder, parsed, rename_tensors(tensors, IMAGE_MODEL_NAMES))


def from_granite_hybrid(folder: Path, config: dict[str, Any]) -> PreTrainedModel:
    """A Granite 4.0 with Mamba layers; one with neither these nor experts is read as a Granite."""
    if "mamba" in (config.get("layer_types") or ["mamba"]):
        # JSON has no infinity, which is the default's end, so the key may be there without a value.
        known = {name: value for name, value in config.items() if (name, value) != ("time_step_limit", None)}
        return from_transformers(folder, known)
    hidden, layers, heads, ffn, vocabulary, context = required_ints(
        folder,
        config,
        "hidden_size",
        "num_hidden_layers",
        "num_attention_heads",
        "shared_intermediate_size",
        "vocab_size",
        "max_position_embeddings",
    )
    if config.get("num_local_experts"):
        raise UserError("checkpoint.granite_experts", folder=folder)
    refuse_options(folder, {"position_embedding_type": config.get("position_embedding_type") != "rope"})
    known = GraniteConfig().to_dict().keys() - {"model_type", "architectures", "intermediate_size"}
    parsed = _parsed_config(
        folder,
        GraniteConfig,
        {
            **{name: value for name, value in config.items() if name in known or name == "rope_theta"},
            "hidden_size": hidden,
            "num_hidden_layers": layers,
            "num_attention_heads": heads,
            "intermediate_size": ffn,
            "vocab_size": vocabulary,
            "max_position_embeddings": context,
        },
    )
    return build_model(
        folder, parsed, split_gate_up(rename_tensors(read_tensors(folder), GRANITE_NAMES), "gate_up_proj")
    )


def from_gpt_oss(folder: Path, config: dict[str, Any]) -> PreTrainedModel:
    """gpt-oss, whose experts are published in 4 bits; they are unpacked in memory."""
    check_exportable("gpt_oss")
    kept = {name: value for name, value in config.items() if name != "quantization_config"}
    return build_model(folder, _parsed_config(folder, GptOssConfig, kept), unpack_mxfp4(read_tensors(folder)))


# By `model_type`: the architectures whose published checkpoints Transformers cannot read correctly.
converters: dict[str, Callable[[Path, dict[str, Any]], PreTrainedModel]] = by_model_type("read_checkpoint")


def _parsed_config(folder: Path, config_class: type[PreTrainedConfig], config: dict[str, Any]) -> PreTrainedConfig:
    """Transformers' config of an architecture.

    Raises:
        UserError: a value has the wrong type or range.
    """
    with reading_settings(folder):
        return config_class.from_dict(config)


def _chatglm_eos(eos: int | list[int], vocabulary: int) -> list[int]:
    """The tokens that end an answer: the config's, and with ChatGLM's usual one the role tokens too."""
    if eos != 2:
        return eos if isinstance(eos, list) else [eos]
    return [2, *(id for id in CHATGLM3_TURNS if id < vocabulary)]
