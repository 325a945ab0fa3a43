"""What a converted model looks like on disk: where it is, what it holds, and whether it is whole."""

import json
import re
from pathlib import Path
from typing import Any

from config import HUB_ID, SUPPORTED_LLM_MODELS, UserError, gguf_folder_name, gguf_source

SUBFOLDERS = {"FP16": "FP16", "INT8": "INT8_compressed_weights", "INT4": "INT4_compressed_weights"}

MANIFEST = "conversion.json"

# The entry of `config.json` that says what a checkpoint was before it was rewritten as an architecture of Transformers.
ORIGINAL_MODEL_TYPE = "original_model_type"

# The entry that says how far a Qwen v1 reads with what its original code does beyond `seq_length`. What other runtimes
# look at, `max_position_embeddings`, stays at `seq_length`: they don't do that.
SCALED_CONTEXT = "scaled_context"

REQUIRED_FILES = (
    "openvino_model.xml",
    "openvino_model.bin",
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "openvino_tokenizer.xml",
    "openvino_detokenizer.xml",
)


def model_folder(name: str, precision: str, root: Path = Path(".")) -> Path:
    """Where the variant of a model belongs under `root`, whether it is there or not.

    The folder is called as the model is in the catalogue, `org--name` for the Hub's `org/name`, `ollama--name--tag`
    for `ollama:name:tag`, and as a local checkpoint's own folder or file.

    Raises:
        UserError: no such precision.
    """
    if precision not in SUBFOLDERS:
        raise UserError(f"There is no precision {precision!r}; choose one of: {', '.join(SUBFOLDERS)}.")
    path = Path(name)
    if (source := gguf_source(name)) and not path.exists():
        folder_name = gguf_folder_name(source)
    elif re.fullmatch(HUB_ID, name) and not path.exists():
        folder_name = name.replace("/", "--")
    else:
        folder_name = path.resolve().name.removesuffix(".gguf")
    return Path(root) / folder_name / SUBFOLDERS[precision]


def converted_folder(name: str, precision: str, root: Path = Path(".")) -> Path:
    """The folder of a model that was converted under `root`.

    Raises:
        UserError: no such precision, or it was not converted yet.
    """
    folder = model_folder(name, precision, root)
    if not is_complete(folder):
        raise UserError(f"{folder} is not there or not whole; run: python converter.py {name} --precision {precision}.")
    return folder


def write_manifest(folder: Path, **facts: Any) -> None:
    """Records how a folder was made and the size in bytes of every file in it."""
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    text = json.dumps({**facts, "files": files}, indent=2)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `write_manifest` recorded; empty if there is none or it can't be read."""
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return manifest if isinstance(manifest, dict) and isinstance(manifest.get("files"), dict) else {}


def missing_files(folder: Path) -> list[str]:
    """Names of the files that a folder lacks, or that are not as long as when they were written."""
    missing = [name for name in REQUIRED_FILES if not (folder / name).is_file()]
    if (folder / MANIFEST).is_file():
        manifest = read_manifest(folder)
        if not manifest:
            return [*missing, MANIFEST]
        sizes = manifest["files"].items()
        missing += [name for name, size in sizes if name not in missing and not _has_size(folder / name, size)]
    return missing


def is_complete(folder: Path) -> bool:
    """Whether `convert_model` made this folder and everything in it is still there."""
    return (folder / MANIFEST).is_file() and not missing_files(folder)


def check_complete(folder: Path) -> None:
    """Says what is wrong with a folder before the runtime fails on it.

    Raises:
        UserError: it is not a folder, not a converted model, or not all of one.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}; convert a model first: python converter.py --help.")
    if missing := missing_files(folder):
        raise UserError(
            f"{folder} is not a whole converted model ({', '.join(missing)} missing or cut short); "
            f"remove it and convert the model again."
        )


def converted_models(root: Path = Path(".")) -> dict[str, list[str]]:
    """The models that are complete under `root`, each with its precisions, smallest first; the catalogue's come first.

    A name is what `convert_model` was given, and what other functions want to find the folder again.
    """
    found: dict[str, list[str]] = {}
    for precision in reversed(SUBFOLDERS):
        for folder in sorted(Path(root).glob(f"*/{SUBFOLDERS[precision]}")):
            if is_complete(folder):
                found.setdefault(read_manifest(folder).get("name", folder.parent.name), []).append(precision)
    in_catalogue = [name for name in SUPPORTED_LLM_MODELS if name in found]
    return {name: found[name] for name in (*in_catalogue, *sorted(found.keys() - set(in_catalogue)))}


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
