"""The blocks of one model are never taken for another's."""

import os
from pathlib import Path

import openvino as ov
import pytest

from llm_chatbot.engine import fingerprint as fingerprints
from llm_chatbot.engine.fingerprint import file_digest, fingerprint
from llm_chatbot.engine.graph.paged_graph import make_paged
from tests.tiny_models import export, tiny_model


def test_content_time_and_size_of_a_file_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fingerprints, "BEGINNING", 1000)
    monkeypatch.setattr(fingerprints, "SAMPLE_BYTES", 10)
    path, digests = tmp_path / "weights", set()
    for place, time, size in ((0, 1, 9000), (999, 1, 9000), (8995, 1, 9000), (0, 2, 9000), (0, 1, 9001), (0, 1, 20)):
        content = bytearray(size)
        content[min(place, size - 1)] = 1
        path.write_bytes(content)
        os.utime(path, ns=(time, time))
        digests.add(file_digest(path))
    assert len(digests) == 6


def test_files_layout_arithmetic_and_graph_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = export(tiny_model(), tmp_path)
    files = [folder / "openvino_model.bin", folder / "config.json"]

    def compiled(**properties: str) -> ov.CompiledModel:
        graph = ov.Core().read_model(folder / "openvino_model.xml")
        make_paged(graph)
        return ov.Core().compile_model(graph, "CPU", properties)

    plain = compiled()
    assert fingerprint(files, plain, {}) == fingerprint(files, compiled(), {}), "the next start finds it"
    others = [
        fingerprint(files, plain, {}),
        fingerprint(files[:1], plain, {}),
        fingerprint(files, compiled(KV_CACHE_PRECISION="u8"), {}),
        fingerprint(files, compiled(INFERENCE_PRECISION_HINT="f32", KV_CACHE_PRECISION="f16"), {}),
        fingerprint(files, compiled(DYNAMIC_QUANTIZATION_GROUP_SIZE="0"), {}),
        fingerprint(files, plain, {"zero points are split": True}),
    ]
    monkeypatch.setattr(fingerprints, "__version__", "other")
    others.append(fingerprint(files, plain, {}))
    assert len({*others}) == len(others) and {len(each) for each in others} == {32}
