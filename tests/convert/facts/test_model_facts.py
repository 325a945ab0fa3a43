import json
from pathlib import Path

import pytest

from llm_chatbot.catalogue.rows import DEFAULT_MODEL, SUPPORTED_LLM_MODELS
from llm_chatbot.convert.facts.model_facts import CONTEXTS, all_models, in_words, one_model
from llm_chatbot.convert.resources import chat_memory, weights_in_memory
from llm_chatbot.errors import UserError
from llm_chatbot.folder.manifest import MODEL_BIN
from llm_chatbot.folder.place import AS_IN_FILE, model_folder
from llm_chatbot.sources.hub import download_gguf
from tests import small_checkpoints
from tests.gguf.test_header import write_model
from tests.hub_server import Hub
from tests.small_checkpoints import HEADS, HIDDEN, KV_HEADS, LAYERS

KV_VALUES = 2 * LAYERS * KV_HEADS * (HIDDEN // HEADS)
TINY_LLAMA = "tiny-llama-1b-chat"


@pytest.fixture(autouse=True)
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    """A machine where no other program has models."""
    for name in ("OLLAMA_MODELS", "LLAMA_CACHE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)


def test_every_row_of_the_catalogue_says_what_it_needs(tmp_path: Path):
    facts = json.loads(json.dumps(all_models(tmp_path)))
    assert [model["name"] for model in facts["models"]] == list(SUPPORTED_LLM_MODELS)
    assert facts["free_disk"] > 0 and facts["free_memory"] > 0
    for model in facts["models"]:
        is_file = model["name"] == DEFAULT_MODEL
        assert list(model["variants"]) == ["FP16", "INT8", "INT4"] + [AS_IN_FILE] * is_file and model["error"] is None
        assert model["precision"] == list(model["variants"])[-1]
        sizes = [variant["weights"] for variant in model["variants"].values()][:3]
        assert sizes == sorted(sizes, reverse=True)
        for variant in model["variants"].values():
            assert not variant["converted"] and list(variant["chat"].values()) == sorted(variant["chat"].values())
    embedded, *others = facts["models"]
    assert embedded["variants"][AS_IN_FILE]["label"] == "Q4_1, as in the file"
    assert embedded["download"] == 0 and all(model["download"] == 2 * model["parameters"] for model in others)


def test_a_converted_model_has_its_real_size(models_root: Path):
    embedded = all_models(models_root)["models"][0]
    for precision, variant in embedded["variants"].items():
        folder = model_folder(DEFAULT_MODEL, precision, models_root)
        assert variant["converted"] and variant["weights"] == (folder / MODEL_BIN).stat().st_size
    assert [variant["label"] for variant in embedded["variants"].values()] == [
        *("FP16", "INT8", "INT4", "Q4_1, as in the file")
    ]


def test_a_gguf_file_says_what_it_is_and_one_that_is_damaged_why_not(tmp_path: Path):
    folder = tmp_path / ".lmstudio" / "models" / "pub" / "repo"
    folder.mkdir(parents=True)
    write_model(folder / "good.gguf")
    (folder / "bad.gguf").write_bytes((folder / "good.gguf").read_bytes()[:5000])
    found = {model["name"]: model for model in all_models(tmp_path)["models"] if model["source"] == "gguf"}
    good, bad = found["lmstudio:pub/repo/good.gguf"], found["lmstudio:pub/repo/bad.gguf"]
    assert good["description"] == "llama, Q8_0" and good["parameters"] > 0
    own = good["variants"][AS_IN_FILE]
    assert (own["label"], own["weights"]) == ("Q8_0, as in the file", (folder / "good.gguf").stat().st_size)
    assert bad["error"]["text"].endswith(".") and not bad["variants"]
    (alone,) = one_model("lmstudio:pub/repo/good.gguf", tmp_path)["models"]
    assert alone == good


def test_any_name_of_the_hub_is_looked_up_without_its_weights(hub: Hub, tmp_path: Path):
    small_checkpoints.write(TINY_LLAMA, hub.root)
    (hub.root / "org").mkdir()
    repository = (hub.root / SUPPORTED_LLM_MODELS[TINY_LLAMA].model_id).rename(hub.root / "org" / "small")
    hub.described["org/small"] = {"cardData": {"license": "apache-2.0"}, "gated": False}
    (model,) = one_model("org/small", tmp_path)["models"]
    weights = sum(path.stat().st_size for path in repository.glob("*.safetensors"))
    assert model["license"] == "apache-2.0" and model["download"] == weights
    assert model["parameters"] == pytest.approx(weights / 2, rel=0.02)
    int8 = model["variants"]["INT8"]
    assert int8["chat"][CONTEXTS[0]] == chat_memory(int8["weights"], KV_VALUES, CONTEXTS[0])
    assert [name for name, _ in hub.sent] == ["config.json"]
    lines = list(in_words(one_model("org/small", tmp_path)))
    assert lines[0] == "org/small: 0.0 billion weights, licence: apache-2.0, 0.0 GB to download"
    assert not any("to download" in line for line in lines[1:])


def test_a_gguf_on_the_hub_is_downloaded_with_what_reads_images(hub: Hub, tmp_path: Path):
    repository = hub.root / "org" / "ggufs"
    repository.mkdir(parents=True)
    for name, size in {"X-Q4_K_M.gguf": 5000, "mmproj-F16.gguf": 300, "mmproj-F32.gguf": 600, "X-Q8_0.gguf": 9}.items():
        (repository / name).write_bytes(bytes(size))
    for _ in range(2):
        (model,) = one_model("org/ggufs:Q4_K_M", tmp_path)["models"]
        assert model["download"] == 5300 and not hub.sent
        (own,) = model["variants"].values()
        assert (own["label"], own["weights"]) == ("Q4_K_M, as in the file", 5000)
    path = download_gguf("org/ggufs", "Q4_K_M", images=True)
    (path.parents[2] / "refs" / "main").write_text("0" * 40)  # another commit than the Hub's
    (model,) = one_model("org/ggufs:Q4_K_M", tmp_path)["models"]
    assert model["download"] == 0


def test_a_gguf_on_the_hub_whose_name_says_no_quantization_has_a_label(hub: Hub, tmp_path: Path):
    (hub.root / "org" / "ggufs").mkdir(parents=True)
    (hub.root / "org" / "ggufs" / "model.gguf").write_bytes(bytes(5000))
    (model,) = one_model("org/ggufs/model.gguf", tmp_path)["models"]
    assert [variant["label"] for variant in model["variants"].values()] == ["As in the file"]


def test_a_chat_with_a_gguf_takes_the_memory_of_what_reads_images(tmp_path: Path):
    folder = tmp_path / ".lmstudio" / "models" / "pub" / "repo"
    folder.mkdir(parents=True)
    write_model(folder / "good.gguf")
    name = "lmstudio:pub/repo/good.gguf"
    without = one_model(name, tmp_path)["models"][0]["variants"]
    (folder / "mmproj-F16.gguf").write_bytes(bytes(10**6))
    with_images = one_model(name, tmp_path)["models"][0]["variants"]
    assert with_images["INT4"]["chat"] == without["INT4"]["chat"]
    for context, memory in with_images[AS_IN_FILE]["chat"].items():
        assert memory - without[AS_IN_FILE]["chat"][context] == weights_in_memory(10**6, "FP16")


def test_the_hub_knows_the_number_of_weights_better_than_their_size(hub: Hub, tmp_path: Path):
    repository = hub.root / "org" / "known"
    repository.mkdir(parents=True)
    (repository / "config.json").write_text("{}", encoding="utf-8")
    hub.described["org/known"] = {"safetensors": {"parameters": {"BF16": 7_000_000}, "total": 7_000_000}}
    (model,) = one_model("org/known", tmp_path)["models"]
    assert model["parameters"] == 7_000_000 and model["variants"]["FP16"]["weights"] == 14_000_000
    assert model["variants"]["FP16"]["chat"] == {}  # its configuration doesn't say


@pytest.mark.parametrize(("name", "expected"), [("org/none", "check the name"), ("org/files", "config.json")])
def test_what_is_no_model_on_the_hub_is_one_sentence(name: str, expected: str, hub: Hub, tmp_path: Path):
    (hub.root / "org" / "files").mkdir(parents=True)
    with pytest.raises(UserError, match=expected):
        one_model(name, tmp_path)


def test_a_hub_that_is_down_is_one_sentence(hub: Hub, tmp_path: Path):
    hub.broken = True
    with pytest.raises(UserError, match="try again later"):
        one_model("org/name", tmp_path)


def test_a_folder_on_this_machine_is_described_by_its_files(hub: Hub, tmp_path: Path):
    folder = small_checkpoints.write(TINY_LLAMA, hub.root)
    (model,) = one_model(str(folder), tmp_path)["models"]
    assert model["source"] == "folder" and model["parameters"] > 400_000 and model["download"] == 0
