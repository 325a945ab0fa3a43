"""The real huggingface_hub client against a hub on this machine."""

import json
import shutil
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.errors import UserError
from llm_chatbot.sources.hub import describe_repository, download_adapter, download_checkpoint, download_gguf
from llm_chatbot.sources.mmproj_files import mmproj_of
from tests.hub_server import Hub

FILES = {
    "config.json": b'{"model_type": "llama"}',
    "tokenizer.json": b'{"version": "1.0"}',
    "model-00001-of-00002.safetensors": b"first" * 1000,
    "model-00002-of-00002.safetensors": b"second" * 1000,
    "model.safetensors.index.json": json.dumps(
        {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}
    ).encode(),
    "pytorch_model.bin": b"the same once more",
    "modeling_llama.py": b"raise SystemExit",
    "README.md": b"# A model",
}
NEEDED = {name for name in FILES if name.startswith(("model-", "model.", "config", "tokenizer"))}


@pytest.fixture(autouse=True)
def repository(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path / "ours"))
    repository = hub.root / "some" / "model"
    repository.mkdir(parents=True)
    for name, body in FILES.items():
        (repository / name).write_bytes(body)
    return repository


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def asked(hub: Hub) -> list[str]:
    return [name for name, _ in hub.sent]


def test_only_the_files_that_are_needed_come_and_only_once(hub: Hub):
    folder = download_checkpoint("some/model")
    assert names(folder) == NEEDED
    assert (folder / "config.json").read_bytes() == FILES["config.json"]
    assert download_checkpoint("some/model") == folder
    assert sorted(asked(hub)) == sorted(NEEDED)


def test_no_progress_is_drawn_where_nobody_watches(hub: Hub, capfd: pytest.CaptureFixture):
    download_checkpoint("some/model")
    assert capfd.readouterr() == ("", "")


def write_index(repository: Path, *shards: str, whole: str = "model.safetensors") -> None:
    for path in repository.glob("*model*"):
        path.unlink()
    index = {"weight_map": {f"tensor.{number}": shard for number, shard in enumerate(shards)}}
    (repository / f"{whole}.index.json").write_text(json.dumps(index), encoding="utf-8")


def write_files(repository: Path, *names: str) -> None:
    for name in names:
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_bytes(name.encode())


def test_pickles_come_only_where_there_are_no_safetensors(repository: Path, hub: Hub):
    for path in repository.glob("model*"):
        path.unlink()
    assert names(download_checkpoint("some/model")) == {"pytorch_model.bin", "config.json", "tokenizer.json"}
    write_files(repository, "model.safetensors", "original/consolidated.00.pth", "tf_model.h5")
    hub.sent.clear()
    download_checkpoint("some/model")
    assert asked(hub) == ["model.safetensors"]


@pytest.mark.parametrize(
    ("whole", "shards"),
    [
        ("model.safetensors", ["consolidated-00001-of-00002.safetensors", "consolidated-00002-of-00002.safetensors"]),
        ("model.safetensors", ["pytorch_model-00001-of-00001.safetensors"]),
        ("model.safetensors", ["weights/model-00001-of-00002.safetensors", "weights/model-00002-of-00002.safetensors"]),
        ("model.safetensors", ["model.safetensors", "head.safetensors"]),
        ("pytorch_model.bin", ["part_1.bin", "part_2.bin"]),
    ],
)
def test_the_index_names_the_files_that_come_and_no_others_do(
    whole: str, shards: list[str], repository: Path, hub: Hub
):
    write_index(repository, *shards, whole=whole)
    write_files(repository, *shards, "model-00009-of-00009.safetensors", "pytorch_model-9.bin", "consolidated.bin")
    folder = download_checkpoint("some/model")
    came = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert came == {*shards, f"{whole}.index.json", "config.json", "tokenizer.json"}
    assert describe_repository("some/model").weights == sum(map(len, shards))


def test_a_whole_file_beside_an_index_that_fits_does_not_come(repository: Path, hub: Hub):
    write_files(repository, "model.safetensors")
    assert names(download_checkpoint("some/model")) == NEEDED


def test_an_index_that_is_out_of_date_is_named_before_anything_comes(repository: Path, hub: Hub):
    write_index(repository, "model-00001-of-00001.safetensors")
    write_files(repository, "model.safetensors")
    with pytest.raises(
        UserError, match=r"index\.json lists model-00001-of-00001\.safetensors.* beside a whole model\.safetensors; "
    ):
        download_checkpoint("some/model")
    (repository / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"lacks model-00001-of-00001.*; choose another revision or another model"):
        download_checkpoint("some/model")
    assert set(asked(hub)) == {"config.json", "model.safetensors.index.json"}


@pytest.mark.parametrize(
    "index", [b"", b"{", b"{}", b"[]", b'{"weight_map": {}}', b'{"weight_map": {"a": 1}}', b'{"weight_map": ["a"]}']
)
def test_a_damaged_index_is_named(index: bytes, repository: Path):
    (repository / "model.safetensors.index.json").write_bytes(index)
    with pytest.raises(UserError, match=r"model\.safetensors\.index\.json is damaged"):
        download_checkpoint("some/model")


@pytest.mark.parametrize("name", ["../other/model.safetensors", "/etc/model.safetensors", "C:/a.bin", "a\\b.bin", ""])
def test_an_index_names_nothing_outside_of_its_folder(name: str, repository: Path):
    write_index(repository, name)
    with pytest.raises(UserError, match="is damaged"):
        download_checkpoint("some/model")


@pytest.mark.parametrize("name", sorted(NEEDED))
@pytest.mark.parametrize("content", [None, b"", b"{"], ids=["missing", "empty", "cut"])
def test_a_broken_download_is_refused_offline_by_what_is_missing(
    content: bytes | None, name: str, monkeypatch: pytest.MonkeyPatch
):
    folder = download_checkpoint("some/model")
    path = folder / name
    blob = path.resolve()
    path.unlink()
    blob.unlink()
    if content is not None:
        blob.write_bytes(content)
        path.symlink_to(blob)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=rf"not whole in .*: {name} missing or damaged; run the command again with"):
        download_checkpoint("some/model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    if content is not None:
        path.unlink()
        blob.unlink()
    assert download_checkpoint("some/model") == folder and names(folder) == NEEDED


def test_a_download_that_broke_off_is_known_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    hub.damaged.add("model-00002-of-00002.safetensors")
    with pytest.raises(UserError, match="arrived damaged"):
        download_checkpoint("some/model")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"model-00002-of-00002\.safetensors missing or damaged"):
        download_checkpoint("some/model")


def test_an_empty_file_is_refused_in_a_cache_that_somebody_else_filled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = download_checkpoint("some/model")
    shutil.rmtree(tmp_path / "ours")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download_checkpoint("some/model") == folder
    (folder / "tokenizer.json").resolve().write_bytes(b"")
    with pytest.raises(UserError, match=r"tokenizer\.json missing or damaged"):
        download_checkpoint("some/model")


def test_a_cut_connection_is_resumed_from_where_it_broke(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 1000)
    hub.cut_after["model-00001-of-00002.safetensors"] = 3000
    folder = download_checkpoint("some/model")
    assert (folder / "model-00001-of-00002.safetensors").read_bytes() == FILES["model-00001-of-00002.safetensors"]
    assert ("model-00001-of-00002.safetensors", 3000) in hub.sent


def test_a_damaged_file_is_removed_and_comes_anew_the_next_time(hub: Hub):
    hub.damaged.add("model-00002-of-00002.safetensors")
    with pytest.raises(UserError, match=r"model-00002.* arrived damaged .* run the command again"):
        download_checkpoint("some/model")
    hub.damaged.clear()
    hub.sent.clear()
    folder = download_checkpoint("some/model")
    assert (folder / "model-00002-of-00002.safetensors").read_bytes() == FILES["model-00002-of-00002.safetensors"]
    assert asked(hub) == ["model-00002-of-00002.safetensors"]


def test_a_gated_model_names_its_page_and_how_to_log_in(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    hub.gated.add("some/model")
    with pytest.raises(UserError, match=rf"accept its licence on {constants.ENDPOINT}/some/model, .*hf auth login"):
        download_checkpoint("some/model")
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert names(download_checkpoint("some/model")) == NEEDED


def test_a_model_or_revision_that_is_not_there_is_a_sentence(hub: Hub):
    with pytest.raises(UserError, match="There is no model some/other"):
        download_checkpoint("some/other")
    with pytest.raises(UserError, match="no revision 'v9'"):
        download_checkpoint("some/model", "v9")
    with pytest.raises(UserError, match="organisation/name"):
        download_checkpoint("some/model/more")


def test_a_hub_that_is_down_is_a_sentence(hub: Hub):
    hub.broken = True
    with pytest.raises(UserError, match="503"):
        download_checkpoint("some/model")


def test_without_a_network_the_cache_is_enough(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    folder = download_checkpoint("some/model")
    with socket.socket() as deaf:  # it holds a port, and refuses every connection to it
        deaf.bind(("127.0.0.1", 0))
        monkeypatch.setattr(constants, "ENDPOINT", f"http://127.0.0.1:{deaf.getsockname()[1]}")
        assert download_checkpoint("some/model") == folder
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        assert download_checkpoint("some/model") == folder
        with pytest.raises(UserError, match="cannot be reached; check the network"):
            download_checkpoint("some/other")


def test_a_disk_that_is_too_small_is_found_out_before(hub: Hub, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 1000}))
    with pytest.raises(UserError, match=r"to download and .* free; free some disk space"):
        download_checkpoint("some/model")
    assert set(asked(hub)) == {"config.json", "model.safetensors.index.json"}


GGUFS = {
    "some-Q4_K_M.gguf": b"four" * 999,
    "some-Q4_K_S.gguf": b"small" * 999,
    "Q8_0/some-Q8_0-00001-of-00002.gguf": b"eight" * 999,
    "Q8_0/some-Q8_0-00002-of-00002.gguf": b"more" * 999,
    "mmproj-some-Q4_K_M.gguf": b"eye",
    "a/one-F16.gguf": b"one",
    "b/two-F16.gguf": b"two",
}


@pytest.fixture
def ggufs(repository: Path) -> Path:
    for name, body in GGUFS.items():
        (repository / name).parent.mkdir(exist_ok=True)
        (repository / name).write_bytes(body)
    return repository


@pytest.mark.parametrize("file", ["Q4_K_M", "q4_k_m", "some-Q4_K_M.gguf"])
def test_of_a_repository_with_ggufs_only_the_one_that_is_asked_for_comes(file: str, ggufs: Path, hub: Hub):
    path = download_gguf("some/model", file)
    assert path.read_bytes() == GGUFS["some-Q4_K_M.gguf"]
    assert asked(hub) == ["some-Q4_K_M.gguf"]
    hub.sent.clear()
    assert download_gguf("some/model", file) == path and not hub.sent


def test_what_reads_images_comes_with_a_gguf(ggufs: Path, hub: Hub):
    for kind in ("BF16", "F16", "F32"):
        (ggufs / f"mmproj-{kind}.gguf").write_bytes(kind.encode() * 999)
    (ggufs / "mmproj-some-Q4_K_M.gguf").unlink()
    hub.cut_after["mmproj-F16.gguf"] = 1000
    path = download_gguf("some/model", "Q4_K_M", images=True)
    assert sorted(asked(hub)) == ["mmproj-F16.gguf", "mmproj-F16.gguf", "some-Q4_K_M.gguf"], "it broke off once"
    assert (path.parent / "mmproj-F16.gguf").read_bytes() == b"F16" * 999
    split = download_gguf("some/model", "Q8_0", images=True)
    config = get_model_config("some/model:Q8_0")
    assert mmproj_of(config, split) == [split.parents[1] / "mmproj-F16.gguf"]


def test_a_damaged_file_that_reads_images_is_removed(ggufs: Path, hub: Hub):
    hub.damaged.add("mmproj-some-Q4_K_M.gguf")
    with pytest.raises(UserError, match=r"mmproj-some-Q4_K_M\.gguf of some/model arrived damaged"):
        download_gguf("some/model", "Q4_K_M", images=True)


def test_offline_a_gguf_is_read_without_what_reads_images(ggufs: Path, monkeypatch: pytest.MonkeyPatch):
    path = download_gguf("some/model", "Q4_K_M")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download_gguf("some/model", "Q4_K_M", images=True) == path
    assert mmproj_of(get_model_config("some/model:Q4_K_M"), path) == []


def test_what_reads_images_is_whole_offline_too(ggufs: Path, monkeypatch: pytest.MonkeyPatch):
    path = download_gguf("some/model", "Q4_K_M", images=True)
    (path.parent / "mmproj-some-Q4_K_M.gguf").resolve().write_bytes(b"ey")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download_gguf("some/model", "Q4_K_M") == path
    with pytest.raises(UserError, match=r"not whole in .*: mmproj-some-Q4_K_M\.gguf missing or damaged"):
        download_gguf("some/model", "Q4_K_M", images=True)


@pytest.mark.parametrize("file", ["Q8_0", "Q8_0/some-Q8_0-00001-of-00002.gguf", "Q8_0/some-Q8_0-00002-of-00002.gguf"])
def test_a_split_gguf_comes_whole_and_is_known_by_its_first_part(file: str, ggufs: Path, hub: Hub):
    path = download_gguf("some/model", file)
    assert path.name == "some-Q8_0-00001-of-00002.gguf" and len(list(path.parent.iterdir())) == 2
    assert len(asked(hub)) == 2


@pytest.mark.parametrize(
    ("file", "sentence"),
    [
        ("Q5_K_M", r"has no Q5_K_M; name one of: .*some/model/some-Q4_K_M\.gguf"),
        ("F16", r"several files for F16; name one of: some/model/a/one-F16\.gguf, some/model/b/two-F16\.gguf\."),
        ("other.gguf", r"has no other\.gguf; name one of"),
    ],
)
def test_a_gguf_that_is_not_there_or_not_clear_is_refused_with_the_names(file, sentence, ggufs: Path):
    with pytest.raises(UserError, match=sentence):
        download_gguf("some/model", file)


def test_a_repository_without_ggufs_is_refused():
    with pytest.raises(UserError, match="has no GGUF files"):
        download_gguf("some/model", "Q4_K_M")


def test_a_damaged_gguf_is_removed(ggufs: Path, hub: Hub):
    hub.damaged.add("some-Q4_K_M.gguf")
    with pytest.raises(UserError, match=r"some-Q4_K_M\.gguf of some/model arrived damaged"):
        download_gguf("some/model", "Q4_K_M")
    hub.damaged.clear()
    assert download_gguf("some/model", "Q4_K_M").read_bytes() == GGUFS["some-Q4_K_M.gguf"]


def test_a_gguf_for_which_there_is_no_room_is_refused_before_it_is_sent(ggufs: Path, hub: Hub, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100))
    with pytest.raises(UserError, match="GB to download"):
        download_gguf("some/model", "Q4_K_M")
    assert not hub.sent


def test_offline_a_gguf_comes_from_the_cache(ggufs: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch):
    path = download_gguf("some/model", "Q4_K_M")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download_gguf("some/model", "Q4_K_M") == path
    with pytest.raises(UserError, match="has no Q8_0"):
        download_gguf("some/model", "Q8_0")


@pytest.mark.parametrize("content", [None, b"", b"cut"], ids=["missing", "empty", "cut"])
@pytest.mark.parametrize(
    ("file", "name"),
    [("Q4_K_M", "some-Q4_K_M.gguf"), ("Q8_0", "Q8_0/some-Q8_0-00002-of-00002.gguf")],
)
def test_a_gguf_that_is_not_whole_in_the_cache_is_refused_offline_and_comes_again_online(
    file: str, name: str, content: bytes | None, ggufs: Path, monkeypatch: pytest.MonkeyPatch
):
    download_gguf("some/model", "Q4_K_M")
    path = download_gguf("some/model", file)
    folder = path.parent if file == "Q4_K_M" else path.parent.parent
    blob = (folder / name).resolve()
    blob.unlink()
    if content is None:
        (folder / name).unlink()
    else:
        blob.write_bytes(content)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=rf"not whole in .*: {name} missing or damaged; run the command again with"):
        download_gguf("some/model", file)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    if content is not None:
        with pytest.raises(UserError, match="was deleted; run the command again"):
            download_gguf("some/model", file)
    assert download_gguf("some/model", file) == path and (folder / name).read_bytes() == GGUFS[name]


def test_a_part_of_an_adapter_is_missed_in_a_cache_that_somebody_else_filled(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_files(repository, "adapter_config.json", "adapter_model.safetensors")
    folder = download_adapter("some/model")
    shutil.rmtree(tmp_path / "ours")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert download_adapter("some/model") == folder
    (folder / "adapter_config.json").unlink()
    with pytest.raises(UserError, match=r"not whole in .*: adapter_config\.json missing or damaged"):
        download_adapter("some/model")


def test_of_an_adapter_two_files_come(repository: Path, hub: Hub):
    with pytest.raises(
        UserError, match=r"some/model is no adapter .* adapter_config\.json, adapter_model\.safetensors"
    ):
        download_adapter("some/model")
    write_files(
        repository, "adapter_config.json", "adapter_model.safetensors", "adapter_model.bin", "training_args.bin"
    )
    assert names(download_adapter("some/model")) == {"adapter_config.json", "adapter_model.safetensors"}
