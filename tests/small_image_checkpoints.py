"""Checkpoints of models that read images in small: the files and names of their repositories, with random weights."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import (
    CLIPVisionConfig,
    Gemma3Config,
    Gemma3ForConditionalGeneration,
    Gemma4Config,
    Gemma4ForConditionalGeneration,
    InternVLConfig,
    InternVLForConditionalGeneration,
    LlamaConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    Mistral3Config,
    Mistral3ForConditionalGeneration,
    MistralConfig,
    PixtralVisionConfig,
    PreTrainedConfig,
    PreTrainedModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Config,
    Qwen2VLConfig,
    Qwen2VLForConditionalGeneration,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
    SmolVLMConfig,
    SmolVLMForConditionalGeneration,
)

from tests.small_checkpoints import Tensors, of_transformers, write_json, write_llama_like
from tests.small_checkpoints import llama_tokenizer as write_tokenizer

TEXT = LlamaConfig(
    hidden_size=64,
    num_hidden_layers=2,
    num_attention_heads=4,
    num_key_value_heads=2,
    intermediate_size=128,
    vocab_size=640,
    max_position_embeddings=2048,
    bos_token_id=1,
    eos_token_id=2,
    pad_token_id=0,
)

SHARED = {
    *("hidden_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "intermediate_size"),
    *("vocab_size", "max_position_embeddings", "bos_token_id", "eos_token_id", "pad_token_id"),
}

LLAVA_TEMPLATE = (
    "{% for message in messages %}{{ message['role'].upper() }}: {% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image>\n{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "{{ '</s>' if message['role'] == 'assistant' else ' ' }}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
SMOLVLM_TEMPLATE = (
    "<s>{% for message in messages %}{{ message['role'].capitalize() }}"
    "{{ ':' if message['content'][0]['type'] == 'image' else ': ' }}{% for part in message['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% elif part['type'] == 'image' %}{{ '<image>' }}{% endif %}"
    "{% endfor %}<end_of_utterance>\n{% endfor %}{% if add_generation_prompt %}Assistant:{% endif %}"
)


def llava(folder: Path) -> None:
    """As llava-hf/llava-1.5-7b-hf: CLIP, of which the layer before the last one counts, and a LLaMA."""
    vision = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=3,
        num_attention_heads=2,
        image_size=42,
        patch_size=14,
        projection_dim=32,
    )
    ids = add_tokens(folder, LLAVA_TEMPLATE, ["<image>"])
    config = LlavaConfig(vision_config=vision, text_config=TEXT, image_token_index=ids["<image>"])
    save(folder, LlavaForConditionalGeneration, config, published_llava)
    settings = {"size": {"shortest_edge": 42}, "crop_size": {"height": 42, "width": 42}, "resample": 3}
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    write_image_settings(folder, "CLIPImageProcessor", settings, mean, std)


def published_llava(name: str) -> str:
    """The name of a tensor as it is published: Transformers 5 swaps the first two parts of some."""
    if name.startswith("model.language_model."):
        return name.replace("model.language_model.", "language_model.model.")
    return name.replace("lm_head.", "language_model.lm_head.").removeprefix("model.")


def smolvlm(folder: Path) -> None:
    """As HuggingFaceTB/SmolVLM2-2.2B-Instruct: SigLIP, of whose patches four become a vector, and a LLaMA."""
    vision = {
        "model_type": "smolvlm_vision",
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 56,
        "patch_size": 14,
    }
    tokens = ["<image>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]
    tokens += [f"<row_{row}_col_{column}>" for row in range(1, 5) for column in range(1, 5)]
    ids = add_tokens(folder, SMOLVLM_TEMPLATE, tokens)
    config = SmolVLMConfig(
        vision_config=vision, text_config=TEXT.to_dict(), image_token_id=ids["<image>"], scale_factor=2, pad_token_id=0
    )
    save(folder, SmolVLMForConditionalGeneration, config, str)
    settings = {
        "size": {"longest_edge": 4 * 56},
        "max_image_size": {"longest_edge": 56},
        "resample": 1,
        "do_image_splitting": True,
        "do_pad": True,
    }
    write_image_settings(folder, "SmolVLMImageProcessor", settings, [0.5] * 3, [0.5] * 3)


GEMMA_TEMPLATE = (
    "<s>{% for message in messages %}<|{{ message['role'] }}|>{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<start_of_image>{% else %}{{ part['text'] | trim }}{% endif %}{% endfor %}"
    "{% endif %}<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<|model|>{% endif %}"
)


def gemma3(folder: Path) -> None:
    """As google/gemma-3-4b-it: SigLIP, of whose patches each square becomes a vector, and layers with a window."""
    vision = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 112,
        "patch_size": 14,
    }
    text = {name: value for name, value in TEXT.to_dict().items() if name in SHARED} | {
        "head_dim": 16,
        "query_pre_attn_scalar": 16,
        "sliding_window": 24,
        "layer_types": ["sliding_attention", "full_attention"],
        "tie_word_embeddings": True,
    }
    tokens = ["<start_of_image>", "<image_soft_token>", "<end_of_image>", "<end_of_turn>"]
    ids = add_tokens(folder, GEMMA_TEMPLATE, tokens)
    config = Gemma3Config(
        vision_config=vision,
        text_config=text,
        mm_tokens_per_image=16,
        boi_token_index=ids["<start_of_image>"],
        image_token_index=ids["<image_soft_token>"],
        eoi_token_index=ids["<end_of_image>"],
    )
    save(folder, Gemma3ForConditionalGeneration, config, published_llava)
    settings = {"size": {"height": 112, "width": 112}, "resample": 2}
    write_image_settings(folder, "Gemma3ImageProcessor", settings, [0.5] * 3, [0.5] * 3)


def gemma4(folder: Path) -> None:
    """As google/gemma-4-E2B-it: vectors for each layer, and the last layers reading what others keep."""
    text = {"num_kv_shared_layers": 2, "hidden_size_per_layer_input": 32, "vocab_size_per_layer_input": 640}
    audio = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "output_proj_dims": 32}
    of_gemma4(folder, {**audio, "subsampling_conv_channels": [8, 4]}, **text, use_double_wide_mlp=True)


def gemma4_moe(folder: Path) -> None:
    """As google/gemma-4-26B-A4B-it: experts, and each vector of a picture looks at all of them in some layers."""
    experts = {"enable_moe_block": True, "num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 32}
    sees_all = {"use_bidirectional_attention": "vision", "sliding_window": 72}  # wider than a picture, as published
    of_gemma4(folder, None, **experts, **sees_all, hidden_size_per_layer_input=0)


def of_gemma4(folder: Path, audio: dict[str, Any] | None, **text: Any) -> None:
    vision = {
        **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"num_key_value_heads": 2, "head_dim": 16, "patch_size": 16, "position_embedding_size": 128},
        "use_clipped_linears": audio is not None,
    }
    sizes = {name: value for name, value in TEXT.to_dict().items() if name in SHARED} | {"num_hidden_layers": 4}
    kinds = ["sliding_attention", "full_attention"] * 2
    heads = {"head_dim": 16, "global_head_dim": 32, "sliding_window": 24, "layer_types": kinds}
    template = GEMMA_TEMPLATE.replace("<start_of_image>", "<|image|>")
    ids = add_tokens(folder, template, ["<|image>", "<|image|>", "<image|>", "<end_of_turn>"])
    config = Gemma4Config(
        vision_config=vision,
        audio_config=audio,
        text_config={**sizes, **heads, **text, "tie_word_embeddings": True},
        boi_token_id=ids["<|image>"],
        image_token_id=ids["<|image|>"],
        eoi_token_id=ids["<image|>"],
        **{"video_token_id": 637, "audio_token_id": 638},
    )
    save(folder, Gemma4ForConditionalGeneration, config, str)
    settings = {"patch_size": 16, "max_soft_tokens": 70, "pooling_kernel_size": 3, "resample": 3, "do_normalize": False}
    write_image_settings(folder, "Gemma4ImageProcessor", settings, [0.0] * 3, [1.0] * 3)


QWEN_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}"
    "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def qwen2_vl(folder: Path) -> None:
    """As Qwen/Qwen2-VL-2B-Instruct: patches in squares of four, and positions in time, height and width."""
    vision = {"embed_dim": 32, "hidden_size": 64, "depth": 2, "num_heads": 2, "mlp_ratio": 2}
    qwen_vl(folder, Qwen2VLForConditionalGeneration, Qwen2VLConfig, vision)


def qwen2_5_vl(folder: Path) -> None:
    """As Qwen/Qwen2.5-VL-3B-Instruct: the first layer looks at windows of two by two vectors."""
    vision = {
        **{"hidden_size": 32, "out_hidden_size": 64, "depth": 2, "num_heads": 2, "intermediate_size": 64},
        **{"fullatt_block_indexes": [1], "window_size": 56},
    }
    qwen_vl(folder, Qwen2_5_VLForConditionalGeneration, Qwen2_5_VLConfig, vision)


def qwen_vl(
    folder: Path,
    model_class: type[PreTrainedModel],
    config_class: type[PreTrainedConfig],
    vision: dict[str, Any],
    sections: tuple[int, ...] = (2, 3, 3),
    **further: int,
) -> None:
    tokens = ["<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
    ids = add_tokens(folder, QWEN_TEMPLATE, tokens)
    text = {name: value for name, value in TEXT.to_dict().items() if name in SHARED} | {
        "rope_parameters": {"rope_type": "default", "mrope_section": [*sections], "rope_theta": 10000.0},
        "tie_word_embeddings": False,
        **further,
    }
    config = config_class(
        vision_config={"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, **vision},
        text_config=text,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
        tie_word_embeddings=False,
    )
    save(folder, model_class, config, str)
    patches = {"patch_size": config.vision_config.patch_size, "merge_size": 2, "temporal_patch_size": 2}
    settings = {"min_pixels": 56 * 56, "max_pixels": 40 * 28 * 28, "resample": 3, **patches}
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    write_image_settings(folder, "Qwen2VLImageProcessor", settings, mean, std)


def qwen3_vl(folder: Path) -> None:
    """As Qwen/Qwen3-VL-2B-Instruct: vectors of pictures go to the first layers too, and the axes take turns."""
    vision = {
        **{"hidden_size": 32, "out_hidden_size": 64, "depth": 3, "num_heads": 2, "intermediate_size": 64},
        **{"patch_size": 16, "num_position_embeddings": 25, "deepstack_visual_indexes": [0, 2]},
    }
    qwen_vl(folder, Qwen3VLForConditionalGeneration, Qwen3VLConfig, vision, sections=(4, 2, 2), head_dim=16)


PIXTRAL_TEMPLATE = (
    "<s>{% for message in messages %}{% if message['role'] == 'user' %}[INST]{% if message['content'] is string %}"
    "{{ message['content'] }}{% else %}{% for part in message['content'] %}{% if part['type'] == 'image' %}[IMG]"
    "{% else %}{{ part['text'] }}{% endif %}{% endfor %}{% endif %}[/INST]{% else %}{{ message['content'] }}</s>"
    "{% endif %}{% endfor %}"
)


def pixtral(folder: Path) -> None:
    """As mistral-community/pixtral-12b: pictures keep their shape, with a token at the end of each row."""
    of_pixtral(folder, LlavaForConditionalGeneration, LlavaConfig, patch=16, vision_feature_select_strategy="full")


def mistral3(folder: Path) -> None:
    """As mistralai/Mistral-Small-3.1-24B-Instruct-2503: of Pixtral's patches four become a vector."""
    of_pixtral(folder, Mistral3ForConditionalGeneration, Mistral3Config, patch=14, spatial_merge_size=2)


def internvl(folder: Path) -> None:
    """As OpenGVLab/InternVL3-1B-hf: tiles, of whose patches four become a vector, and a Qwen2."""
    vision = {
        **{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2},
        **{"image_size": [56, 56], "patch_size": [14, 14]},
    }
    sizes = {name: value for name, value in TEXT.to_dict().items() if name in SHARED}
    template = QWEN_TEMPLATE.replace("<|vision_start|><|image_pad|><|vision_end|>", "<IMG_CONTEXT>\n")
    ids = add_tokens(folder, template, ["<|im_start|>", "<|im_end|>", "<img>", "</img>", "<IMG_CONTEXT>"])
    config = InternVLConfig(
        vision_config=vision,
        text_config=Qwen2Config(**sizes, tie_word_embeddings=False).to_dict(),
        image_token_id=ids["<IMG_CONTEXT>"],
        image_seq_length=4,
        downsample_ratio=0.5,
        tie_word_embeddings=False,
    )
    save(folder, InternVLForConditionalGeneration, config, published_llava)
    settings = {"size": {"height": 56, "width": 56}, "crop_to_patches": False, "max_patches": 6, "resample": 3}
    write_image_settings(folder, "GotOcr2ImageProcessor", settings, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225])


def of_pixtral(
    folder: Path,
    model_class: type[PreTrainedModel],
    config_class: type[PreTrainedConfig],
    patch: int,
    **options: Any,
) -> None:
    vision = PixtralVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=8 * patch,
        patch_size=patch,
        hidden_act="silu",
    )
    sizes = {name: value for name, value in TEXT.to_dict().items() if name in SHARED}
    text = MistralConfig(**sizes, head_dim=16, rms_norm_eps=1e-5, sliding_window=None, tie_word_embeddings=False)
    ids = add_tokens(folder, PIXTRAL_TEMPLATE, ["[INST]", "[/INST]", "[IMG]", "[IMG_BREAK]", "[IMG_END]"])
    config = config_class(
        vision_config=vision,
        text_config=text,
        image_token_index=ids["[IMG]"],
        vision_feature_layer=-1,
        tie_word_embeddings=False,
        **options,
    )
    save(folder, model_class, config, published_llava)
    settings = {"size": {"longest_edge": 8 * patch}, "patch_size": {"height": patch, "width": patch}, "resample": 3}
    mean, std = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    write_image_settings(folder, "PixtralImageProcessor", settings, mean, std)


def add_tokens(folder: Path, template: str, tokens: list[str]) -> dict[str, int]:
    """Writes a tokenizer that has these special tokens too, and returns their ids."""
    write_tokenizer(folder, template)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.add_special_tokens(tokens)
    tokenizer.save(str(folder / "tokenizer.json"))
    return {token: tokenizer.token_to_id(token) for token in tokens}


def save(
    folder: Path,
    model_class: type[PreTrainedModel],
    config: PreTrainedConfig,
    published: Callable[[str], str],
) -> None:
    tokenizer = {path: path.read_bytes() for path in folder.glob("*token*.json")}
    tensors, described = of_transformers(model_class, config, torch.float16)
    for name, tensor in tensors.items():
        if name.endswith("mm_input_projection_weight"):  # Transformers begins with zeros, which would hide the picture
            tensors[name] = 0.2 * torch.randn(tensor.shape, dtype=torch.float16)
    if config.get_text_config().tie_word_embeddings:
        tensors.pop("lm_head.weight")
    renamed: Tensors = {published(name): tensor for name, tensor in tensors.items()}
    write_llama_like(folder, renamed, described, shards=1, pickles=0)
    for path, content in tokenizer.items():
        path.write_bytes(content)


def write_image_settings(folder: Path, name: str, settings: dict, mean: list[float], std: list[float]) -> None:
    usual = {"do_resize": True, "do_rescale": True, "rescale_factor": 1 / 255, "do_normalize": True}
    colours = {"image_mean": mean, "image_std": std, "do_convert_rgb": True}
    python = {"auto_map": {"AutoImageProcessor": "image_processing_evil.Processor"}}  # which nobody may run
    crops = {"do_center_crop": True} if "crop_size" in settings else {}
    write_json(
        folder / "preprocessor_config.json",
        {"image_processor_type": name, **usual, **colours, **crops, **settings, **python},
    )


WRITERS: dict[str, Callable[[Path], None]] = {
    "gemma3": gemma3,
    "gemma4": gemma4,
    "gemma4_moe": gemma4_moe,
    "internvl": internvl,
    "llava": llava,
    "mistral3": mistral3,
    "pixtral": pixtral,
    "qwen2_5_vl": qwen2_5_vl,
    "qwen2_vl": qwen2_vl,
    "qwen3_vl": qwen3_vl,
    "smolvlm": smolvlm,
}


def write(name: str, folder: Path) -> Path:
    """Writes a checkpoint to a folder, the same at every call."""
    folder.mkdir(parents=True)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        WRITERS[name](folder)
    return folder
