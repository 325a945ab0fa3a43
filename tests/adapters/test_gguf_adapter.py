"""Adapters in GGUF files that are something else, or damaged."""

from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFWriter
from gguf.constants import Keys

from llm_chatbot.adapters.gguf_adapter import read_gguf_adapter
from llm_chatbot.errors import UserError
from tests.convert.adapters.small_adapters import write_gguf_adapter

SHAPES = {"blk.0.attn_q.weight": (64, 32), "token_embd.weight": (320, 32)}


def test_each_change_has_the_shape_of_its_weight(tmp_path: Path):
    write_gguf_adapter(tmp_path / "adapter.gguf", SHAPES)
    found = read_gguf_adapter(tmp_path / "adapter.gguf", 0.5, "adapter")
    assert {layer: low_rank.shape for layer, low_rank in found.low_rank.items()} == SHAPES
    assert {low_rank.scale for low_rank in found.low_rank.values()} == {0.5 * 6 / 4}


def test_without_an_alpha_the_weight_alone_scales(tmp_path: Path):
    write_gguf_adapter(tmp_path / "adapter.gguf", SHAPES, alpha=0.0)
    found = read_gguf_adapter(tmp_path / "adapter.gguf", 0.5, "adapter")
    assert {low_rank.scale for low_rank in found.low_rank.values()} == {0.5}


@pytest.mark.parametrize(
    ("says", "named"),
    [({Keys.General.TYPE: "model"}, "'lora'"), ({Keys.Adapter.TYPE: "control_vector"}, "control_vec")],
)
def test_a_file_with_something_else_is_refused(says: dict[str, str], named: str, tmp_path: Path):
    write_gguf_adapter(tmp_path / "adapter.gguf", SHAPES, says=says)
    with pytest.raises(UserError, match=f"of the kind .*{named}"):
        read_gguf_adapter(tmp_path / "adapter.gguf", 1.0, "adapter")


def test_tensors_of_other_names_and_missing_halves_are_named(tmp_path: Path):
    path = tmp_path / "adapter.gguf"
    for names, message in ((["blk.0.attn_q.bias"], r"attn_q\.bias"), (["blk.0.attn_q.weight.lora_a"], "lora_b")):
        writer = GGUFWriter(path, "llama")
        writer.add_string(Keys.General.TYPE, "adapter")
        writer.add_string(Keys.Adapter.TYPE, "lora")
        for name in names:
            writer.add_tensor(name, np.zeros((4, 32), np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with pytest.raises(UserError, match=message):
            read_gguf_adapter(path, 1.0, "adapter")
