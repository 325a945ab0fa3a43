"""Small checkpoints that read images → the two GGUF files that llama.cpp's scripts make of them, in 16 and 32 bits.

The scripts are https://github.com/ggml-org/llama.cpp/tree/master/conversion; of LLaVA, the older one in its tools/mtmd.
"""

import json
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf import GGUFWriter, TokenType
from safetensors.numpy import load_file
from tokenizers import Tokenizer

Arrays = dict[str, np.ndarray]

# By the checkpoint: the language model's architecture, and the projector.
KINDS = {
    "gemma3": ("gemma3", "gemma3"),
    "llava": ("llama", "mlp"),
    "mistral3": ("llama", "pixtral"),
    "pixtral": ("llama", "pixtral"),
    "qwen2_5_vl": ("qwen2vl", "qwen2.5vl_merger"),
    "qwen2_vl": ("qwen2vl", "qwen2vl_merger"),
    "qwen3_vl": ("qwen3vl", "qwen3vl_merger"),
    "smolvlm": ("llama", "idefics3"),
}
OLDER_NAMES = False  # whether the first and the last matrix of an MLP have each other's names

EPSILON: float | None = None  # of the language model's norms; None: the checkpoint's
SMALL_TYPE: type[np.floating] = np.float16  # of matrices

# What the scripts call the parts of a tensor's name, before they look it up.
RENAMED = {
    "model.language_model.": "model.",
    "model.text_model.": "model.",
    "language_model.model.": "model.",
    "language_model.lm_head.": "lm_head.",
    "model.visual.": "visual.",
    "mm_input_projection_weight": "mm_input_projection.weight",
}


def write_pair(checkpoint: Path, folder: Path, **changes: Any) -> tuple[Path, Path]:
    """Writes "model.gguf" and "mmproj-model-f16.gguf" to a folder.

    Args:
        changes: of the second file's keys, by the ends of their names; None leaves one out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config = json.loads((checkpoint / "config.json").read_text(encoding="utf-8"))
    tensors = {_renamed(name): array for name, array in load_file(checkpoint / "model.safetensors").items()}
    of_language = ("model.layers.", "model.norm.", "model.embed_tokens.", "lm_head.")
    language = {name: array for name, array in tensors.items() if name.startswith(of_language)}
    paths = folder / "model.gguf", folder / "mmproj-model-f16.gguf"
    _write_language(paths[0], checkpoint, config, language)
    rest = {name: array for name, array in tensors.items() if name not in language and ".head." not in name}
    _write_tower(paths[1], checkpoint, config, rest, changes)
    return paths


def _kind(config: dict[str, Any]) -> tuple[str, str]:
    vision_type = config["vision_config"].get("model_type")
    return KINDS[vision_type if vision_type in KINDS else config["model_type"]]


def _renamed(name: str) -> str:
    for old, new in RENAMED.items():
        name = name.replace(old, new)
    return name


def _write_language(path: Path, checkpoint: Path, config: dict[str, Any], tensors: Arrays) -> None:
    architecture, _ = _kind(config)
    text = config["text_config"]
    heads, kv_heads = text["num_attention_heads"], text["num_key_value_heads"]
    size = text.get("head_dim") or text["hidden_size"] // heads
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(text["num_hidden_layers"])
    writer.add_context_length(text["max_position_embeddings"])
    writer.add_embedding_length(text["hidden_size"])
    writer.add_feed_forward_length(text["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(kv_heads)
    writer.add_key_length(size)
    writer.add_value_length(size)
    writer.add_rope_dimension_count(size)
    writer.add_layer_norm_rms_eps(EPSILON or text["rms_norm_eps"])
    writer.add_rope_freq_base(_rope_base(text))
    if architecture == "gemma3":
        writer.add_sliding_window(text["sliding_window"])
        writer.add_sliding_window_pattern(2)
    if architecture == "qwen3vl":
        writer.add_num_deepstack_layers(len(config["vision_config"]["deepstack_visual_indexes"]))
    if architecture in ("qwen2vl", "qwen3vl"):
        writer.add_rope_dimension_sections([*text["rope_parameters"]["mrope_section"], 0])
    _add_tokenizer(writer, checkpoint, text["vocab_size"])
    names = gguf.get_tensor_name_map(
        next(arch for arch, name in gguf.MODEL_ARCH_NAMES.items() if name == architecture), text["num_hidden_layers"]
    )
    for name, array in tensors.items():
        if architecture == "llama" and (".q_proj." in name or ".k_proj." in name):
            array = _pairs_of_neighbours(array, heads if ".q_proj." in name else kv_heads)
        if architecture == "gemma3" and name.endswith("norm.weight"):
            array = array.astype(np.float32) + 1
        _add(writer, names.get_name(name, (".weight", ".bias")), array)
    _finish(writer)


def _rope_base(text: dict[str, Any]) -> float:
    parameters = text.get("rope_parameters") or text
    return (parameters.get("full_attention") or parameters)["rope_theta"]


def _pairs_of_neighbours(array: np.ndarray, heads: int) -> np.ndarray:
    return array.reshape(heads, 2, -1, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


def _add_tokenizer(writer: GGUFWriter, checkpoint: Path, size: int) -> None:
    settings = json.loads((checkpoint / "tokenizer_config.json").read_text(encoding="utf-8"))
    tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
    pieces = [tokenizer.id_to_token(id) or f"<unused{id}>" for id in range(size)]
    special = {token.content for token in tokenizer.get_added_tokens_decoder().values() if token.special}
    writer.add_tokenizer_model("llama")
    writer.add_token_list(pieces)
    writer.add_token_scores([-float(id) for id in range(size)])
    writer.add_token_types([_type(piece, special) for piece in pieces])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_chat_template(settings["chat_template"])


def _type(piece: str, special: set[str]) -> TokenType:
    if piece == "<unk>":
        return TokenType.UNKNOWN
    if piece in special:
        return TokenType.CONTROL
    if piece.startswith("<unused"):
        return TokenType.UNUSED
    return TokenType.BYTE if piece.startswith("<0x") else TokenType.NORMAL


def _write_tower(path: Path, checkpoint: Path, config: dict[str, Any], tensors: Arrays, changes: dict) -> None:
    """The keys and tensors of the vision tower."""
    vision, (_, projector) = config["vision_config"], _kind(config)
    images = json.loads((checkpoint / "preprocessor_config.json").read_text(encoding="utf-8"))
    hidden = vision.get("embed_dim") or vision["hidden_size"]
    keys: dict[str, Any] = {
        "clip.has_vision_encoder": True,
        "clip.projector_type": projector,
        "clip.vision.projection_dim": config["text_config"]["hidden_size"],
        "clip.vision.image_size": vision.get("image_size") or _edge_of_positions(vision),
        "clip.vision.patch_size": vision["patch_size"],
        "clip.vision.embedding_length": hidden,
        "clip.vision.feed_forward_length": vision.get("intermediate_size") or 2 * hidden,
        "clip.vision.block_count": vision.get("depth") or vision["num_hidden_layers"],
        "clip.vision.attention.head_count": vision.get("num_heads") or vision["num_attention_heads"],
        "clip.vision.attention.layer_norm_epsilon": vision.get("layer_norm_eps", 1e-6),
        "clip.vision.image_mean": images["image_mean"],
        "clip.vision.image_std": images["image_std"],
        **dict(_keys_of(projector, config, images)),
    }
    layers = keys["clip.vision.block_count"]
    keys |= {next((key for key in keys if key.endswith(end)), f"clip.{end}"): value for end, value in changes.items()}
    writer = GGUFWriter(path, "clip")
    adders: dict[type, Callable[..., None]] = {
        bool: writer.add_bool,
        int: writer.add_uint32,
        float: writer.add_float32,
        str: writer.add_string,
    }
    for key, value in keys.items():
        if value is not None:
            adders.get(type(value), writer.add_array)(key, value)
    if projector == "pixtral":
        tensors = {name: _as_rotated(name, array, vision["num_attention_heads"]) for name, array in tensors.items()}
        tensors["v.token_embd.img_break"] = np.ones(config["text_config"]["hidden_size"], np.float32)
    for name, array in _tower_tensors(tensors, projector, layers, vision.get("deepstack_visual_indexes", [])):
        _add(writer, name, array)
    _finish(writer)


def _edge_of_positions(vision: dict[str, Any]) -> int:
    """In pixels, of a tower whose pictures keep their shape."""
    return math.isqrt(vision.get("num_position_embeddings", 40**2)) * vision["patch_size"]


def _keys_of(projector: str, config: dict[str, Any], images: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if projector in ("gemma3", "idefics3", "qwen3vl_merger"):
        yield "clip.use_gelu", True
    if projector == "gemma3":
        vision = config["vision_config"]
        side = int(config["mm_tokens_per_image"] ** 0.5)
        yield "clip.vision.projector.scale_factor", vision["image_size"] // vision["patch_size"] // side
    if projector == "idefics3":
        yield "clip.vision.projector.scale_factor", config["scale_factor"]
        yield "clip.vision.preproc_image_size", images["size"]["longest_edge"]
    if projector == "mlp":
        layer = config["vision_feature_layer"] + config["vision_config"]["num_hidden_layers"] + 1
        yield "clip.vision.feature_layer", [layer]
        yield "clip.vision.block_count", layer
        yield "clip.use_gelu", False
    if projector == "qwen2.5vl_merger":
        yield "clip.use_silu", True
        yield "clip.vision.n_wa_pattern", config["vision_config"]["fullatt_block_indexes"][0] + 1
        yield "clip.vision.window_size", config["vision_config"]["window_size"]
    if projector == "pixtral":
        yield "clip.use_silu", True
        yield "clip.vision.attention.layer_norm_epsilon", 1e-5
        yield "clip.vision.spatial_merge_size", config.get("spatial_merge_size")
    if projector.startswith("qwen"):
        yield "clip.vision.image_min_pixels", images["min_pixels"]
        yield "clip.vision.image_max_pixels", images["max_pixels"]


def _tower_tensors(tensors: Arrays, projector: str, layers: int, deep: list[int]) -> Iterator[tuple[str, np.ndarray]]:
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.MMPROJ, 8)
    for name, array in tensors.items():
        if projector == "mlp":
            if "post_layernorm" in name or f".layers.{layers}." in name:
                continue
            name = name.replace("projector.linear_1", "projector.linear_0")
        if projector == "qwen3vl_merger" and (renamed := _of_qwen3(name, deep)):
            yield renamed, array
        elif ".qkv." in name and projector != "qwen3vl_merger":
            for part, rows in zip("qkv", np.split(array, 3), strict=True):
                yield names.get_name(name.replace("qkv", part), (".weight", ".bias")) or name, rows
        elif name == "visual.patch_embed.proj.weight":
            yield "v.patch_embd.weight", array[:, :, 0]
            yield "v.patch_embd.weight.1", array[:, :, 1]
        elif name.endswith("soft_emb_norm.weight"):
            yield "mm.soft_emb_norm.weight", array.astype(np.float32) + 1
        elif name.endswith("mm_input_projection.weight"):
            yield "mm.input_projection.weight", array
        else:
            yield names.get_name(name, (".weight", ".bias")) or name, array


def _of_qwen3(name: str, deep: list[int]) -> str | None:
    """The name of a tensor behind Qwen3-VL's layers; None for others."""
    if match := re.fullmatch(r"visual\.deepstack_merger_list\.(\d+)\.(?:linear_)?(.+)", name):
        return f"v.deepstack.{deep[int(match[1])]}.{match[2]}"
    name, count = re.subn(r"visual\.merger\.linear_fc(\d)", lambda match: f"mm.{2 * int(match[1]) - 2}", name)
    return name if count else name.replace("visual.merger.norm", "v.post_ln") if "merger.norm" in name else None


def _as_rotated(name: str, array: np.ndarray, heads: int) -> np.ndarray:
    return _pairs_of_neighbours(array, heads) if name.endswith(("q_proj.weight", "k_proj.weight")) else array


def _add(writer: GGUFWriter, name: str | None, array: np.ndarray) -> None:
    """As the scripts do: what has one axis, and the positions, in 32 bits."""
    assert name is not None
    if OLDER_NAMES and name.startswith("v."):
        name = name.replace("ffn_up", "ffn_first").replace("ffn_down", "ffn_up").replace("ffn_first", "ffn_down")
    writer.add_tensor(name, array.astype(np.float32 if array.ndim == 1 or "position_embd" in name else SMALL_TYPE))


def _finish(writer: GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
