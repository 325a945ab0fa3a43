"""Towers that can't be built are refused by what they have."""

from pathlib import Path

import pytest

from llm_chatbot.errors import UserError
from llm_chatbot.tower.build import build_tower, read_tower, tower_settings
from tests import small_image_checkpoints
from tests.small_mmproj import write_pair


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_image_checkpoints.write("llava", tmp_path_factory.mktemp("checkpoints") / "llava")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"vision.image_grid_pinpoints": [336, 672]}, "has vision.image_grid_pinpoints, which is not supported"),
        ({"vision.feature_layer": [1, 2]}, "clip.vision.feature_layer"),
        ({"vision.block_count": 1, "vision.feature_layer": None}, "has v.blk.1.*, which is not supported"),
        ({"vision.block_count": 3, "vision.feature_layer": None}, "lacks v.blk.2"),
        ({"vision.image_size": 56}, "can't be read"),
        ({"vision.attention.head_count": 5}, "can't be read"),
        ({"vision.patch_size": None}, "clip.vision.patch_size is missing"),
    ],
    ids=str,
)
def test_what_a_tower_has_and_the_graph_has_not_is_named(changes: dict, said: str, llava: Path, tmp_path: Path):
    _, path = write_pair(llava, tmp_path, **changes)
    with pytest.raises(UserError, match=said):
        build_tower(read_tower(path))


def test_colours_without_means_are_refused_when_pictures_are_prepared(llava: Path, tmp_path: Path):
    from llm_chatbot.engine.vision.processors import processor_of

    _, path = write_pair(llava, tmp_path, **{"vision.image_mean": None})
    with pytest.raises(UserError, match=r"mmproj-model-f16\.gguf has settings for pictures that can't be read"):
        processor_of(*tower_settings(read_tower(path)), path)
