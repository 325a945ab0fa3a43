import json
from pathlib import Path

import pytest

from llm_chatbot.sources.weight_files import WeightFiles, weight_files

INDEX = "model.safetensors.index.json"


def found(folder: Path, shards: list[str], *there: str) -> WeightFiles:
    """The files of a checkpoint whose index lists these shards."""
    (folder / INDEX).write_text(json.dumps({"weight_map": {shard: shard for shard in shards}}), encoding="utf-8")
    return weight_files({INDEX, *there}, lambda index: folder / index)


@pytest.mark.parametrize("whole", ["model.safetensors", "pytorch_model.bin"])
def test_a_whole_file_is_named_beside_an_index_that_lists_what_is_not_there(whole: str, tmp_path: Path):
    files = found(tmp_path, ["a.safetensors", "b.safetensors"], "a.safetensors", whole)
    assert (files.missing, files.whole) == (("b.safetensors",), whole)
    assert found(tmp_path, ["a.safetensors"], "a.safetensors", whole).whole is None


def test_names_in_an_index_are_those_of_the_folder(tmp_path: Path):
    files = found(tmp_path, ["./a.safetensors", "weights/b.safetensors"], "a.safetensors", "weights/b.safetensors")
    assert files.names == ["a.safetensors", "weights/b.safetensors"] and not files.missing
