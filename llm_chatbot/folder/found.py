"""The converted models in a folder: which there are, and what was measured of them."""

from pathlib import Path
from typing import Any

from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.errors import UserError
from llm_chatbot.folder.manifest import MANIFEST, complete_manifest, is_complete, read_manifest
from llm_chatbot.folder.place import AS_IN_FILE, SUBFOLDERS, Precision, as_in_file, check_root, model_folder
from llm_chatbot.machine.json_object import json_object

MEASURED = "quality.json"  # beside the variants' folders


def converted_folder(name: str, precision: str, root: Path = Path(".")) -> Path:
    """The folder of a model that has been converted under `root`.

    Raises:
        UserError: there is no such precision or `root`, or the model has not been converted to it.
    """
    check_root(root)
    folder = model_folder(name, precision, root)
    if not is_complete(folder):
        command = f"python converter.py {name} --precision {precision}"
        if Path(root) != Path():
            command += f" --output {root}"
        raise UserError("folder.incomplete", folder=folder, command=command)
    return folder


def converted_models(root: Path = Path(".")) -> dict[str, list[Precision]]:
    """The complete models under `root` with their precisions, smallest first; the catalogue's models come first.

    The names are those that `convert_model` was given, so other functions find the folders by them.
    """
    found: dict[str, list[Precision]] = {}
    for precision in reversed(SUBFOLDERS):
        for folder in sorted(Path(root).glob(f"*/{SUBFOLDERS[precision]}")):
            if manifest := complete_manifest(folder):
                found.setdefault(manifest.get("name", folder.parent.name), []).append(precision)
    in_catalogue = [name for name in SUPPORTED_LLM_MODELS if name in found]
    return {name: found[name] for name in (*in_catalogue, *sorted(found.keys() - set(in_catalogue)))}


def precision_label(folder: Path) -> str:
    """A folder's precision for people to read, such as "INT8" or "Q4_1, as in the file"."""
    manifest = read_manifest(folder)
    precision = manifest.get("precision", "")
    return as_in_file(manifest["quantization"]) if precision == AS_IN_FILE else precision


def measured_variants(model: Path) -> dict[str, dict[str, Any]]:
    """The figures of a model's variants by precision, each a `VariantFigures`, as `llm-chatbot measure` wrote them.

    Args:
        model: the folder that holds the variants' folders.

    Returns:
        Without the variants that are gone, or were converted after they were measured; empty where nothing was measured
        or the file can't be read.
    """
    try:
        measured = (model / MEASURED).stat().st_mtime
        figures = {each["variant"]: each for each in json_object(model / MEASURED)["variants"]}
        manifests = {precision: model / SUBFOLDERS[precision] / MANIFEST for precision in SUBFOLDERS}
        return {
            precision: figures[precision]
            for precision, manifest in manifests.items()
            if precision in figures and manifest.is_file() and manifest.stat().st_mtime <= measured
        }
    except (OSError, ValueError, LookupError, TypeError):
        return {}
