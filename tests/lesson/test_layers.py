"""A layer's steps for every architecture, and what is drawn of them."""

from pathlib import Path

import openvino as ov
import pytest

from llm_chatbot.decoder.build import build_decoder
from llm_chatbot.engine.files import FolderFiles
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.header import read_gguf_header
from llm_chatbot.lesson.inside_plots import plot_layer
from llm_chatbot.lesson.layers import Step, layer_steps
from tests.decoder.small_decoders import CONTEXT, SMALL, write

# Which add more than twice in a layer, or have no attention in all of them.
OTHER_FORM = {"gemma4", "gemma4-experts", "lfm2"}
# Matrices that are one product with the one before them, by turns.
JOINED = {"gpt-oss": {"ffn_up_exps"}}


def small_graph(name: str, folder: Path) -> tuple[ov.Model, Path]:
    write(path := folder / "small.gguf", SMALL[name])
    return build_decoder(path, context=CONTEXT), path


@pytest.mark.parametrize("name", sorted(SMALL.keys() - OTHER_FORM))
def test_every_matrix_of_a_layer_is_a_step(name: str, tmp_path: Path):
    graph, path = small_graph(name, tmp_path)
    steps = layer_steps(graph, 1)
    names = [tensor.split(".")[2] for tensor, info in read_gguf_header(path).tensors.items()
             if tensor.startswith("blk.1.") and tensor.endswith(".weight") and len(info.shape) > 1]  # fmt: skip
    shown = {step.name for step in steps if step.kind == "product"}
    assert shown - {"matrix"} == {name for name in names if "norm" not in name} - JOINED.get(name, set())
    assert [step.kind for step in steps].count("add") == 2 and steps[0].kind == "input"
    assert all(source < place for place, step in enumerate(steps) for source in step.sources)
    assert {"attention", "cache"} <= {step.kind for step in steps}
    drawn = plot_layer(steps).axes[0].texts
    assert len([text for text in drawn if text.get_text()]) == len(steps) + sum(len(step.sources) for step in steps)


def by_kind(steps: list[Step]) -> list[tuple[str, list[str]]]:
    return [(step.kind, [steps[source].kind for source in step.sources]) for step in steps]


def test_the_embedded_models_layer(embedded_folder: Path):
    steps = layer_steps(FolderFiles(embedded_folder).read_graph(), 29)
    matrices = {step.name: (step.weights, step.bits, step.size) for step in steps if step.kind == "product"}
    bits = 4 + (16 + 16) / 32  # of a weight: Q4_1 has a scale and a minimum for 32
    assert matrices == {
        "attn_q": ((576, 576), 4, 576 * 576 * bits / 8),
        "attn_k": ((192, 576), 4, 192 * 576 * bits / 8),
        "attn_v": ((192, 576), 4, 192 * 576 * bits / 8),
        "attn_output": ((576, 576), 4, 576 * 576 * bits / 8),
        "ffn_gate": ((1536, 576), 4, 1536 * 576 * bits / 8),
        "ffn_up": ((1536, 576), 4, 1536 * 576 * bits / 8),
        "ffn_down": ((576, 1536), 4, 576 * 1536 * bits / 8),
    }
    (attention,) = [step for step in steps if step.kind == "attention"]
    assert attention.shape == ("?", 9, "?", 64)
    assert sorted(steps[source].kind for source in attention.sources) == ["cache", "cache", "rotary"]
    assert by_kind(steps)[-1] == ("add", ["add", "product"]) and ("gate", ["activation", "product"]) in by_kind(steps)


def test_a_parallel_layer_reads_the_same_for_attention_and_mlp(tmp_path: Path):
    steps = layer_steps(small_graph("phi2", tmp_path)[0], 0)
    (norm,) = [place for place, step in enumerate(steps) if step.kind == "norm"]
    assert {step.name for step in steps if step.sources == (norm,)} == {"attn_q", "attn_k", "attn_v", "ffn_up"}


def test_what_is_not_there_is_a_sentence(tmp_path: Path):
    with pytest.raises(UserError, match=r"There is no layer 2; the last one is 1\."):
        layer_steps(small_graph("llama", tmp_path)[0], 2)
