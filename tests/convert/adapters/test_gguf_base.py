"""Adapters added to GGUF files, against llama.cpp and PEFT."""

from pathlib import Path

import numpy as np
import openvino as ov
import pytest
from gguf import GGMLQuantizationType as GGML

from llm_chatbot.adapters.opening import open_adapter
from llm_chatbot.catalogue.adapter_names import AdapterSource
from llm_chatbot.convert.adapters.gguf_base import GGUFBase, with_merged
from llm_chatbot.convert.adapters.merging import write_merged
from llm_chatbot.decoder.build import build_decoder
from llm_chatbot.engine.gguf_file import GGUFFile
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.header import read_gguf_header
from tests.convert.adapters import small_adapters
from tests.convert.adapters.small_adapters import small_llama, torch_logits, with_adapter, write_llama_gguf
from tests.decoder.running import divergence, logits_of
from tests.decoder.small_decoders import AFTER, IDS, Small, write

SMALL_LLAMA = Small("llama")
SCALES = (1.0, -0.5)


def write_both(folder: Path, small: Small) -> tuple[Path, Path]:
    """A model and an adapter for all its matrices."""
    model, adapter = folder / "small.gguf", folder / "adapter.gguf"
    write(model, small)
    matrices = {name: shape for name, shape in small.shapes().items() if len(shape) == 2}
    small_adapters.write_gguf_adapter(adapter, matrices)
    return model, adapter


def merged_graph(model: Path, adapter: Path, folder: Path, weight: float = 1.0) -> ov.Model:
    header = read_gguf_header(model)
    path = write_merged([AdapterSource(adapter, weight)], GGUFBase(header), folder)
    return build_decoder(with_merged(header, path))


@pytest.mark.parametrize("scale", SCALES)
def test_a_gguf_adapter_gives_the_logits_of_llama_cpp(scale: float, tmp_path: Path):
    with np.load(Path(__file__).with_name("llama_cpp_logits.npz")) as known:
        expected = known[f"{scale:g}"]
    model, adapter = write_both(tmp_path, SMALL_LLAMA)
    without = logits_of(build_decoder(model), IDS)[AFTER]
    assert divergence(expected, without) > 0.01
    assert divergence(expected, logits_of(merged_graph(model, adapter, tmp_path, scale), IDS)[AFTER]) < 1e-6


def test_a_peft_adapter_is_added_to_a_file_whose_rows_are_sorted(tmp_path: Path):
    model = small_llama()
    write_llama_gguf(tmp_path / "small.gguf", model)
    expected = torch_logits(with_adapter(model, tmp_path / "adapter", use_dora=True))
    found = logits_of(merged_graph(tmp_path / "small.gguf", tmp_path / "adapter", tmp_path), small_adapters.IDS)
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())  # weights of 16 bits


def test_weights_in_blocks_become_16_bits(tmp_path: Path):
    small = Small("llama", hidden=64, type=GGML.Q8_0)
    model, adapter = write_both(tmp_path, small)
    header = read_gguf_header(model)
    merged = with_merged(header, write_merged([AdapterSource(adapter)], GGUFBase(header), tmp_path))
    assert {merged.tensors[name].type for name, info in header.tensors.items() if info.type == GGML.Q8_0} == {GGML.F16}
    assert merged.tensors["output_norm.weight"] == header.tensors["output_norm.weight"]


@pytest.mark.parametrize(
    ("small", "architecture", "message"),
    [
        (Small("llama", hidden=96), "llama", r"shape \[\d+, 64\], and that of other.gguf has \[\d+, 96\]"),
        (Small("llama", layers=1), "llama", r"changes blk\.1\.\S+, which other.gguf does not have"),
        (Small("llama"), "qwen2", "architecture qwen2, and other.gguf is of llama"),
        (Small("llama", output=False), "llama", "changes token_embd.weight, .* table of the input and of the output"),
    ],
)
def test_another_models_file_is_refused(small: Small, architecture: str, message: str, tmp_path: Path):
    write(tmp_path / "other.gguf", small)
    matrices = {name: shape for name, shape in Small("llama").shapes().items() if len(shape) == 2}
    if small.layers == 1:
        matrices = {name: shape for name, shape in matrices.items() if name.startswith("blk.")}
    small_adapters.write_gguf_adapter(tmp_path / "adapter.gguf", matrices, architecture)
    with pytest.raises(UserError, match=message):
        merged_graph(tmp_path / "other.gguf", tmp_path / "adapter.gguf", tmp_path)


def test_a_matrix_with_a_scale_beside_it_is_refused(tmp_path: Path):
    """Merged, and beside the weights."""
    model, adapter = write_both(tmp_path, Small("llama", extra={"attn_q.scale": (1,)}))
    with pytest.raises(UserError, match=r"small\.gguf has matrices with a scale beside them"):
        merged_graph(model, adapter, tmp_path)
    with pytest.raises(UserError, match=r"small\.gguf has matrices with a scale beside them"):
        GGUFFile(model).fitting(open_adapter(AdapterSource(adapter)))


def test_a_peft_adapter_for_a_file_with_other_layers_than_its_checkpoint_is_refused(tmp_path: Path):
    with_adapter(small_llama(), tmp_path / "adapter")
    write(tmp_path / "other.gguf", Small("gptneox", fused=True, norm_biases=True, gate=""))
    with pytest.raises(UserError, match=r"convert_lora_to_gguf\.py for gptneox"):
        merged_graph(tmp_path / "other.gguf", tmp_path / "adapter", tmp_path)
