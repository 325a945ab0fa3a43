"""Every architecture against llama.cpp's logits, and what a file may not have."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import openvino as ov
import pytest

from llm_chatbot.decoder.build import build_decoder
from llm_chatbot.decoder.rows import ROWS
from llm_chatbot.engine.cache.opening import open_paged_model
from llm_chatbot.engine.graph.paged_graph import PagedAttentionUnavailableError, make_paged
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from tests.decoder.running import divergence, logits_of
from tests.decoder.small_decoders import AFTER, CONTEXT, IDS, SMALL, WINDOW, Small, write

with np.load(Path(__file__).with_name("logits.npz")) as file:
    LLAMA_CPP = dict(file)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("small")
    paths = {name: folder / f"{name}.gguf" for name in SMALL}
    for name, path in paths.items():
        write(path, SMALL[name])
    return paths


@pytest.mark.parametrize("name", SMALL)
def test_each_model_says_what_llama_cpp_says_and_its_paged_form_too(name: str, files: dict[str, Path]):
    """llama.cpp looks GELU up in a table of 16-bit numbers, where the divergence comes near the bound."""
    graph = build_decoder(files[name], context=CONTEXT)
    found = logits_of(graph, IDS, pieces=[40, 23, 1])
    assert LLAMA_CPP[name].std() > 0.3
    assert divergence(LLAMA_CPP[name], found[AFTER]) < 1e-5
    if not ROWS[SMALL[name].architecture].scores_cap:
        make_paged(graph)
        cache = open_paged_model(ov.Core().compile_model(graph, "CPU", EXACT), CONTEXT).new_cache()
        cache.feed(IDS[:40])
        np.testing.assert_allclose(cache.feed_all(IDS[40:]), found[40:], atol=1e-3)


def test_every_row_has_a_small_model():
    assert {small.architecture for small in SMALL.values()} == ROWS.keys()


def test_a_graph_with_capped_scores_has_no_paged_form(files: dict[str, Path]):
    with pytest.raises(PagedAttentionUnavailableError):
        make_paged(build_decoder(files["gemma2"]))


@pytest.mark.parametrize("name", ["llama", "gemma3", "deepseek2", "gpt-oss"])
def test_shorter_sequences_of_a_batch_are_padded_on_the_left(name: str, files: dict[str, Path]):
    request = ov.Core().compile_model(build_decoder(files[name]), "CPU", EXACT).create_infer_request()
    padded = np.zeros((2, len(IDS)), np.int64)
    padded[0], padded[1, 24:] = IDS, IDS[24:]
    mask = np.ones_like(padded)
    mask[1, :24] = 0
    positions = np.maximum(mask.cumsum(-1) - 1, 0)
    request.infer({"input_ids": padded, "attention_mask": mask, "position_ids": positions, "beam_idx": np.arange(2)})
    found = request.get_tensor("logits").data
    np.testing.assert_allclose(found[0], logits_of(build_decoder(files[name]), IDS), atol=1e-3)
    np.testing.assert_allclose(found[1, 24:], logits_of(build_decoder(files[name]), IDS[24:]), atol=1e-3)


def test_a_window_hides_what_is_before_it(files: dict[str, Path]):
    """Otherwise the tests above would say nothing of windows."""
    for name in ("gemma3", "cohere2", "gpt-oss", "olmo3"):
        small = replace(SMALL[name], keys=SMALL[name].keys | {"attention.sliding_window": 4 * CONTEXT})
        path = files[name].with_name("wide.gguf")
        write(path, small)
        wide, narrow = logits_of(build_decoder(path), IDS), logits_of(build_decoder(files[name]), IDS)
        np.testing.assert_allclose(wide[:WINDOW], narrow[:WINDOW], atol=1e-4)
        assert divergence(narrow, wide) > 1e-3


def test_the_factors_of_longrope_follow_the_context(files: dict[str, Path]):
    short, long = (logits_of(build_decoder(files["phi3-long"], context=tokens), IDS) for tokens in (None, CONTEXT))
    assert divergence(short, long) > 1e-3


def refused(path: Path, small: Small) -> str:
    write(path, small)
    with pytest.raises(UserError) as error:
        build_decoder(path)
    return str(error.value)


def test_an_unknown_architecture_is_refused_with_the_list(tmp_path: Path):
    message = refused(tmp_path / "a.gguf", Small("mamba"))
    assert "'mamba'" in message
    assert "llama, " in message


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ({"attention.output_scale": 2.0}, "attention.output_scale"),
        ({"rope.scaling.type": "su"}, "'su'"),
        ({"attention.causal": False}, "no decoder"),
        ({"block_count": 3}, "blk.2.attn_q.weight"),
        ({"attention.head_count": "many"}, "attention.head_count"),
    ],
)
def test_a_key_that_is_not_supported_is_refused_by_name(keys: dict, name: str, tmp_path: Path):
    assert name in refused(tmp_path / "a.gguf", Small("llama", keys))


def test_a_tensor_that_is_not_supported_is_refused_by_name(tmp_path: Path):
    assert "ffn_sub_norm" in refused(tmp_path / "a.gguf", Small("llama", extra={"ffn_sub_norm.weight": (64,)}))


def test_a_missing_tensor_is_named(tmp_path: Path):
    assert "lacks blk.0.ffn_down.weight" in refused(tmp_path / "a.gguf", Small("llama", extra={"ffn_down.weight": ()}))


def test_parts_for_images_and_further_tokens_are_left_out(files: dict[str, Path], tmp_path: Path):
    outer = {
        "v.patch_embd.weight": (8, 8),
        "mm.0.weight": (8, 8),
        "mtp.norm.weight": (8,),
        "blk.2.nextn.eh_proj.weight": (8, 8),
    }
    keys = {"nextn_predict_layers": 1, "block_count": 3, "vision.block_count": 2}
    write(tmp_path / "a.gguf", replace(SMALL["llama"], keys=keys, outer=outer))
    found = logits_of(build_decoder(tmp_path / "a.gguf"), IDS)
    # The further tensors are made after those of the layers, whose values so are the same.
    np.testing.assert_allclose(found, logits_of(build_decoder(files["llama"]), IDS), atol=1e-5)


def test_neither_pytorch_nor_transformers_is_imported(files: dict[str, Path]):
    code = (
        "import sys; from pathlib import Path; from llm_chatbot.decoder.build import build_decoder;"
        f"build_decoder(Path({str(files['llama'])!r}));"
        "print([name for name in ('torch', 'transformers', 'optimum', 'nncf') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=True)
    assert done.stdout.strip() == "[]"
