import json
from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGMLQuantizationType as GGML
from transformers import AutoModelForCausalLM

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.row import Int4Settings
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.convert.gguf.file import kept_blocks
from llm_chatbot.convert.gguf.tensors import ARCHITECTURES
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.folder.manifest import read_manifest
from llm_chatbot.folder.place import SUBFOLDERS
from llm_chatbot.folder.variant import Variant
from llm_chatbot.optimum_models import load_model
from tests.gguf_files import DATA, EXACT_TYPES, MERGES, MINIMUM_TYPES, write_architecture, write_model

LLAMA_CPP = json.loads((DATA / "gguf_logits.json").read_text(encoding="utf-8"))
IDS = torch.tensor([LLAMA_CPP["ids"]])


def converted_logits(path: Path, root: Path) -> np.ndarray:
    """What the model in a GGUF file says with the file's own blocks."""
    config = get_model_config(str(path))
    precision = "INT4" if kept_blocks(Variant(str(path), config, "INT4", root)) else "INT8"
    folder = convert_model(str(path), precision, root)
    assert read_manifest(folder)["compression"].keys() == {"gguf"}
    return load_model(folder, ov_config=EXACT)(input_ids=IDS).logits.numpy()


def unpacked_logits(path: Path) -> np.ndarray:
    """What it says when Transformers unpacks it to 32 bits."""
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    with torch.no_grad():
        return model(input_ids=IDS).logits.numpy()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_each_architecture_says_what_its_unpacked_weights_say(architecture: str, tmp_path: Path):
    path = tmp_path / "small.gguf"
    write_architecture(path, architecture)
    expected, found = unpacked_logits(path), converted_logits(path, tmp_path)
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-4 * np.abs(expected).max())
    if architecture in LLAMA_CPP["logits"]:
        rounded = np.array(LLAMA_CPP["logits"][architecture])
        assert np.corrcoef(found[0, -1], rounded)[0, 1] > 0.999


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "gpt2"])
def test_16_bit_zero_points_change_next_to_nothing(architecture: str, tmp_path: Path):
    path = tmp_path / "small.gguf"
    write_model(path, architecture, MINIMUM_TYPES, MERGES, tied=True)
    expected = unpacked_logits(path)
    np.testing.assert_allclose(converted_logits(path, tmp_path), expected, atol=1e-2 * np.abs(expected).max())


def test_a_model_that_is_called_mistral_is_read_as_the_llama_that_it_is(tmp_path: Path):
    write_model(tmp_path / "a.gguf", "llama", EXACT_TYPES, MERGES)
    write_model(tmp_path / "b.gguf", "llama", EXACT_TYPES, MERGES, name="mistral")
    first, second = (converted_logits(tmp_path / name, tmp_path) for name in ("a.gguf", "b.gguf"))
    np.testing.assert_allclose(first, second, atol=1e-4)


def test_wavelengths_are_stretched_by_the_files_factors(tmp_path: Path):
    write_model(tmp_path / "plain.gguf", "llama", EXACT_TYPES, MERGES)
    write_model(tmp_path / "linear.gguf", "llama", EXACT_TYPES, MERGES, rope_scaling=("linear", 4.0))
    write_model(tmp_path / "factors.gguf", "llama", EXACT_TYPES, MERGES, rope_factors=np.full(32, 4, np.float32))
    plain, linear, factors = (
        converted_logits(tmp_path / f"{name}.gguf", tmp_path) for name in ("plain", "linear", "factors")
    )
    np.testing.assert_allclose(linear, factors, atol=1e-4)
    assert np.abs(plain - linear).max() > 0.1


def test_q8_0_is_int8_and_all_other_blocks_are_int4(tmp_path: Path):
    for type, precision in ((GGML.Q8_0, "INT8"), (GGML.Q6_K, "INT4"), (GGML.F16, None)):
        write_model(tmp_path / "small.gguf", "llama", [type], MERGES)
        config = get_model_config(str(tmp_path / "small.gguf"))
        for asked in SUBFOLDERS:
            expected = type.name if asked == precision else None
            assert kept_blocks(Variant("small", config, asked, tmp_path)) == expected


def test_settings_that_are_given_compress_the_weights_anew(tmp_path: Path):
    path = tmp_path / "small.gguf"
    write_model(path, "llama", [GGML.Q4_0], MERGES)
    folder = convert_model(str(path), "INT4", tmp_path)
    assert read_manifest(folder)["compression"] == {"gguf": "Q4_0"}
    convert_model(str(path), "INT4", tmp_path, Int4Settings(group_size=64, ratio=1.0))
    assert read_manifest(folder)["compression"] == {"mode": "INT4_ASYM", "group_size": 64, "ratio": 1.0}


def test_an_architecture_that_is_not_read_is_one_sentence_with_those_that_are(tmp_path: Path):
    write_model(tmp_path / "small.gguf", "llama", [GGML.Q4_0], MERGES, says_architecture="mamba")
    with pytest.raises(UserError, match=r"architecture 'mamba', which is not supported; choose one of these: llama, "):
        convert_model(str(tmp_path / "small.gguf"), "INT4", tmp_path)


def test_a_type_of_blocks_that_is_not_read_is_one_sentence_with_those_that_are(tmp_path: Path):
    write_model(tmp_path / "small.gguf", "llama", [GGML.IQ2_XS], MERGES)
    with pytest.raises(
        UserError, match=r"blocks of the type IQ2_XS, which are not supported; choose a file with .*Q4_K"
    ):
        convert_model(str(tmp_path / "small.gguf"), "INT4", tmp_path)


def test_a_tensor_that_is_missing_is_named(tmp_path: Path):
    write_model(tmp_path / "small.gguf", "llama", [GGML.Q4_0], MERGES, without="blk.1.ffn_up.weight")
    with pytest.raises(UserError, match=r"lacks model.layers.1.mlp.up_proj.weight; download it again"):
        convert_model(str(tmp_path / "small.gguf"), "INT4", tmp_path)


def pull(ollama: Path, type: GGML, digest: str) -> Path:
    """What Ollama leaves in its folder when it has pulled the model "small", whose blob is returned."""
    blob = ollama / "blobs" / f"sha256-{digest}"
    manifest = ollama / "manifests" / "registry.ollama.ai" / "library" / "small" / "latest"
    for path in (blob, manifest):
        path.parent.mkdir(parents=True, exist_ok=True)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"}
    manifest.write_text(json.dumps({"layers": [layer]}), encoding="utf-8")
    write_model(blob, "llama", [type], MERGES)
    return blob


def recorded_digests(folder: Path) -> list[str]:
    return [file["sha256"] for file in read_manifest(folder)["checkpoint_files"].values()]


def test_a_newer_file_of_the_same_name_is_converted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    pull(tmp_path / "ollama", GGML.Q4_0, "0" * 64)
    folder = convert_model("ollama:small", "INT4", tmp_path)
    assert recorded_digests(folder) == ["0" * 64]
    capsys.readouterr()
    pull(tmp_path / "ollama", GGML.Q6_K, "1" * 64)
    convert_model("ollama:small", "INT4", tmp_path)
    assert f"Converting {folder} again because its checkpoint has changed.\n" in capsys.readouterr().out
    assert recorded_digests(folder) == ["1" * 64] and read_manifest(folder)["compression"] == {"gguf": "Q6_K"}
    convert_model("ollama:small", "INT4", tmp_path)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("type", "precisions"), [(GGML.Q4_0, SUBFOLDERS), (GGML.F16, SUBFOLDERS), (GGML.Q8_0, ["INT4"])]
)
def test_what_was_converted_needs_the_file_no_more(type: GGML, precisions, tmp_path: Path, monkeypatch):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    blob = pull(tmp_path / "ollama", type, "0" * 64)
    folders = {precision: convert_model("ollama:small", precision, tmp_path) for precision in precisions}
    for folder in folders.values():  # most are made from the 16-bit folder
        assert read_manifest(folder)["gguf_type"] == type.name
        assert recorded_digests(folder) == ["0" * 64]
    blob.unlink()
    for precision, folder in folders.items():
        assert convert_model("ollama:small", precision, tmp_path) == folder
