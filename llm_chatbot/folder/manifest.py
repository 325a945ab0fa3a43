"""The files of a converted folder, and its manifest: how it was made, and whether a file of it is missing."""

import json
from pathlib import Path
from typing import Any

from llm_chatbot.errors import UserError
from llm_chatbot.machine.json_object import json_object

MANIFEST = "conversion.json"
MODEL_XML, MODEL_BIN = "openvino_model.xml", "openvino_model.bin"
TOKENIZER_XML, DETOKENIZER_XML = "openvino_tokenizer.xml", "openvino_detokenizer.xml"
# In place of the model, where it reads images: Optimum Intel and OpenVINO GenAI know the parts by these names.
LANGUAGE_XML = "openvino_language_model.xml"
TEXT_EMBEDDINGS_XML = "openvino_text_embeddings_model.xml"
VISION_XML = "openvino_vision_embeddings_model.xml"
IMAGE_PARTS = (LANGUAGE_XML, TEXT_EMBEDDINGS_XML, VISION_XML)
# Of some: what comes after the patches, the learned positions of patches, what makes vectors of squares of patches.
MERGER_XML = "openvino_vision_embeddings_merger_model.xml"
POSITIONS_XML = "openvino_vision_embeddings_pos_model.xml"
PROJECTOR_XML = "openvino_multi_modal_projector_model.xml"
PER_LAYER_XML = "openvino_text_embeddings_per_layer_model.xml"  # of some: the tokens' vectors for each layer
FURTHER_IMAGE_PARTS = (MERGER_XML, POSITIONS_XML, PROJECTOR_XML, PER_LAYER_XML)
IMAGE_SETTINGS, PROCESSOR_SETTINGS = "preprocessor_config.json", "processor_config.json"

MODEL_CACHE = "model_cache"  # a folder, of what the runtime has compiled

# The entry of `config.json` with the checkpoint's own `model_type`, where the model was converted as another one.
ORIGINAL_MODEL_TYPE = "original_model_type"

# The entry of `config.json` with the context length of a Qwen v1 model that scales its attention beyond `seq_length`.
# `max_position_embeddings` stays at `seq_length` for other runtimes, which don't scale it.
SCALED_CONTEXT = "scaled_context"

GRAPH_FILES = (MODEL_XML, MODEL_BIN)
SIDE_FILES_REQUIRED = (
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    TOKENIZER_XML,
    DETOKENIZER_XML,
)
# The files that hold weights, of all that a folder may have.
WEIGHTS = (MODEL_BIN, *(part.replace(".xml", ".bin") for part in (*IMAGE_PARTS, *FURTHER_IMAGE_PARTS)))
REQUIRED_FILES = (*GRAPH_FILES, *SIDE_FILES_REQUIRED)
FILES_FOR_IMAGES = (*IMAGE_PARTS, *(part.replace(".xml", ".bin") for part in IMAGE_PARTS), IMAGE_SETTINGS)


def reads_images(folder: Path) -> bool:
    """Whether a converted folder holds a model that reads images."""
    return (folder / LANGUAGE_XML).is_file()


def graph_files(folder: Path) -> list[Path]:
    """The .xml files of a folder's model, the one of the language model first. Each has a .bin beside it."""
    if not reads_images(folder):
        return [folder / MODEL_XML]
    return [
        folder / name for name in (*IMAGE_PARTS, *filter(lambda part: (folder / part).is_file(), FURTHER_IMAGE_PARTS))
    ]


def weights_file(folder: Path) -> Path:
    """The file with the weights of a folder's language model."""
    return graph_files(folder)[0].with_suffix(".bin")


def write_manifest(folder: Path, **facts: Any) -> None:
    """Records how a folder was made, and the size in bytes of every file in it."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path != folder / MANIFEST)
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in paths}
    text = json.dumps({**facts, "files": files}, indent=2)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """The entries that `write_manifest` recorded; empty if there is no manifest or it cannot be read."""
    try:
        manifest = json_object(folder / MANIFEST)
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest.get("files"), dict) else {}


def complete_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder that `convert_model` made and in which no file is missing; otherwise empty."""
    manifest = read_manifest(folder)
    return {} if not manifest or _missing_files(folder, manifest) else manifest


def is_complete(folder: Path) -> bool:
    """Whether `convert_model` made this folder and no file in it is missing or truncated."""
    return bool(complete_manifest(folder))


def missing_files(folder: Path) -> list[str]:
    """Names of the files that are missing from a converted model's folder, or truncated."""
    manifest = read_manifest(folder)
    unreadable = [MANIFEST] if not manifest and (folder / MANIFEST).is_file() else []
    return _missing_files(folder, manifest) + unreadable


def check_complete(folder: Path) -> None:
    """Checks a folder before it is loaded: the runtime's own errors don't name the cause.

    Raises:
        UserError: it is not a folder, not a converted model, or an incomplete one.
    """
    if not folder.is_dir():
        raise UserError("folder.missing", folder=folder)
    if missing := missing_files(folder):
        raise UserError("folder.files_missing", folder=folder, files=", ".join(missing))


def _missing_files(folder: Path, manifest: dict[str, Any]) -> list[str]:
    required = (*(FILES_FOR_IMAGES if reads_images(folder) else GRAPH_FILES), *SIDE_FILES_REQUIRED)
    missing = [name for name in required if not (folder / name).is_file()]
    sizes = manifest.get("files", {}).items()
    return missing + [name for name, size in sizes if name not in missing and not _has_size(folder / name, size)]


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
