"""Downloads from the Hugging Face Hub with huggingface_hub: only the files that a conversion needs.

Progress bars, resuming, proxies, `HF_HOME`, `HF_ENDPOINT`, `HF_TOKEN` and `HF_HUB_OFFLINE` are that library's.
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

from huggingface_hub import HfApi, constants

from llm_chatbot.catalogue.adapter_names import ADAPTER_CONFIG
from llm_chatbot.catalogue.gguf_names import chosen_mmproj, is_gguf_name, is_language_model, unsplit_name
from llm_chatbot.catalogue.lookup import UNKNOWN_LICENSE
from llm_chatbot.errors import UserError
from llm_chatbot.folder.manifest import REQUIRED_FILES
from llm_chatbot.sources.hub_cache import cached_bytes, cached_size, cached_sizes, check_cached
from llm_chatbot.sources.hub_download import (
    UNREACHABLE,
    bar_class,
    check_checksums,
    check_free,
    download_files,
    file_sizes,
    hub_errors,
)
from llm_chatbot.sources.hub_notes import note_files, noted_files
from llm_chatbot.sources.weight_files import WeightFiles, weight_files

# The other files that are read; none is Python code.
SIDE_FILES = (
    "config.json",
    "generation_config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.jinja",
    "chat_template.json",
    "additional_chat_templates/*.jinja",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "*.tiktoken",
    # Of encoders: how one vector is made of all.
    "modules.json",
    "*_Pooling/config.json",
)

# What OpenVINO adds to them in a converted model's repository.
CONVERTED_FILES = tuple(
    f"openvino_{part}.{suffix}" for part in ("model", "tokenizer", "detokenizer") for suffix in ("xml", "bin")
)

ADAPTER_FILES = (ADAPTER_CONFIG, "adapter_model.safetensors")

# The kind of notes of GGUF files, of which only one or a few of a repository are wanted.
GGUF_NOTES = "-gguf"


def download_checkpoint(
    repo_id: str, revision: str | None = None, check: Callable[[Path], None] = lambda folder: None
) -> Path:
    """Path of a model repository's files in huggingface_hub's cache, downloaded if necessary.

    An interrupted download is resumed. The files are checked against the Hub's checksums. Without a network or in
    offline mode, the cached files are used.

    Args:
        repo_id: "organisation/name".
        revision: a commit, tag or branch; None: the main branch.
        check: called with the folder before the weights are downloaded, when only `config.json` is there.

    Raises:
        UserError: the files cannot be downloaded, or what `check` raises.
    """
    api = HfApi()
    with hub_errors(repo_id, revision):
        try:
            info = api.model_info(repo_id, revision=revision, files_metadata=True)
        except UNREACHABLE:
            return _cached(api, repo_id, revision)
        sizes = file_sizes(info)
        if "config.json" in sizes:
            check(Path(api.hf_hub_download(repo_id, "config.json", revision=revision, tqdm_class=bar_class())).parent)
        wanted = wanted_files(sizes, _published_weights(api, repo_id, revision, sizes).all_names)
        check_free(repo_id, sum(sizes[name] for name in wanted) - cached_bytes(repo_id))
        note_files(repo_id, info.sha, {name: sizes[name] for name in wanted})
        folder = download_files(api, repo_id, wanted, revision)
        check_checksums(api, repo_id, folder)
    return folder


def _published_weights(api: HfApi, repo_id: str, revision: str | None, sizes: Mapping[str, int]) -> WeightFiles:
    """The files of a repository that hold the weights; its index is downloaded for that.

    Raises:
        UserError: the index lists files that the repository lacks.
    """

    def download(index: str) -> Path:
        return Path(api.hf_hub_download(repo_id, index, revision=revision, tqdm_class=bar_class()))

    found = weight_files(sizes, download)
    missing = ", ".join(found.missing)
    if found.whole:
        raise UserError("hub.stale_index", repo_id=repo_id, index=found.index, files=missing, whole=found.whole)
    if missing:
        raise UserError("hub.shards_missing", repo_id=repo_id, index=found.index, files=missing)
    return found


def _cached(api: HfApi, repo_id: str, revision: str | None = None, required: Sequence[str] = ()) -> Path:
    """The cached folder of a repository.

    Args:
        required: files that must be there, also where nobody noted what the repository has.

    Raises:
        UserError: a file is missing, or shorter than the Hub said when it could be reached.
    """
    folder = Path(api.snapshot_download(repo_id, revision=revision, local_files_only=True))
    there = cached_sizes(folder)
    wanted = {name: there.get(name, 0) for name in (*required, *there)}
    check_cached(repo_id, there, {**wanted, **noted_files(repo_id, folder.name)})
    return folder


def download_converted(repo_id: str) -> Path:
    """Path of the files of a converted model in huggingface_hub's cache, downloaded as a checkpoint.

    Raises:
        UserError: the files cannot be downloaded, or it is no whole converted model.
    """
    return _download_all(repo_id, (*CONVERTED_FILES, *SIDE_FILES), REQUIRED_FILES, "hub.prebuilt_lacks")


def download_adapter(repo_id: str) -> Path:
    """Path of the files of a LoRA adapter in huggingface_hub's cache, downloaded as a checkpoint.

    Raises:
        UserError: the files cannot be downloaded, or it is no adapter.
    """
    return _download_all(repo_id, ADAPTER_FILES, ADAPTER_FILES, "hub.adapter_lacks")


def _download_all(repo_id: str, patterns: Sequence[str], required: Sequence[str], lacks: str) -> Path:
    """
    Args:
        patterns: of the files that are wanted.
        required: the files that must be there.
        lacks: the key of the error where one is not.
    """
    api = HfApi()
    with hub_errors(repo_id, None):
        try:
            info = api.model_info(repo_id, files_metadata=True)
        except UNREACHABLE:
            return _cached(api, repo_id, required=required)
        sizes = file_sizes(info)
        wanted = _matching(sizes, patterns)
        if missing := sorted(set(required) - set(wanted)):
            raise UserError(lacks, repository=repo_id, files=", ".join(missing))
        check_free(repo_id, sum(sizes[name] for name in wanted) - cached_bytes(repo_id))
        note_files(repo_id, info.sha, {name: sizes[name] for name in wanted})
        folder = download_files(api, repo_id, wanted)
        check_checksums(api, repo_id, folder)
    return folder


@dataclass(frozen=True)
class Repository:
    """The Hub's facts of a model repository.

    Attributes:
        commit: of the revision that was asked about; None: the Hub doesn't say it.
        license: as its card names it.
        gated: whether its licence must be accepted first.
        parameters: number of weights; None if the Hub doesn't know it.
        weights: bytes of the weights that a conversion downloads.
        config: path of its `config.json`, downloaded; None if it has none.
        files: the size in bytes of each of its files.
    """

    commit: str | None
    license: str
    gated: bool
    parameters: int | None
    weights: int
    config: Path | None
    files: dict[str, int]


def describe_repository(repo_id: str, revision: str | None = None) -> Repository:
    """Asks the Hub about a repository, and downloads its `config.json` and the index of its weights only.

    Raises:
        UserError: there is no such repository, it is not whole, or the Hub can't be reached.
    """
    api = HfApi()
    with hub_errors(repo_id, revision):
        try:
            info = api.model_info(repo_id, revision=revision, files_metadata=True)
            files = file_sizes(info)
            has_config = "config.json" in files
            config = Path(api.hf_hub_download(repo_id, "config.json", revision=revision)) if has_config else None
            weights = _published_weights(api, repo_id, revision, files).names
        except UNREACHABLE as error:
            raise UserError("hub.not_asked", hub=constants.ENDPOINT, repository=repo_id) from error
    card = info.card_data.to_dict() if info.card_data else {}
    license = card.get("license_name") or card.get("license")
    return Repository(
        commit=info.sha,
        license=license if isinstance(license, str) else UNKNOWN_LICENSE,
        gated=bool(info.gated),
        parameters=info.safetensors.total if info.safetensors else None,
        weights=sum(files[name] for name in weights),
        config=config,
        files=files,
    )


def download_gguf(repo_id: str, file: str, revision: str | None = None, images: bool = False) -> Path:
    """Path of a GGUF file in huggingface_hub's cache, or of the first part of a split one, downloaded as a checkpoint.

    Args:
        repo_id: "organisation/name".
        file: its path in the repository, or a quantization, like "Q4_K_M".
        revision: a commit, tag or branch; None is the main branch.
        images: whether what reads images for it is downloaded too, see `chosen_mmproj`. Without the network, it may be
            missing.

    Raises:
        UserError: the repository has no such file, or several; or it can't be had.
    """
    api = HfApi()
    with hub_errors(repo_id, revision):
        try:
            info = api.model_info(repo_id, revision=revision, files_metadata=True)
        except UNREACHABLE:
            return cached_gguf(repo_id, file, revision, images)
        sizes = file_sizes(info)
        wanted = gguf_files(repo_id, sizes, file) if images else gguf_parts(repo_id, sizes, file)
        missing = [name for name in wanted if cached_size(repo_id, name, info.sha) != sizes[name]]
        check_free(repo_id, sum(sizes[name] for name in missing))
        known = noted_files(repo_id, info.sha, GGUF_NOTES)
        note_files(repo_id, info.sha, {**known, **{name: sizes[name] for name in wanted}}, GGUF_NOTES)
        folder = download_files(api, repo_id, wanted, revision)
        if missing:
            check_checksums(api, repo_id, folder)
    return folder / wanted[0]


def cached_gguf(repo_id: str, file: str, revision: str | None = None, images: bool = False) -> Path:
    """As `download_gguf`, but without the network.

    Raises:
        UserError: a file is not in the cache, or not whole.
    """
    with hub_errors(repo_id, revision):
        folder = Path(HfApi().snapshot_download(repo_id, revision=revision, local_files_only=True))
    there = cached_sizes(folder)
    known = {**there, **noted_files(repo_id, folder.name, GGUF_NOTES)}
    wanted = gguf_parts(repo_id, known, file)
    if images and (tower := chosen_mmproj(wanted[0], there)):
        wanted.append(tower)
    check_cached(repo_id, there, {name: known[name] for name in wanted})
    return folder / wanted[0]


def gguf_parts(repo_id: str, names: Iterable[str], file: str) -> list[str]:
    """Those of a repository's files that make the model that is asked for: one, or the parts of a split one.

    Raises:
        UserError: there is none, or it is not clear which; the message has the names.
    """
    ggufs = sorted(filter(is_language_model, names))
    models = {unsplit_name(name) for name in ggufs}
    quantized = re.compile(rf"(^|[-._/]){re.escape(file)}([-._][^/]*)?$", re.IGNORECASE)
    found = sorted(
        {unsplit_name(file)} & models if is_gguf_name(file) else (name for name in models if quantized.search(name))
    )
    exact = [name for name in found if name.lower().endswith(file.lower())]
    if len(found := exact or found) != 1:
        candidates = [name for name in ggufs if unsplit_name(name) in (found or models)]
        there = ", ".join(f"{repo_id}/{name}" for name in candidates)
        if not there:
            raise UserError("hub.no_gguf", repository=repo_id, file=file)
        key = "hub.several_files" if found else "hub.no_file"
        raise UserError(key, repository=repo_id, file=file, files=there)
    return [name for name in ggufs if unsplit_name(name) == found[0]]


def gguf_files(repo_id: str, names: Collection[str], file: str) -> list[str]:
    """As `gguf_parts`, and the file that reads images for the model, if there is one."""
    parts = gguf_parts(repo_id, names, file)
    tower = chosen_mmproj(parts[0], names)
    return [*parts, *([tower] if tower else [])]


def wanted_files(names: Iterable[str], weights: Sequence[str]) -> list[str]:
    """The files of a repository that a conversion reads: those with the weights, and `SIDE_FILES`."""
    return [*weights, *(name for name in _matching(names, SIDE_FILES) if name not in weights)]


def _matching(names: Iterable[str], patterns: Iterable[str]) -> list[str]:
    return [name for name in names if any(fnmatch(name, pattern) for pattern in patterns)]
