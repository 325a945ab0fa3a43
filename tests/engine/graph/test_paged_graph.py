"""Paged against stateful graphs, for each kind of attention in the catalogue: whole, chunked, truncated, batched."""

from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from llm_chatbot.engine.cache.opening import open_paged_model
from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.graph import paged_graph
from llm_chatbot.engine.graph.paged_graph import PagedAttentionUnavailableError, make_paged
from tests import paged_models
from tests.paged_models import Stateful

NAMES = list(paged_models.MAKERS)


@pytest.fixture(scope="module")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("paged")
    return {name: paged_models.write(name, root) for name in NAMES}


@pytest.fixture(scope="module", params=NAMES)
def both(request: pytest.FixtureRequest, graphs: dict[str, Path]) -> tuple[PagedModel, Stateful]:
    name = request.param
    return paged_models.paged(graphs[name], name, context_length=2200), Stateful(graphs[name], name)


def text(length: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(3, 160, length).tolist()


def assert_same(logits: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(logits, expected, atol=1e-3, rtol=0)


def test_read_at_once(both):
    model, stateful = both
    assert_same(model.new_cache().feed(text(200)), stateful.logits(text(200))[-1])


def test_read_token_by_token(both):
    model, stateful = both
    cache = model.new_cache()
    assert_same(np.stack([cache.feed([token]) for token in text(70)]), stateful.logits(text(70)))


def test_read_in_pieces_with_logits_of_several_tokens(both):
    model, stateful = both
    ids, cache = text(203), model.new_cache()
    cache.feed(ids[:61])
    cache.feed(ids[61:64])
    cache.feed(ids[64:195])
    assert_same(cache.feed_all(ids[195:]), stateful.logits(ids)[195:])


@pytest.mark.parametrize("cut", [32, 50, 64, 95, 130])
def test_cut_back_and_continued(cut: int, both):
    model, stateful = both
    cache, ids = model.new_cache(), [*text(cut), *text(40, seed=1)]
    cache.feed(text(130))
    assert cache.trim_to_prefix(ids[:-1]) == cut
    assert_same(cache.feed(ids[cut:]), stateful.logits(ids)[-1])
    assert_same(model.new_cache().feed(text(130)), stateful.logits(text(130))[-1])


def test_continued_from_what_another_holds(both):
    model, stateful = both
    one, other, ids = model.new_cache(), model.new_cache(), [*text(77), *text(50, seed=2)]
    one.feed(text(100))
    assert other.trim_to_prefix(ids[:-1]) == 77
    assert_same(other.feed(ids[77:]), stateful.logits(ids)[-1])
    assert_same(one.feed(text(101)[100:]), stateful.logits(text(101))[-1])


def test_in_one_call_with_others(both):
    model, stateful = both
    texts = [text(length, seed=length) for length in (150, 33, 64, 1)]
    caches = [model.new_cache() for _ in texts]
    caches[0].feed(texts[0][:100])
    logits = paged_models.together(model, caches, [texts[0][100:], *texts[1:]])
    for rows, ids in zip(logits, texts, strict=True):
        assert_same(rows, stateful.logits(ids)[-1])


def test_a_model_with_a_window_sees_no_further(graphs):
    """Otherwise the tests above would say nothing of windows."""
    for name in ("mistral", "gemma2", "gemma3"):
        graph = paged_models.read(graphs[name], name)
        make_paged(graph)
        windows = [node for node in graph.get_ops() if node.get_type_name() == "PagedAttentionExtension"]
        windows[0].input(10).replace_source_output(ops.constant(np.int32(0)).output(0))
        endless = open_paged_model(ov.Core().compile_model(graph, "CPU", paged_models.EXACT), 1024)
        expected = Stateful(graphs[name], name).logits(text(200))[-1]
        assert np.abs(endless.new_cache().feed(text(200)) - expected).max() > 0.01


def test_qwens_scale_depends_on_the_prompt_and_is_not_shared_with_others(graphs):
    model, stateful = paged_models.paged(graphs["qwen"], "qwen", context_length=4096), Stateful(graphs["qwen"], "qwen")
    long, short = text(2100), text(2100)[:200]
    one, other = model.new_cache(), model.new_cache()
    one.trim_to_prefix(long[:-1])
    other.trim_to_prefix(short[:-1])
    logits = paged_models.together(model, [one, other], [long, short])
    assert_same(logits[0], stateful.logits(long)[-1])
    assert_same(logits[1], stateful.logits(short)[-1])
    assert other.trim_to_prefix(long[:-1]) == 2080
    assert other.trim_to_prefix(short[:-1]) == 192


def test_another_version_of_openvino_is_refused_with_the_reason(graphs, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(paged_graph, "KNOWN_OPENVINO", "1999.1.")
    with pytest.raises(PagedAttentionUnavailableError, match=r"tested with OpenVINO 1999\.1\.x, and this is 20"):
        make_paged(ov.Core().read_model(graphs["llama"]))


def test_a_graph_without_keys_and_values_is_refused():
    start = ops.parameter([-1, 4], np.float32)
    result = ops.result(start)
    result.output(0).set_names({"logits"})
    with pytest.raises(PagedAttentionUnavailableError, match="OpenVINO can't rewrite this graph"):
        make_paged(ov.Model([result], [start]))


def test_a_bias_that_openvino_would_leave_out_is_refused(graphs):
    graph = ov.Core().read_model(graphs["mpt"])
    slopes = [node for node in graph.get_ops() if list(node.get_output_partial_shape(0)) == [1, 4, 1, 1]]
    for node in slopes:
        bias = ops.constant(np.linspace(0, 1, 2048 * 4, dtype=np.float32).reshape(1, 4, 1, 2048))
        for target in node.output(0).get_target_inputs():
            target.replace_source_output(bias.output(0))
    assert slopes
    with pytest.raises(PagedAttentionUnavailableError, match="leaves a bias out"):
        make_paged(graph)


def test_a_graph_that_counts_positions_itself_is_refused(graphs):
    graph = ov.Core().read_model(graphs["llama"])
    positions = graph.input("position_ids").node
    length = ops.gather(ops.shape_of(graph.input("input_ids")), ops.constant(1), ops.constant(0))
    counted = ops.unsqueeze(ops.range(ops.constant(0), length, ops.constant(1), ov.Type.i64), ops.constant(0))
    for target in positions.output(0).get_target_inputs():
        target.replace_source_output(counted.output(0))
    graph.remove_parameter(positions)
    with pytest.raises(PagedAttentionUnavailableError, match="counts positions itself"):
        make_paged(graph)
