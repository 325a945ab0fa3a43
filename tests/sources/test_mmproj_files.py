"""Which files read images for a GGUF model, by their names."""

import hashlib
import json
from pathlib import Path

import pytest

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.sources.gguf_files import gguf_path
from llm_chatbot.sources.mmproj_files import mmproj_beside, mmproj_of


@pytest.mark.parametrize(
    ("model", "others", "expected"),
    [
        ("gemma-3-4b-it-Q4_K_M.gguf", ["mmproj-model-f16.gguf"], ["mmproj-model-f16.gguf"]),
        ("X-Q8_0.gguf", ["mmproj-BF16.gguf", "mmproj-F16.gguf"], ["mmproj-BF16.gguf", "mmproj-F16.gguf"]),
        ("X-7B-Q8_0.gguf", ["mmproj-X-7B-f16.gguf", "mmproj-Y-7B-f16.gguf"], ["mmproj-X-7B-f16.gguf"]),
        ("X-Q8_0.gguf", ["X-mmproj-f16.gguf", "Y-mmproj-f16.gguf"], ["X-mmproj-f16.gguf"]),
        ("a_X-GGUF_X-Q8_0.gguf", ["a_X-GGUF_mmproj-f16.gguf", "b_Y-GGUF_mmproj.gguf"], ["a_X-GGUF_mmproj-f16.gguf"]),
        ("X-Q8_0-00001-of-00002.gguf", ["X-Q8_0-00002-of-00002.gguf", "MMPROJ-x-F32.gguf"], ["MMPROJ-x-F32.gguf"]),
        ("X-Q8_0.gguf", ["Y-Q8_0.gguf", "X-without-mmproj-Q4_0.gguf", "mmproj.json"], []),
    ],
)
def test_files_beside_a_model_are_its_own_by_their_names(
    model: str, others: list[str], expected: list[str], tmp_path: Path
):
    for name in (model, *others):
        (tmp_path / name).touch()
    assert [path.name for path in mmproj_beside(tmp_path / model)] == expected


def test_ollama_names_it_in_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path))
    layers = []
    (tmp_path / "blobs").mkdir()
    for kind in ("model", "projector"):
        digest = hashlib.sha256(kind.encode()).hexdigest()
        (tmp_path / "blobs" / f"sha256-{digest}").write_bytes(kind.encode())
        layers.append({"digest": f"sha256:{digest}", "mediaType": f"application/vnd.ollama.image.{kind}"})
    manifest = tmp_path / "manifests/registry.ollama.ai/library/llava/7b"
    manifest.parent.mkdir(parents=True)
    manifest.write_text(json.dumps({"layers": layers}), encoding="utf-8")
    config = get_model_config("ollama:llava:7b")
    found = mmproj_of(config, gguf_path(config))
    assert [path.read_text() for path in found] == ["projector"]
