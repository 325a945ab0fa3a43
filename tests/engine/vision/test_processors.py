"""What Transformers' own processors make of the same pictures, pixel by pixel."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.gemma3.image_processing_pil_gemma3 import Gemma3ImageProcessorPil
from transformers.models.gemma4.image_processing_pil_gemma4 import Gemma4ImageProcessorPil
from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil
from transformers.models.idefics3.image_processing_pil_idefics3 import Idefics3ImageProcessorPil
from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.models.smolvlm.image_processing_pil_smolvlm import SmolVLMImageProcessorPil
from transformers.models.smolvlm.processing_smolvlm import get_image_prompt_string

from llm_chatbot.engine.vision.processors import PROCESSORS, processor_of
from llm_chatbot.engine.vision.tiles import patch_positions
from llm_chatbot.errors import UserError
from llm_chatbot.folder.image_settings import KNOWN_PROCESSORS
from tests.pictures import random_picture

SIZES = [(336, 336), (640, 480), (480, 640), (100, 333), (1001, 17), (3, 700), (1, 1), (337, 335)]

CLIP = {
    "image_processor_type": "CLIPImageProcessor",
    "size": {"shortest_edge": 336},
    "crop_size": {"height": 336, "width": 336},
    "resample": 3,
    "rescale_factor": 1 / 255,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
TILES = {
    "image_processor_type": "Idefics3ImageProcessor",
    "size": {"longest_edge": 4 * 64},
    "max_image_size": {"longest_edge": 64},
    "resample": 1,
    "rescale_factor": 1 / 255,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
SQUARE = {"size": {"height": 112, "width": 98}, "resample": 2}
QWEN_CONFIG = {
    "vision_config": {
        **{"patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2},
        **{"hidden_size": 32, "num_heads": 2},
    }
}
CLIP_CONFIG = {"vision_config": {"patch_size": 14, "image_size": 336}}
TILES_CONFIG = {"vision_config": {"patch_size": 16, "image_size": 64}, "scale_factor": 2}
HERE = Path("preprocessor_config.json")


@pytest.mark.parametrize(
    "changed", [{}, {"size": {"shortest_edge": 224}, "crop_size": {"height": 300, "width": 301}}, {"resample": 2}]
)
@pytest.mark.parametrize("size", SIZES)
def test_clip_pixels_are_those_of_transformers(size: tuple[int, int], changed: dict[str, Any]):
    settings, picture = {**CLIP, **changed}, random_picture(*size)
    expected = CLIPImageProcessorPil(**settings)(images=picture, return_tensors="np")["pixel_values"]
    ours = processor_of(settings, CLIP_CONFIG, HERE)
    np.testing.assert_array_equal(ours.inputs(ours.prepare(picture).tiles)["pixel_values"], expected)


@pytest.mark.parametrize("size", SIZES)
def test_gemma_pixels_are_those_of_transformers(size: tuple[int, int]):
    settings, picture = {**TILES, "image_processor_type": "Gemma3ImageProcessor", **SQUARE}, random_picture(*size)
    expected = Gemma3ImageProcessorPil(**settings)(images=picture, return_tensors="np")["pixel_values"]
    ours = processor_of(settings, {"mm_tokens_per_image": 3}, HERE)
    prepared = ours.prepare(picture)
    np.testing.assert_array_equal(ours.inputs(prepared.tiles)["pixel_values"], expected)
    soft = "<image_soft_token>" * 3
    assert prepared.text == f"\n\n<start_of_image>{soft}<end_of_image>\n\n"


@pytest.mark.parametrize("most", [70, 280])
@pytest.mark.parametrize("size", SIZES)
def test_gemma4_patches_are_those_of_transformers(size: tuple[int, int], most: int):
    picture = random_picture(*size)
    settings = {"image_processor_type": "Gemma4ImageProcessor", "max_soft_tokens": most, "do_normalize": False}
    settings |= {"image_mean": [0.0] * 3, "image_std": [1.0] * 3}
    expected = Gemma4ImageProcessorPil(**settings)(images=picture, return_tensors="np")
    ours = processor_of(settings, {}, HERE)
    prepared = ours.prepare(picture)
    inputs = ours.inputs(prepared.tiles)
    np.testing.assert_array_equal(inputs["image_position_ids"], expected["image_position_ids"])
    np.testing.assert_array_equal(inputs["pixel_values"], expected["pixel_values"])
    (count,) = expected["num_soft_tokens_per_image"]
    assert prepared.text == f"<|image>{'<|image|>' * count}<image|>"


@pytest.mark.parametrize("merge", [None, 2])
@pytest.mark.parametrize("longest", [{"longest_edge": 154}, {"longest_edge": 1540}, {"height": 300, "width": 200}])
@pytest.mark.parametrize("size", SIZES)
def test_pixtral_pixels_and_rows_are_those_of_transformers(size: tuple[int, int], longest: dict, merge: int | None):
    if max(size) / max(*longest.values(), 0) >= min(size):
        pytest.skip("nothing is left of an edge in Transformers")
    settings, picture = (
        {**CLIP, "image_processor_type": "PixtralImageProcessor", "size": longest},
        random_picture(*size),
    )
    unit = 14 * (merge or 1)  # as `PixtralProcessor` of Transformers calls it
    expected = PixtralImageProcessorPil(**settings)(images=picture, patch_size={"height": unit, "width": unit})
    ours = processor_of(settings, {"vision_config": {"patch_size": 14}, "spatial_merge_size": merge}, HERE)
    prepared = ours.prepare(picture)
    np.testing.assert_array_equal(ours.inputs(prepared.tiles)["pixel_values"], expected["pixel_values"])
    rows = prepared.text.removesuffix("[IMG_END]").split("[IMG_BREAK]")
    height, width = expected["image_sizes"][0]
    assert rows == ["[IMG]" * (width // unit)] * (height // unit) and prepared.text.endswith("[IMG_END]")


@pytest.mark.parametrize("size", [(1001, 1), (1, 300)])
def test_of_a_thin_picture_a_row_is_left(size: tuple[int, int]):
    settings = {**CLIP, "image_processor_type": "PixtralImageProcessor", "size": {"longest_edge": 154}}
    prepared = processor_of(settings, {"vision_config": {"patch_size": 14}}, HERE).prepare(random_picture(*size))
    assert prepared.tiles.shape[2:] in ((14, 154), (154, 14)) and prepared.text.count("[IMG]") == 11


@pytest.mark.parametrize("limits", [(4 * 28 * 28, 1280 * 28 * 28), (60 * 28 * 28, 100 * 28 * 28)])
@pytest.mark.parametrize("size", SIZES)
def test_qwen_patches_are_those_of_transformers(size: tuple[int, int], limits: tuple[int, int]):
    if max(size) > 200 * min(size):
        pytest.skip("Transformers refuses so long a picture")
    picture, name = random_picture(*size), {"image_processor_type": "Qwen2VLImageProcessor"}
    # Not as "min_pixels": Transformers 5.5.4 would set the limits of all other processors too.
    settings = {**CLIP, **name, "size": {"shortest_edge": limits[0], "longest_edge": limits[1]}}
    expected = Qwen2VLImageProcessorPil(**settings)(images=picture, return_tensors="np")
    ours = processor_of(settings, QWEN_CONFIG, HERE)
    prepared = ours.prepare(picture)
    np.testing.assert_array_equal(ours.inputs(prepared.tiles)["hidden_states"], expected["pixel_values"])
    assert prepared.grid is not None
    assert expected["image_grid_thw"].tolist() == [[1, 2 * prepared.grid[0], 2 * prepared.grid[1]]]
    assert prepared.text == "<|image_pad|>" * (prepared.grid[0] * prepared.grid[1])
    older = {**settings, "size": None, "min_pixels": limits[0], "max_pixels": limits[1]}
    assert processor_of(older, QWEN_CONFIG, HERE).prepare(picture).grid == prepared.grid


def test_a_large_picture_is_scaled_to_what_the_towers_masks_have_memory_for():
    settings = {**CLIP, "image_processor_type": "Qwen2VLImageProcessor", "max_pixels": 16384 * 28 * 28}
    prepared = processor_of(settings, QWEN_CONFIG, HERE).prepare(random_picture(2000, 1500))
    assert prepared.grid is not None and 1200 < prepared.grid[0] * prepared.grid[1] <= 1280


@pytest.mark.parametrize("splits", [True, False])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("theirs", [Idefics3ImageProcessorPil, SmolVLMImageProcessorPil])
def test_tiles_and_their_text_are_those_of_transformers(theirs: Any, size: tuple[int, int], splits: bool):
    settings, picture = {**TILES, "do_image_splitting": splits}, random_picture(*size)
    expected = theirs(**settings)(images=[[picture]], return_tensors="np", return_row_col_info=True)
    ours = processor_of(settings, TILES_CONFIG, HERE)
    prepared = ours.prepare(picture)
    inputs = ours.inputs(prepared.tiles)
    np.testing.assert_array_equal(inputs["pixel_values"], expected["pixel_values"][0])
    assert (
        inputs["patch_attention_mask"].shape == (len(prepared.tiles), 4, 4) and expected["pixel_attention_mask"].all()
    )
    rows, columns = expected["rows"][0][0], expected["cols"][0][0]
    around = ("<fake_token_around_image>", "<image>", "<global-img>")
    assert prepared.text == get_image_prompt_string(rows, columns, 4, *around)


@pytest.mark.parametrize("tiles", [(1, 12), (2, 6), (1, 1)])
@pytest.mark.parametrize("size", [*SIZES, (64, 128), (200, 100), (91, 91)])
def test_internvl_tiles_are_those_of_transformers(size: tuple[int, int], tiles: tuple[int, int]):
    own = {"image_processor_type": "GotOcr2ImageProcessor", "size": {"height": 64, "width": 64}}
    settings, picture = {**TILES, **own, "min_patches": tiles[0], "max_patches": tiles[1]}, random_picture(*size)
    expected = GotOcr2ImageProcessorPil(**settings)(images=picture, crop_to_patches=True, return_tensors="np")
    config = {"vision_config": {"patch_size": [16, 16]}, "downsample_ratio": 0.5}
    ours = processor_of(settings, config, HERE)
    prepared = ours.prepare(picture)
    np.testing.assert_array_equal(ours.inputs(prepared.tiles)["pixel_values"], expected["pixel_values"])
    assert prepared.text == f"<img>{'<IMG_CONTEXT>' * 4 * len(expected['pixel_values'])}</img>"


@pytest.mark.parametrize("patches", [4, 14, 26, 27, 32, 70])
@pytest.mark.parametrize("trained", [14, 26, 27, 32, 70])
def test_positions_are_rounded_as_torch_rounds_them(patches: int, trained: int):
    borders = torch.arange(1 / trained, 1.0, 1 / trained)
    fractions = torch.clamp(torch.arange(patches, dtype=torch.float32) * (1.0 / torch.tensor(patches)), max=1 - 1e-6)
    places = torch.bucketize(fractions, borders, right=True)
    expected = (places[:, None] * trained + places).reshape(-1)
    np.testing.assert_array_equal(patch_positions(patches, trained), expected)


def test_a_conversion_refuses_the_others():
    assert set(PROCESSORS) == set(KNOWN_PROCESSORS)


def test_the_names_of_fast_processors_are_known():
    assert processor_of({**CLIP, "image_processor_type": "CLIPImageProcessorFast"}, CLIP_CONFIG, HERE)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ({**CLIP, "image_processor_type": "OtherImageProcessor"}, "image.processor"),
        ({}, "image.processor"),
        ({**CLIP, "image_mean": [0.5]}, "image.settings"),
        ({**CLIP, "size": 3}, "image.settings"),
        ({**CLIP, "resample": 77}, "image.settings"),
        ({name: value for name, value in CLIP.items() if name != "crop_size"}, "image.settings"),
    ],
)
def test_unknown_or_damaged_settings_are_a_sentence(settings: dict[str, Any], key: str):
    with pytest.raises(UserError) as caught:
        processor_of(settings, CLIP_CONFIG, HERE)
    assert caught.value.key == key
