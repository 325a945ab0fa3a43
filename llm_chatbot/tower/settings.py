"""The settings for pictures in an `mmproj` file, by the names of `preprocessor_config.json` and `config.json`.

A setting that it leaves out is as in the checkpoints that have such a tower.
"""

from typing import Any

from llm_chatbot.decoder.keys import Keys

# The settings of the processor, and those of the model that it needs.
TowerSettings = tuple[dict[str, Any], dict[str, Any]]

FEWEST_PIXELS = 256 * 256  # of a picture for Qwen3-VL
TILES = 4  # on the longer edge of a picture for Idefics 3 and SmolVLM, where a file doesn't say how long it is
WINDOW_PIXELS = 112  # pixels on an edge of a window of Qwen2.5-VL


def _colours(keys: Keys, processor: str) -> dict[str, Any]:
    means = {name: keys.get(f"vision.{name}") for name in ("image_mean", "image_std")}
    return {"image_processor_type": processor, **means}


def gemma3(keys: Keys) -> TowerSettings:
    size, patch = keys.size("vision.image_size"), keys.size("vision.patch_size")
    side = size // patch // keys.size("vision.projector.scale_factor", 4)
    settings = {**_colours(keys, "Gemma3ImageProcessor"), "size": {"height": size, "width": size}}
    return settings, {"mm_tokens_per_image": side**2}


def clip(keys: Keys) -> TowerSettings:
    size = keys.size("vision.image_size")
    settings = {**_colours(keys, "CLIPImageProcessor"), "size": {"shortest_edge": size}, "crop_size": size}
    return settings, {"vision_config": {"patch_size": keys.size("vision.patch_size")}}


def idefics3(keys: Keys) -> TowerSettings:
    size, patch = keys.size("vision.image_size"), keys.size("vision.patch_size")
    longest = keys.size("vision.preproc_image_size", TILES * size)
    edges = {"size": {"longest_edge": longest}, "max_image_size": {"longest_edge": size}}
    config = {"scale_factor": keys.size("vision.projector.scale_factor")}
    vision = {"image_size": size, "patch_size": patch}
    return {**_colours(keys, "Idefics3ImageProcessor"), **edges}, {**config, "vision_config": vision}


def pixtral(keys: Keys) -> TowerSettings:
    size = {"longest_edge": keys.size("vision.image_size")}
    vision = {
        "patch_size": keys.size("vision.patch_size"),
        "head_size": keys.size("vision.embedding_length") // keys.size("vision.attention.head_count"),
    }
    config = {"spatial_merge_size": keys.size("vision.spatial_merge_size", 1), "vision_config": vision}
    return {**_colours(keys, "PixtralImageProcessor"), "size": size}, config


def qwen2vl(keys: Keys) -> TowerSettings:
    limits = {f"{end}_pixels": keys.get(f"vision.image_{end}_pixels") for end in ("min", "max")}
    vision = {
        "patch_size": keys.size("vision.patch_size"),
        "spatial_merge_size": keys.size("vision.spatial_merge_size", 2),
        "temporal_patch_size": 2,
        "hidden_size": keys.size("vision.embedding_length"),
        "num_heads": keys.size("vision.attention.head_count"),
    }
    if keys.get("vision.n_wa_pattern"):
        vision["window_size"] = keys.size("vision.window_size", WINDOW_PIXELS)
    return {**_colours(keys, "Qwen2VLImageProcessor"), **limits}, {"vision_config": vision}


def qwen3vl(keys: Keys) -> TowerSettings:
    settings, config = qwen2vl(keys)
    settings["min_pixels"] = settings["min_pixels"] or FEWEST_PIXELS
    positions = keys.size("vision.image_size") // keys.size("vision.patch_size")
    return settings, {"vision_config": {**config["vision_config"], "num_position_embeddings": positions**2}}
