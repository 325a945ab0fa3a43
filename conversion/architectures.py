"""A checkpoint folder as its authors published it → a Transformers model, without running any of the folder's code.

Weights are mapped into memory, not read: a model takes hardly any of the machine's own until something works on it.
Architectures that Transformers does not have are rewritten as the ones that they are: `converters` says which.
"""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

from config import UserError
from conversion.exporter_configs import check_exportable
from conversion.weights import Tensors, build_model, read_json, read_tensors
from model_folder import ORIGINAL_MODEL_TYPE, SCALED_CONTEXT

from huggingface_hub.errors import StrictDataclassError
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    GlmConfig,
    PreTrainedModel,
    Qwen2Config,
)

# ChatGLM3's `<|user|>` and `<|observation|>`: the model says one of them where it wants an answer.
CHATGLM3_TURNS = (64795, 64797)


def read_checkpoint(folder: Path) -> PreTrainedModel:
    """The model in a folder, in the checkpoint's own precision, with its weights mapped from the files.

    Nothing in the folder is executed: what `auto_map` names is not looked at, and pickles may hold only tensors.

    Raises:
        UserError: the folder lacks something, a file is damaged, the weights are not those that `config.json`
            describes, or nothing here can read this kind of model.
    """
    config = read_config(folder)
    model_type = config["model_type"]
    if quantization := config.get("quantization_config"):
        method = quantization.get("quant_method") if isinstance(quantization, dict) else quantization
        raise UserError(
            f"{folder} holds weights that are compressed already ({method}); "
            f"choose the checkpoint that they were made from."
        )
    if model_type not in converters and model_type not in CONFIG_MAPPING:
        raise UserError(
            f"{folder} has a model of the kind {model_type!r}, which neither Transformers nor this project can read "
            f"without running the checkpoint's own code; choose a model of another kind."
        )
    model = converters.get(model_type, from_transformers)(folder, config)
    model.config.name_or_path = str(folder)
    if model.config.model_type != model_type:
        setattr(model.config, ORIGINAL_MODEL_TYPE, model_type)
    return model


def read_config(folder: Path) -> dict[str, Any]:
    """What `config.json` says, without `auto_map`, which names Python files to run.

    Raises:
        UserError: there is no such file, or it does not say what kind of model this is.
    """
    config = read_json(folder / "config.json")
    config.pop("auto_map", None)
    if not isinstance(config.get("model_type"), str):
        raise UserError(f"{folder / 'config.json'} has no model_type; download the checkpoint again or name another.")
    return config


def from_transformers(folder: Path, config: dict[str, Any]) -> PreTrainedModel:
    """A model of an architecture that Transformers has."""
    config_class = CONFIG_MAPPING[config["model_type"]]
    # A number of heads that does not fit the weights would not show: shapes don't tell it.
    heads = {"num_attention_heads", config_class.attribute_map.get("num_attention_heads"), "n_head"}
    if not heads & config.keys():
        raise _missing_keys(folder, ["num_attention_heads"])
    try:
        parsed = config_class.from_dict(config)
    except (StrictDataclassError, TypeError, ValueError, KeyError, AttributeError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{folder / 'config.json'} can't be used ({reason}); download the checkpoint again.") from error
    check_exportable(parsed.model_type)
    if type(parsed) not in MODEL_FOR_CAUSAL_LM_MAPPING or parsed.is_encoder_decoder:
        raise UserError(f"{folder} has a {parsed.model_type!r}, which does not continue a text; choose a chat model.")
    return build_model(folder, parsed, read_tensors(folder))


def from_mpt(folder: Path, config: dict[str, Any]) -> PreTrainedModel:
    """MPT. Transformers has the architecture, but reads past the switches that it does not know."""
    attention = config.get("attn_config") or {}
    _refuse(
        folder,
        {
            "attn_config.alibi": attention.get("alibi", True) is not True,
            "attn_config.alibi_bias_max": attention.get("alibi_bias_max", 8) != 8,
            "attn_config.clip_qkv": attention.get("clip_qkv") is not None,  # the exporter leaves it out
            "attn_config.prefix_lm": bool(attention.get("prefix_lm")),
            "attn_config.qk_ln": bool(attention.get("qk_ln")),
            "logit_scale": config.get("logit_scale") is not None,
            "no_bias": config.get("no_bias", True) is not True,
        },
    )
    _values(folder, config, "d_model", "n_heads", "n_layers", "max_seq_len", "vocab_size")
    return from_transformers(folder, {**config, "use_cache": True})


def from_qwen(folder: Path, config: dict[str, Any]) -> PreTrainedModel:
    """Qwen v1 as the Qwen2 that it is. Its `config.json` comes in two layouts.

    Up to `seq_length` the two compute the same, and there `max_position_embeddings` ends. What the original does beyond
    it, `OVQWENModel` adds to the converted graph.
    """
    hidden, layers, heads, ffn, vocabulary, context = _values(
        folder,
        config,
        ("hidden_size", "n_embd"),
        ("num_hidden_layers", "n_layer"),
        ("num_attention_heads", "n_head"),
        ("intermediate_size", "ffn_hidden_size"),
        ("padded_vocab_size", "vocab_size"),
        "seq_length",
    )
    _refuse(folder, {"rotary_pct": config.get("rotary_pct", 1.0) != 1.0, "no_bias": config.get("no_bias") is False})
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
        scaled = _values(folder, config, ("max_position_embeddings", "n_positions"))[0]
        setattr(parsed, SCALED_CONTEXT, max(context, scaled))
    names = {
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
    tensors = _split_qkv(_renamed(read_tensors(folder), names), [hidden, hidden, hidden])
    return build_model(folder, parsed, _without(tensors, ".rotary_emb.inv_freq"))


def from_chatglm(folder: Path, config: dict[str, Any]) -> PreTrainedModel:
    """ChatGLM2 and 3 as the GLM that they are."""
    hidden, layers, heads, head_size, ffn, vocabulary, context = _values(
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
    _refuse(
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
    names = {
        "transformer.embedding.word_embeddings.": "model.embed_tokens.",
        "transformer.encoder.final_layernorm.": "model.norm.",
        "transformer.encoder.layers.": "model.layers.",
        "transformer.output_layer.": "lm_head.",
        ".self_attention.dense.": ".self_attn.o_proj.",
        ".mlp.dense_h_to_4h.": ".mlp.gate_up_proj.",
        ".mlp.dense_4h_to_h.": ".mlp.down_proj.",
        ".self_attention.query_key_value.": ".self_attn.qkv_proj.",
    }
    rows = [heads * head_size, groups * head_size, groups * head_size]
    tensors = _split_qkv(_renamed(read_tensors(folder), names), rows)
    return build_model(folder, parsed, _without(tensors, "rotary_pos_emb.inv_freq"))


# A key is a `model_type`: the architectures that Transformers does not read as they were published.
converters: dict[str, Callable[[Path, dict[str, Any]], PreTrainedModel]] = {
    "chatglm": from_chatglm,
    "mpt": from_mpt,
    "qwen": from_qwen,
}


def _renamed(tensors: Tensors, names: dict[str, str]) -> Tensors:
    """The tensors, with every part of a name that is a key in `names` replaced."""
    result = {}
    for name, tensor in tensors.items():
        for old, new in names.items():
            name = name.replace(old, new)
        result[name] = tensor
    return result


def _split_qkv(tensors: Tensors, rows: list[int]) -> Tensors:
    """The tensors, with each `qkv_proj` as three views of so many rows. One of another size is left for the check."""
    result = {}
    for name, tensor in tensors.items():
        if ".qkv_proj." in name and len(tensor) == sum(rows):
            for letter, part in zip("qkv", tensor.split(rows), strict=True):
                result[name.replace(".qkv_proj.", f".{letter}_proj.")] = part
        else:
            result[name] = tensor
    return result


def _without(tensors: Tensors, ending: str) -> Tensors:
    return {name: tensor for name, tensor in tensors.items() if not name.endswith(ending)}


def _values(folder: Path, config: dict[str, Any], *names: str | tuple[str, ...]) -> list[int]:
    """The config's whole numbers under these names, each the first of its spellings that is there.

    Raises:
        UserError: some are missing, or are something else.
    """
    spellings = [(name,) if isinstance(name, str) else name for name in names]
    found = [next((config[name] for name in row if config.get(name) is not None), None) for row in spellings]
    if missing := [row[0] for row, value in zip(spellings, found, strict=True) if not isinstance(value, int)]:
        raise _missing_keys(folder, missing)
    return [int(value) for value in found if value is not None]


def _missing_keys(folder: Path, names: Collection[str]) -> UserError:
    return UserError(
        f"{folder / 'config.json'} does not say {', '.join(names)}; download the checkpoint again or name another."
    )


def _refuse(folder: Path, switches: dict[str, bool]) -> None:
    """Says which of the config's switches ask for something that would be left out."""
    if unknown := [name for name, is_unknown in switches.items() if is_unknown]:
        raise UserError(
            f"{folder / 'config.json'} asks for something that is not supported ({', '.join(unknown)}); "
            f"choose another model."
        )


def _chatglm_eos(eos: int | list[int], vocabulary: int) -> list[int]:
    """What ends an answer: the config's own ids, and the role tokens where it names only ChatGLM's one."""
    if eos != 2:
        return eos if isinstance(eos, list) else [eos]
    return [2, *(id for id in CHATGLM3_TURNS if id < vocabulary)]
