"""Adapters that each conversation chooses, against PEFT's logits."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import pytest
import torch
from transformers import Phi3Config, Phi3ForCausalLM, PreTrainedModel

from llm_chatbot.adapters.low_rank import Adapter, LowRank
from llm_chatbot.adapters.opening import open_adapter
from llm_chatbot.catalogue.adapter_names import AdapterSource
from llm_chatbot.convert.adapters.gguf_base import SORTED_ROWS
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.engine.cache.paged_runner import BLOCK_SIZE, Part
from llm_chatbot.engine.decode.prompt_lookup import LookupCache
from llm_chatbot.engine.files import WITH_PEFT
from llm_chatbot.engine.graph.adapters import adapted_products
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.folder.manifest import MODEL_XML
from llm_chatbot.gguf.header import read_gguf_header
from tests.convert.adapters.small_adapters import (
    IDS,
    LINEAR,
    LLAMA,
    small_llama,
    torch_logits,
    with_adapter,
    write_gguf_adapter,
    write_llama_gguf,
)
from tests.convert.adapters.test_gguf_base import merged_graph
from tests.decoder.running import logits_of
from tests.gguf_files import write_architecture
from tests.quantized_checkpoints import write_quantized
from tests.small_checkpoints import llama_tokenizer

TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}"
SECOND: dict[str, Any] = {"r": 6, "target_modules": ["q_proj", "v_proj"], "seed": 2}


def half_llama() -> PreTrainedModel:
    """Small, with weights that 16 bits hold."""
    return small_llama().half().float()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same model exported, written directly and as a GGUF file, and two adapters."""
    root = tmp_path_factory.mktemp("adapters")
    source = root / "small"
    half_llama().half().save_pretrained(source)
    llama_tokenizer(source, TEMPLATE)
    write_llama_gguf(root / "small.gguf", half_llama())
    with_adapter(half_llama(), root / "first")
    with_adapter(half_llama(), root / "second", **SECOND)
    return {
        "exported": convert_model(str(source), "FP16", root / "exported"),
        "direct": convert_model(str(source), "FP16", root / "direct", direct=True),
        "file": root / "small.gguf",
        "first": root / "first",
        "second": root / "second",
    }


def open_with(model: Path, *adapters: Path) -> ChatModel:
    return open_model(model, ov_config=EXACT, kv_cache_gb=0.01, adapters=[AdapterSource(path) for path in adapters])


def conversation(model: ChatModel, weights: Sequence[float] = ()) -> LookupCache:
    cache = model.new_cache()
    assert isinstance(cache, LookupCache)
    cache.use_adapters(weights)
    return cache


def fed(model: ChatModel, weights: Sequence[float] = (), ids: Sequence[int] = IDS) -> np.ndarray:
    """The logits after the last two tokens, of which the last is read alone: float32 [2, vocabulary]."""
    cache = conversation(model, weights)
    return np.stack([cache.feed(ids[:-1]).copy(), cache.feed(ids[-1:]).copy()])


def assert_close(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


@pytest.mark.parametrize("form", ["exported", "direct", "file"])
def test_each_conversation_has_the_logits_of_its_adapter(form: str, places: dict[str, Path], tmp_path: Path):
    model = open_with(places[form], places["first"], places["second"])
    first = torch_logits(with_adapter(half_llama(), tmp_path / "1"))[-2:]
    second = torch_logits(with_adapter(half_llama(), tmp_path / "2", **SECOND))[-2:]
    plain = torch_logits(half_llama())[-2:]
    assert min(np.abs(plain - first).max(), np.abs(plain - second).max()) > 0.01
    assert_close(fed(model, [1, 0]), first)
    assert_close(fed(model, [0, 1]), second)
    np.testing.assert_array_equal(fed(model), fed(open_with(places[form])))
    np.testing.assert_array_equal(fed(model, [0, 0]), fed(model))


def test_several_adapters_are_added_each_with_its_weight(places: dict[str, Path]):
    model, weights = half_llama(), {"first": 0.5, "second": -2.0}
    state = dict(model.named_parameters())
    for name, weight in weights.items():
        for layer, change in open_adapter(AdapterSource(places[name], weight)).low_rank.items():
            change.add_to(state[f"{layer}.weight"].data.numpy())
    found = fed(open_with(places["direct"], places["first"], places["second"]), list(weights.values()))
    assert_close(found, torch_logits(model)[-2:])


def test_conversations_with_different_adapters_share_a_call(places: dict[str, Path]):
    model = open_with(places["exported"], places["first"], places["second"])
    assert model.paged is not None
    wanted: list[tuple[float, ...]] = [(1, 0), (), (0, 1), (0.5, 0.5)]
    ids = [IDS[: 5 + 3 * index] for index in range(len(wanted))]
    parts = [
        Part(own, 0, [index], 1, adapter_weights=each)
        for index, (own, each) in enumerate(zip(ids, wanted, strict=True))
    ]
    together = model.paged.runner.run(parts, {})
    for part, found in zip(parts, together, strict=True):
        (alone,) = model.paged.runner.run([part], {})
        np.testing.assert_allclose(found, alone, atol=1e-5)


def test_what_one_adapter_read_is_not_anothers(places: dict[str, Path]):
    model = open_with(places["direct"], places["first"], places["second"])
    ids = [*IDS, *IDS]  # more than a block
    for weights in ([1.0, 0.0], [], [0.5, 0.0], [0.0, 1.0]):
        cache = conversation(model, weights)
        assert cache.trim_to_prefix(ids) == 0
        cache.feed(ids)
        assert conversation(model, weights).trim_to_prefix(ids) == len(ids) // BLOCK_SIZE * BLOCK_SIZE


def test_weights_are_as_many_as_adapters(places: dict[str, Path], tmp_path: Path):
    """Also of one that changes nothing, and before a call that others are in."""
    write_gguf_adapter(tmp_path / "none.gguf", {})
    model = open_with(places["file"], places["first"], tmp_path / "none.gguf")
    cache = conversation(model, [0.0, 1.0])
    np.testing.assert_array_equal(cache.feed(IDS), conversation(model).feed(IDS))
    with pytest.raises(ValueError, match="1 weights for 2 adapters"):
        cache.use_adapters([1.0])
    alone = open_with(places["file"], tmp_path / "none.gguf")
    np.testing.assert_array_equal(fed(alone, [1.0]), fed(alone))


def test_a_conversation_that_changes_its_adapter_is_read_again(places: dict[str, Path]):
    model = open_with(places["direct"], places["first"])
    cache = conversation(model)
    cache.feed(IDS[:-1])
    cache.use_adapters([1.0])
    np.testing.assert_allclose(cache.feed(IDS[-1:]), fed(model, [1.0])[1], atol=1e-5)


def test_matrices_that_are_several_in_one_take_adapters_where_the_graph_keeps_them_so(tmp_path: Path):
    """Phi-3's of queries, keys and values, and of gates: exported, one product each; written directly, several."""
    torch.manual_seed(0)
    config = Phi3Config(**LLAMA, original_max_position_embeddings=256, head_dim=16)
    Phi3ForCausalLM(config).half().save_pretrained(tmp_path / "small")
    llama_tokenizer(tmp_path / "small", TEMPLATE)
    model = Phi3ForCausalLM.from_pretrained(tmp_path / "small", dtype=torch.float32).eval()
    plain = torch_logits(model)[-2:]
    targets = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]
    expected = torch_logits(with_adapter(model, tmp_path / "adapter", target_modules=targets))[-2:]
    assert np.abs(plain - expected).max() > 0.01
    exported = open_with(convert_model(str(tmp_path / "small"), "FP16", tmp_path / "exported"), tmp_path / "adapter")
    assert_close(fed(exported, [1.0]), expected)
    assert_close(fed(exported), plain)
    with pytest.raises(UserError, match=r"changes model\.layers\.0\.\S+ .*convert --adapter"):
        open_with(
            convert_model(str(tmp_path / "small"), "FP16", tmp_path / "direct", direct=True), tmp_path / "adapter"
        )


@pytest.mark.parametrize("method", ["AWQ", "GPTQ with act-order", "NF4"])
def test_a_quantized_checkpoint_keeps_its_weights_beside_an_adapter(method: str, tmp_path: Path):
    """Its products for queries, keys and values are merged, and columns may be sorted."""
    (tmp_path / "small").mkdir()
    adapted = with_adapter(write_quantized(tmp_path / "small", method), tmp_path / "adapter")
    folder = convert_model(str(tmp_path / "small"), "INT4", tmp_path / "models")
    found, expected = fed(open_with(folder, tmp_path / "adapter"), [1.0]), torch_logits(adapted)[-2:]
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


def test_a_gguf_adapters_rows_are_sorted_as_the_graphs(places: dict[str, Path], tmp_path: Path):
    """Merged ones were compared with llama.cpp."""
    shapes = {name: info.shape for name, info in read_gguf_header(places["file"]).tensors.items()}
    matrices = {name: shape for name, shape in shapes.items() if len(shape) == 2 and name.startswith("blk.")}
    write_gguf_adapter(tmp_path / "adapter.gguf", matrices)
    expected = logits_of(merged_graph(places["file"], tmp_path / "adapter.gguf", tmp_path), IDS)[-2:]
    found = fed(open_with(places["file"], tmp_path / "adapter.gguf"), [1.0])
    np.testing.assert_allclose(found, expected, atol=1e-3 * np.abs(expected).max())  # its weights are of 16 bits


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (
            {"use_dora": True, "target_modules": ["q_proj"]},
            r"changes model\.layers\.0\.self_attn\.q_proj .*convert --.* if this one is",
        ),
        ({"target_modules": ["lm_head"]}, r"changes lm_head\.weight .*convert --adapter"),
        ({"target_modules": ["q_proj"], "modules_to_save": ["norm"]}, r"changes model\.\S*norm\.weight .*convert --"),
    ],
)
def test_what_can_only_be_merged_says_so(settings: dict, reason: str, places: dict[str, Path], tmp_path: Path):
    with_adapter(half_llama(), tmp_path / "adapter", **settings)
    with pytest.raises(UserError, match=reason):
        open_with(places["direct"], tmp_path / "adapter")


def test_a_vision_towers_layers_are_not_the_language_models(places: dict[str, Path]):
    graph = ov.Core().read_model(places["exported"] / MODEL_XML)
    change = LowRank(np.ones((64, 2), np.float32), np.ones((2, 64), np.float32), 1.0)
    adapter = Adapter("adapter", {"model.vision_tower.encoder.layers.0.self_attn.q_proj": change})
    with pytest.raises(UserError, match=r"changes model\.vision_tower.*convert --adapter"):
        adapted_products(graph, [adapter], places["exported"])


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"num_hidden_layers": 3}, r"changes model\.layers\.2\.\S+, which \S+ does not have"),
        ({"intermediate_size": 64}, r"down_proj of the shape \[64, 64\], and that of \S+ has \[64, 96\]"),
    ],
)
def test_another_models_adapter_is_refused(settings: dict, reason: str, places: dict[str, Path], tmp_path: Path):
    with_adapter(small_llama(**settings), tmp_path / "adapter", target_modules=LINEAR)
    with pytest.raises(UserError, match=reason):
        open_with(places["direct"], tmp_path / "adapter")


def test_a_folder_takes_no_gguf_adapter_and_a_file_none_of_another_architecture(
    places: dict[str, Path], tmp_path: Path
):
    write_gguf_adapter(tmp_path / "adapter.gguf", {"blk.0.attn_q.weight": (64, 64)}, "qwen2")
    with pytest.raises(UserError, match=r"only be added to a model in a \.gguf file"):
        open_with(places["direct"], tmp_path / "adapter.gguf")
    with pytest.raises(UserError, match=r"architecture qwen2, and small\.gguf is of llama"):
        open_with(places["file"], tmp_path / "adapter.gguf")


def test_pefts_adapters_fit_no_gguf_model_whose_rows_may_be_others(places: dict[str, Path], tmp_path: Path):
    write_architecture(tmp_path / "small.gguf", "gemma2")
    for model in (tmp_path / "small.gguf", convert_model(str(tmp_path / "small.gguf"), "INT8", tmp_path / "models")):
        with pytest.raises(UserError, match=r"PEFT's, which can be added to GGUF files of these architectures: arcee"):
            open_with(model, places["first"])


def test_without_the_shared_pool_there_are_none(places: dict[str, Path], monkeypatch: pytest.MonkeyPatch):
    """The reason is said, and another device is named only where that helps."""
    adapters = [AdapterSource(places["first"])]
    with pytest.raises(UserError, match=r"cache here \(it was opened so\), .*; merge them at the conversion"):
        open_model(places["direct"], paged=False, adapters=adapters)
    with pytest.raises(UserError, match=r"AUTO does not have; choose --device CPU"):
        open_model(places["direct"], device="AUTO", adapters=adapters)
    monkeypatch.setattr(ov, "get_version", lambda: "2031.1")
    with pytest.raises(UserError, match=r"FP16 can't share a cache here \(it was tested with OpenVINO .* 2031\.1\)"):
        open_model(places["direct"], adapters=adapters)


def test_files_that_take_pefts_adapters_are_those_of_conversions():
    assert SORTED_ROWS.keys() == WITH_PEFT
