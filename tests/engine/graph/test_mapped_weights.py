"""Weights in a mapped file: read where they are, given back while a model is compiled."""

import sys
from pathlib import Path

import numpy as np
import openvino as ov
import openvino.opset13 as ops
import pytest

from llm_chatbot.engine.graph.mapped_weights import MappedWeights


def saved(folder: Path, weights: np.ndarray) -> Path:
    row = ops.parameter([1, weights.shape[0]], np.float32)
    ov.save_model(ov.Model([ops.matmul(row, ops.constant(weights), False, False)], [row]), folder / "m.xml", False)
    return folder


def test_a_graph_computes_with_them_after_they_were_given_back(tmp_path: Path):
    weights = np.random.default_rng(0).standard_normal((64, 32)).astype(np.float32)
    folder = saved(tmp_path, weights)
    mapped = MappedWeights(folder / "m.bin")
    with mapped.released_meanwhile():
        compiled = ov.Core().compile_model(
            mapped.read_graph(folder / "m.xml"), "CPU", {"INFERENCE_PRECISION_HINT": "f32"}
        )
    (found,) = compiled([np.ones((1, 64), np.float32)]).values()
    np.testing.assert_allclose(found[0], weights.sum(axis=0), atol=1e-4)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's account of the mapping")
def test_what_was_read_takes_no_memory_afterwards(tmp_path: Path):
    (tmp_path / "w.bin").write_bytes(bytes(8 << 20))
    mapped = MappedWeights(tmp_path / "w.bin")
    with mapped.released_meanwhile():
        assert not mapped._bytes.any()
    account = Path("/proc/self/smaps").read_text(encoding="utf-8").split("w.bin", 1)[1]
    assert int(account.split("Rss:")[1].split()[0]) < 1024  # kB
