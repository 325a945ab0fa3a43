import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from llm_chatbot.catalogue.gguf_names import StoredGGUF
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.header import read_gguf_header
from llm_chatbot.sources.gguf_files import find_ggufs, found_files, gguf_path, stored_gguf
from llm_chatbot.sources.hub import download_gguf
from tests.gguf.test_header import write_model
from tests.hub_server import Hub


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub) -> Path:
    """A home without any model."""
    for name in ("OLLAMA_MODELS", "LLAMA_CACHE", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setenv("LLAMA_CACHE", str(tmp_path / "llama.cpp"))
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("gguf") / "small.gguf")


def put(path: Path, model: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copy(model, path))


def pull(home: Path, model: Path, *name: str, kinds: tuple[str, ...] = ("template", "model", "params")) -> Path:
    """Writes what Ollama leaves in its folder when it has pulled a model."""
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    layers = [
        {
            "mediaType": f"application/vnd.ollama.image.{kind}",
            "digest": f"sha256:{digest if kind == 'model' else 'f' * 64}",
        }
        for kind in kinds
    ]
    root = home / ".ollama" / "models"
    manifest = root.joinpath("manifests", *name)
    manifest.parent.mkdir(parents=True, exist_ok=True)
    manifest.write_text(json.dumps({"schemaVersion": 2, "layers": layers}), encoding="utf-8")
    return put(root / "blobs" / f"sha256-{digest}", model)


@pytest.mark.parametrize(
    ("name", "manifest"),
    [
        ("ollama:llama3.2", ("registry.ollama.ai", "library", "llama3.2", "latest")),
        ("ollama:llama3.2:3b-instruct-q4_K_M", ("registry.ollama.ai", "library", "llama3.2", "3b-instruct-q4_K_M")),
        ("ollama:somebody/model:1b", ("registry.ollama.ai", "somebody", "model", "1b")),
        ("ollama:hf.co/org/repo:Q4_K_M", ("hf.co", "org", "repo", "Q4_K_M")),
    ],
)
def test_ollamas_models_are_found_by_ollamas_names(name: str, manifest: tuple[str, ...], home: Path, model: Path):
    blob = pull(home, model, *manifest)
    assert gguf_path(get_model_config(name)) == blob
    (found,) = find_ggufs()
    assert found.path == blob and gguf_path(get_model_config(found.name)) == blob


def test_ollamas_folder_can_be_another(home: Path, model: Path, monkeypatch: pytest.MonkeyPatch):
    pull(home, model, "registry.ollama.ai", "library", "a", "latest")
    (home / ".ollama").rename(home / "elsewhere")
    monkeypatch.setenv("OLLAMA_MODELS", str(home / "elsewhere" / "models"))
    assert gguf_path(get_model_config("ollama:a")).is_file()


def test_what_ollama_does_not_have_is_refused_with_what_it_has(home: Path, model: Path):
    blob = pull(home, model, "registry.ollama.ai", "library", "llama3.2", "latest")
    with pytest.raises(UserError, match=r"has no llama4:latest .* available: ollama:llama3\.2:latest\."):
        gguf_path(get_model_config("ollama:llama4"))
    blob.unlink()
    with pytest.raises(UserError, match=r"ollama pull llama3\.2"):
        gguf_path(get_model_config("ollama:llama3.2"))


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        '{"layers": 3}',
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model"}]}',
        '{"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:../../../etc/passwd"}]}',
        '{"layers": [{"mediaType": "application/vnd.ollama.image.tensor", "digest": "sha256:' + "0" * 64 + '"}]}',
    ],
)
def test_a_manifest_that_names_no_gguf_file_is_refused(manifest: str, home: Path):
    path = home / ".ollama/models/manifests/registry.ollama.ai/library/bad/latest"
    path.parent.mkdir(parents=True)
    path.write_text(manifest, encoding="utf-8")
    with pytest.raises(UserError, match="has no GGUF file"):
        gguf_path(get_model_config("ollama:bad"))
    assert find_ggufs() == []


@pytest.mark.parametrize(
    "name", ["ollama:../../x", "ollama:/etc/x", "ollama:a:../b", "lmstudio:a/../b", "lmstudio:a:b"]
)
def test_a_name_that_leads_out_of_the_folder_is_none(name: str):
    with pytest.raises(UserError, match="There is no model"):
        get_model_config(name)


@pytest.mark.parametrize("folder", [".lmstudio/models", ".cache/lm-studio/models"])
@pytest.mark.parametrize("name", ["pub/Some-GGUF/some-Q8_0.gguf", "pub/Some-GGUF", "Some-GGUF", "some-Q8_0"])
def test_lm_studios_models_are_found_by_path_or_name(folder: str, name: str, home: Path, model: Path):
    path = put(home / folder / "pub/Some-GGUF/some-Q8_0.gguf", model)
    put(home / folder / "pub/Some-GGUF/mmproj-some.gguf", model)
    assert stored_gguf(StoredGGUF("lmstudio", name)) == path
    assert [(file.name, file.path) for file in find_ggufs()] == [("lmstudio:pub/Some-GGUF/some-Q8_0.gguf", path)]


@pytest.mark.parametrize(
    ("names", "asked", "found"),
    [
        (["X-MTP-Q8_0.gguf", "mtp-X-Q8_0.gguf"], "Q8_0", "X-MTP-Q8_0.gguf"),
        (["X-F16.gguf", "MMPROJ-X-F16.gguf"], "F16", "X-F16.gguf"),
        (["X-without-mmproj-Q4_0.gguf", "X-mmproj-Q4_0.gguf"], "Q4_0", "X-without-mmproj-Q4_0.gguf"),
        (["X-Q8_0.GGUF", "imatrix.gguf"], "Q8_0", "X-Q8_0.GGUF"),
        (["MMPROJ-X-F16.gguf", "X.imatrix.gguf"], "F16", None),
    ],
)
def test_language_models_alone_are_found_everywhere(
    names: list[str], asked: str, found: str | None, home: Path, model: Path, hub: Hub
):
    for name in names:
        put(hub.root / "org" / "repo" / name, model)
        put(home / ".lmstudio/models/pub/repo" / name, model)
    if found is None:
        with pytest.raises(UserError, match="has no GGUF files"):
            download_gguf("org/repo", asked)
        assert find_ggufs() == []
        return
    assert download_gguf("org/repo", asked).name == found
    assert stored_gguf(StoredGGUF("lmstudio", "repo")).name == found
    assert [file.name for file in find_ggufs()] == [f"lmstudio:pub/repo/{found}", f"org/repo/{found}"]


def test_a_file_with_a_suffix_in_capitals_is_a_model(home: Path, model: Path):
    path = put(home / "some-Q8_0.GGUF", model)
    config = get_model_config(str(path))
    assert config.is_gguf and config.model_id == "some-Q8_0" and gguf_path(config) == path


def test_lm_studios_names_must_mean_one_file(home: Path, model: Path):
    for quant in ("Q4_K_M", "Q8_0"):
        put(home / f".lmstudio/models/pub/repo/some-{quant}.gguf", model)
    with pytest.raises(UserError, match=r"several files for repo; name one of: lmstudio:pub/repo/some-Q4_K_M\.gguf, "):
        stored_gguf(StoredGGUF("lmstudio", "repo"))
    with pytest.raises(UserError, match=r"LM Studio has no other in .*some-Q8_0\.gguf"):
        stored_gguf(StoredGGUF("lmstudio", "other"))


def test_files_of_the_hubs_and_llama_cpps_caches_are_found(home: Path, model: Path, hub: Hub):
    put(hub.root / "org" / "repo" / "some-Q8_0.gguf", model)
    cached = download_gguf("org/repo", "Q8_0")
    other = put(home / "llama.cpp" / "org_repo_some.gguf", model)
    put(home / "llama.cpp" / "a-00002-of-00002.gguf", model)
    assert [(file.name, file.path) for file in find_ggufs()] == [
        ("org/repo/some-Q8_0.gguf", cached),
        (str(other), other),
    ]


def test_a_newer_file_of_a_program_is_told_from_the_old_one(home: Path, model: Path):
    ollama, config = ("registry.ollama.ai", "library", "a", "latest"), get_model_config("ollama:a")
    blob = pull(home, model, *ollama)
    digest = hashlib.sha256(model.read_bytes()).hexdigest()
    old = {f"sha256-{digest}": {"sha256": digest}}
    assert found_files(config) == old
    os.utime(blob, (0, 0))
    assert found_files(config) == old
    newer = home / "newer.gguf"
    newer.write_bytes(model.read_bytes() + b"more")
    blob = pull(home, newer, *ollama)
    digest = hashlib.sha256(newer.read_bytes()).hexdigest()
    assert found_files(config) == {f"sha256-{digest}": {"sha256": digest}}
    blob.unlink()
    assert found_files(config) is None


@pytest.mark.parametrize("name", ["lmstudio:some", "{path}"])
def test_a_newer_file_at_the_same_place_is_told_from_the_old_one(name: str, home: Path, model: Path):
    path = put(home / ".lmstudio/models/pub/repo/some.gguf", model)
    config = get_model_config(name.format(path=path))
    old = found_files(config)
    identity = {"path": str(path.resolve()), "size": path.stat().st_size, "mtime_ns": path.stat().st_mtime_ns}
    assert old == {"some.gguf": identity}
    assert found_files(config) == old
    os.utime(path, (0, 0))
    assert found_files(config) not in (old, None)
    path.unlink()
    assert found_files(config) is None


@pytest.mark.parametrize("name", ["org/repo:Q8_0", "org/repo/some-Q8_0.gguf"])
def test_a_newer_file_in_the_hubs_cache_is_told_from_the_old_one_without_the_network(name: str, model: Path, hub: Hub):
    served = put(hub.root / "org" / "repo" / "some-Q8_0.gguf", model)
    config = get_model_config(name)
    assert found_files(config) is None and hub.sent == []
    cached = gguf_path(config)
    hub.broken = True  # it answers every request with an error
    old = found_files(config)
    assert old is not None
    shutil.rmtree(cached.parents[2])
    hub.broken = False
    served.write_bytes(model.read_bytes() + b"more")
    gguf_path(config)
    assert found_files(config) not in (old, None)


def test_what_reads_images_is_downloaded_where_it_is_asked_for(model: Path, hub: Hub):
    served = put(hub.root / "org" / "repo" / "some-Q8_0.gguf", model)
    (served.parent / "mmproj-F16.gguf").write_bytes(b"eye")
    config = get_model_config("org/repo:Q8_0")
    gguf_path(config)
    assert {name for name, _ in hub.sent} == {"some-Q8_0.gguf"}
    gguf_path(config, images=True)
    assert {name for name, _ in hub.sent} == {"some-Q8_0.gguf", "mmproj-F16.gguf"}


def test_a_newer_part_of_a_split_model_is_told_from_the_old_one(home: Path, model: Path):
    first, second = (put(home / f"some-0000{number}-of-00002.gguf", model) for number in (1, 2))
    put(home / "some-other.gguf", model)
    config = get_model_config(str(first))
    old = found_files(config)
    assert old is not None and list(old) == [first.name, second.name]
    os.utime(second, (0, 0))
    assert found_files(config) not in (old, None)


def test_newer_weights_in_a_checkpoints_folder_are_told_from_the_old_ones(tmp_path: Path):
    for name in ("config.json", "model.safetensors", "README.md"):
        (tmp_path / name).write_text("{}", encoding="utf-8")
    config = get_model_config(str(tmp_path))
    old = found_files(config)
    assert old is not None and list(old) == ["config.json", "model.safetensors"]
    os.utime(tmp_path / "README.md", (0, 0))
    assert found_files(config) == old
    os.utime(tmp_path / "model.safetensors", (0, 0))
    assert found_files(config) not in (old, None)


def test_the_quantization_is_that_of_most_bytes(model: Path):
    assert read_gguf_header(model).main_type == "Q8_0"


def test_listing_imports_no_heavy_library():
    heavy = ("torch", "transformers", "openvino", "nncf")
    code = f"import sys, llm_chatbot.sources.gguf_files; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
