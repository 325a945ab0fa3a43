import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.row import Int4Settings, ModelConfig
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.errors import UserError
from llm_chatbot.folder.current import compare_folder, identity
from llm_chatbot.folder.found import MEASURED, converted_folder, converted_models, measured_variants, precision_label
from llm_chatbot.folder.manifest import (
    MANIFEST,
    MODEL_BIN,
    REQUIRED_FILES,
    check_complete,
    is_complete,
    missing_files,
    write_manifest,
)
from llm_chatbot.folder.place import AS_IN_FILE, SUBFOLDERS, default_precision, model_folder, precisions_of
from llm_chatbot.folder.variant import Variant


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder that has everything a converted model has, where it is looked for."""
    folder = model_folder(DEFAULT_MODEL, "INT4", tmp_path)
    folder.mkdir(parents=True)
    for name in REQUIRED_FILES:
        (folder / name).write_bytes(b"something")
    write_manifest(folder, name=DEFAULT_MODEL, precision="INT4")
    return folder


def test_each_precision_has_its_folder():
    assert model_folder("m", "FP16", Path("r")) == Path("r/m/FP16")
    assert model_folder("m", "INT8", Path("r")) == Path("r/m/INT8_compressed_weights")
    assert model_folder("m", "INT4", Path("r")) == Path("r/m/INT4_compressed_weights")
    assert model_folder("m", AS_IN_FILE, Path("r")) == Path("r/m/GGUF")


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("ollama:llama3.2", "ollama--llama3.2--latest"),
        ("ollama:llama3.2:latest", "ollama--llama3.2--latest"),
        ("ollama:hf.co/org/repo:Q4_K_M", "ollama--hf.co--org--repo--Q4_K_M"),
        ("lmstudio:pub/repo/file-Q8_0.gguf", "lmstudio--pub--repo--file-Q8_0"),
        ("org/repo:q4_k_m", "org--repo--Q4_K_M"),
        ("org/repo/sub/file-00001-of-00003.gguf", "org--repo--sub--file"),
    ],
)
def test_gguf_files_have_folders_that_every_system_takes(name: str, folder: str):
    assert model_folder(name, "INT4", Path("r")) == Path("r", folder, "INT4_compressed_weights")


def test_an_unknown_precision_is_refused_with_those_that_there_are():
    with pytest.raises(UserError, match="FP16, INT8, INT4, GGUF"):
        model_folder("m", "INT2")


def test_a_whole_folder_is_complete(folder: Path):
    assert is_complete(folder)
    check_complete(folder)


@pytest.mark.parametrize("name", REQUIRED_FILES)
def test_a_folder_without_one_of_its_files_is_not(folder: Path, name: str):
    (folder / name).unlink()
    assert missing_files(folder) == [name]
    assert not is_complete(folder)
    with pytest.raises(UserError, match=name):
        check_complete(folder)


def test_a_file_that_was_cut_short_is_found_out(folder: Path):
    (folder / MODEL_BIN).write_bytes(b"some")
    with pytest.raises(UserError, match=r"openvino_model\.bin missing or truncated"):
        check_complete(folder)


def test_a_folder_without_a_manifest_may_be_loaded_but_is_not_one_of_ours(folder: Path):
    (folder / "conversion.json").unlink()
    check_complete(folder)
    assert not is_complete(folder)


def test_a_manifest_that_cannot_be_read_counts_as_missing(folder: Path):
    (folder / "conversion.json").write_text("{", encoding="utf-8")
    with pytest.raises(UserError, match=r"conversion\.json"):
        check_complete(folder)


def test_what_is_not_a_folder_or_not_a_model_is_said(tmp_path: Path):
    with pytest.raises(UserError, match="no folder"):
        check_complete(tmp_path / "nowhere")
    with pytest.raises(UserError, match="not a complete converted model"):
        check_complete(tmp_path)


def test_a_model_from_elsewhere_has_a_folder_named_after_it(tmp_path: Path):
    assert model_folder("org/name-7b", "FP16", Path("r")) == Path("r/org--name-7b/FP16")
    (tmp_path / "checkpoint").mkdir()
    assert model_folder(str(tmp_path / "checkpoint"), "FP16", Path("r")) == Path("r/checkpoint/FP16")
    assert model_folder(str(tmp_path / "model.gguf"), "FP16", Path("r")) == Path("r/model/FP16")


def test_models_that_the_catalogue_does_not_know_are_listed_by_their_own_name(folder: Path, tmp_path: Path):
    other = model_folder("org/name-7b", "INT8", tmp_path)
    shutil.copytree(folder, other)
    write_manifest(other, name="org/name-7b")
    assert list(converted_models(tmp_path)) == [DEFAULT_MODEL, "org/name-7b"]


def test_only_complete_models_are_listed(folder: Path, tmp_path: Path):
    model_folder(DEFAULT_MODEL, "INT8", tmp_path).mkdir(parents=True)
    assert converted_models(tmp_path) == {DEFAULT_MODEL: ["INT4"]}
    assert converted_models(tmp_path / "elsewhere") == {}


# Variants


CONFIG = ModelConfig(model_id="org/name", description="", license="")


def made(variant: Variant) -> Variant:
    """The variant with a complete folder, as `convert_model` leaves it."""
    variant.folder.mkdir(parents=True)
    for name in REQUIRED_FILES:
        (variant.folder / name).write_bytes(b"something")
    write_manifest(variant.folder, name=variant.name, **identity(variant))
    return variant


def test_a_variant_has_a_folder_and_cannot_be_changed(tmp_path: Path):
    variant = Variant("org/name", CONFIG, "INT8", tmp_path)
    assert variant.folder == model_folder("org/name", "INT8", tmp_path)
    with pytest.raises(FrozenInstanceError):
        variant.precision = "INT4"  # type: ignore[misc]


def test_compression_settings_are_those_of_the_catalogue():
    row = get_model_config(DEFAULT_MODEL)
    assert Variant("m", row, "INT4").compression == {"mode": "INT4_ASYM", "group_size": 32, "ratio": 0.7, "awq": True}
    assert Int4Settings() == Int4Settings("INT4_ASYM", 128, 0.8)
    with_awq = replace(row, int4=Int4Settings("INT4_SYM", 64, 0.6, awq=True))
    assert Variant("m", with_awq, "INT4").compression == {
        "mode": "INT4_SYM",
        "group_size": 64,
        "ratio": 0.6,
        "awq": True,
    }
    without = replace(row, int4=Int4Settings("INT4_SYM", 64, 0.6))
    assert Variant("m", without, "INT4").compression == {"mode": "INT4_SYM", "group_size": 64, "ratio": 0.6}
    assert Variant("m", with_awq, "INT8").compression == {"mode": "INT8_ASYM"}
    assert Variant("m", with_awq, "FP16").compression == {}


@pytest.mark.parametrize("precision", SUBFOLDERS)
def test_a_variant_is_current_once_its_folder_is_complete(precision, tmp_path: Path):
    variant = Variant("org/name", CONFIG, precision, tmp_path)
    assert not compare_folder(variant).is_current and compare_folder(variant).manifest == {}
    made(variant)
    assert compare_folder(variant).is_current and compare_folder(variant).changes == {}
    (variant.folder / MODEL_BIN).write_bytes(b"some")
    assert not compare_folder(variant).is_current


def test_other_settings_are_changes_by_entry(tmp_path: Path):
    variant = made(Variant("org/name", CONFIG, "INT4", tmp_path))
    other = replace(variant, config=replace(CONFIG, revision="v2", int4=Int4Settings(ratio=1.0)))
    found = compare_folder(other)
    assert not found.is_current
    assert found.changes.keys() == {"revision", "compression"}
    assert found.changes["revision"] == (None, "v2")
    assert [settings["ratio"] for settings in found.changes["compression"]] == [0.8, 1.0]
    assert found.reason.startswith(
        "its settings have changed: None → v2, mode INT4_ASYM group_size 128 ratio 0.8 awq True → "
    )
    assert compare_folder(replace(other, precision="FP16")).manifest == {}


def test_other_files_than_the_recorded_ones_are_noticed_where_both_are_known(tmp_path: Path):
    old, new = {"a.gguf": {"sha256": "0" * 64}}, {"a.gguf": {"sha256": "1" * 64}}
    variant = made(Variant("a", CONFIG, AS_IN_FILE, tmp_path))
    assert compare_folder(replace(variant, files=new)).is_current  # made when the files were not recorded
    write_manifest(variant.folder, **identity(variant), checkpoint_files=old)
    same, newer, gone = (compare_folder(replace(variant, files=found)) for found in (old, new, None))
    assert same.is_current and gone.is_current and not newer.is_current
    assert newer.has_other_files and newer.changes == {} and newer.reason == "its checkpoint has changed"


def test_a_folder_of_an_older_version_that_called_a_files_blocks_int4_is_made_again(tmp_path: Path):
    variant = made(Variant("a", CONFIG, "INT4", tmp_path))
    write_manifest(variant.folder, **{**identity(variant), "compression": {"gguf": "Q4_K"}})
    assert compare_folder(variant).reason.startswith("its settings have changed: gguf Q4_K → mode INT4_ASYM ")


@pytest.mark.parametrize(
    ("checkpoint", "default", "others"),
    [(None, "INT4", ["FP16", "INT8"]), (Path("a.gguf"), AS_IN_FILE, ["FP16", "INT8", "INT4"])],
)
def test_the_default_is_a_gguf_files_own_precision_and_int4_for_others(checkpoint, default: str, others: list[str]):
    config = replace(CONFIG, checkpoint=checkpoint)
    assert default_precision(config) == default
    assert precisions_of(config) == [*others, default]


def test_importing_what_knows_folders_imports_nothing_heavy():
    script = """
import sys
import llm_chatbot.folder.current, llm_chatbot.folder.found, llm_chatbot.folder.variant
heavy = {"torch", "transformers", "openvino", "nncf", "gradio", "numpy", "optimum"} & set(sys.modules)
assert not heavy, heavy
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_precision_says_whether_the_weights_are_the_files_own(tmp_path: Path):
    write_manifest(tmp_path, precision=AS_IN_FILE, quantization="Q4_K_M", compression=None)
    assert precision_label(tmp_path) == "Q4_K_M, as in the file"
    write_manifest(tmp_path, precision="FP16", compression=None)
    assert precision_label(tmp_path) == "FP16"


def test_the_command_for_a_missing_model_names_the_folder_that_was_looked_in(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"qwen3-4b --precision INT8\.$"):
        converted_folder("qwen3-4b", "INT8")
    Path("there").mkdir()
    with pytest.raises(UserError, match=r"qwen3-4b --precision INT8 --output there\.$"):
        converted_folder("qwen3-4b", "INT8", Path("there"))
    with pytest.raises(UserError, match=r"^There is no folder elsewhere; name the folder"):
        converted_folder("qwen3-4b", "INT8", Path("elsewhere"))


def test_figures_are_those_of_the_folders_that_are_there(tmp_path: Path):
    for precision in SUBFOLDERS:
        folder = tmp_path / SUBFOLDERS[precision]
        folder.mkdir()
        write_manifest(folder)
    assert measured_variants(tmp_path) == {}
    figures = [{"variant": name, "kl": 0.1} for name in ("FP16", "INT8", "INT4", "GGUF", "/elsewhere/INT4")]
    (tmp_path / MEASURED).write_text(json.dumps({"variants": figures}), encoding="utf-8")
    assert list(measured_variants(tmp_path)) == ["FP16", "INT8", "INT4", "GGUF"]
    assert measured_variants(tmp_path)["INT4"] == {"variant": "INT4", "kl": 0.1}
    manifest = tmp_path / SUBFOLDERS["INT8"] / MANIFEST  # of a later conversion
    os.utime(manifest, (time.time() + 60, time.time() + 60))
    for gone in ("INT4", AS_IN_FILE):
        (tmp_path / SUBFOLDERS[gone] / MANIFEST).unlink()
    assert list(measured_variants(tmp_path)) == ["FP16"]
    for damaged in ("no JSON", "[]", "{}", '{"variants": [1]}', '{"variants": [{}]}'):
        (tmp_path / MEASURED).write_text(damaged, encoding="utf-8")
        assert measured_variants(tmp_path) == {}
