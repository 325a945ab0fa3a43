"""The folder of a converted model: where it is, what is in it, and whether it is complete and up to date.

Importing this module is cheap: whether a model has to be converted is known before PyTorch or NNCF is imported.
"""

import json
import re
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from config import SUPPORTED_LLM_MODELS, ModelConfig, UserError
from gguf_names import HUB_ID, gguf_folder_name, gguf_source

if TYPE_CHECKING:
    from filelock import BaseFileLock

Precision = Literal["FP16", "INT8", "INT4"]

SUBFOLDERS: dict[Precision, str] = {
    "FP16": "FP16",
    "INT8": "INT8_compressed_weights",
    "INT4": "INT4_compressed_weights",
}

MANIFEST = "conversion.json"
MEASURED = "quality.json"  # beside the variants' folders
MODEL_XML, MODEL_BIN = "openvino_model.xml", "openvino_model.bin"

# The entry of `config.json` with the checkpoint's own `model_type`, where the model was converted as another one.
ORIGINAL_MODEL_TYPE = "original_model_type"

# The entry of `config.json` with the context length of a Qwen v1 model that scales its attention beyond `seq_length`.
# `max_position_embeddings` stays at `seq_length` for other runtimes, which don't scale it.
SCALED_CONTEXT = "scaled_context"

# ggml's types of weights that are not quantized.
FLOAT_TYPES = ("F32", "F16", "BF16")

REQUIRED_FILES = (
    MODEL_XML,
    MODEL_BIN,
    "config.json",
    "generation_config.json",
    "tokenizer_config.json",
    "openvino_tokenizer.xml",
    "openvino_detokenizer.xml",
)


@dataclass(frozen=True)
class Variant:
    """A model in one precision, and its place on disk.

    Attributes:
        name: as the user gave it; see `get_model_config`.
        config: the model's row of the catalogue, with the INT4 settings to use.
        precision: of the weights.
        root: the folder that holds all converted models.
        blocks: ggml's name for the quantized blocks of a GGUF file that are kept as they are; None: weights are
            compressed from 16 bits.
        prebuilt: whether the folder is OpenVINO's own, see `ModelConfig.openvino_id`.
        files: what identifies the checkpoint's files that are on this machine now, see
            `conversion.gguf_sources.found_files`; None: they were not looked for or are not there.
    """

    name: str
    config: ModelConfig
    precision: Precision
    root: Path = Path(".")
    blocks: str | None = None
    prebuilt: bool = False
    files: dict[str, Any] | None = None

    @property
    def folder(self) -> Path:
        return model_folder(self.name, self.precision, self.root)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The folder's manifest when it was first asked for; empty if no complete model was there."""
        return complete_manifest(self.folder)

    @property
    def compression(self) -> dict[str, Any]:
        """Arguments of `nncf.compress_weights`, with the mode by its name, or where they were made; empty for FP16."""
        if self.prebuilt:
            return {"prebuilt": self.config.openvino_id}
        if self.blocks:
            return {"gguf": self.blocks}
        if self.precision == "FP16":
            return {}
        if self.precision == "INT8":
            return {"mode": "INT8_ASYM"}
        settings = asdict(self.config.int4)
        switched_off = [option for option in ("awq", "scale_estimation") if not settings[option]]
        return {key: value for key, value in settings.items() if key not in switched_off}

    @property
    def recorded_blocks(self) -> str | None:
        """What `blocks` was when the folder was made; None if the GGUF file has changed since."""
        return None if self.files_have_changed else _blocks_in(self.manifest)

    @property
    def needs_no_blocks(self) -> bool:
        """Whether the folder is current, and this precision keeps no blocks of the GGUF file: it need not be read."""
        recorded = self.manifest.get("gguf_type")
        may_keep = self.precision == "INT4" and (recorded is None or keeping_precision(recorded) == "INT4")
        return self.is_current and not may_keep

    @property
    def files_have_changed(self) -> bool:
        """Whether the checkpoint's files are known to be others than those that the folder was made from."""
        recorded = self.manifest.get("checkpoint_files")
        return bool(recorded and self.files) and recorded != self.files

    @property
    def identity(self) -> dict[str, Any]:
        """The manifest entries that have to be the same for a folder to hold this variant."""
        checkpoint = self.config.checkpoint
        return {
            "model_id": str(checkpoint.resolve()) if isinstance(checkpoint, Path) else self.config.model_id,
            "revision": self.config.revision,
            "precision": self.precision,
            "compression": self.compression or None,
        }

    @property
    def changes(self) -> dict[str, tuple[Any, Any]]:
        """The entries of `identity` in which the manifest differs: (the manifest's value, this variant's)."""
        return {
            key: (self.manifest.get(key), value)
            for key, value in self.identity.items()
            if self.manifest.get(key) != value
        }

    @property
    def is_current(self) -> bool:
        """Whether the folder holds this variant, complete and converted from the same files with the same settings."""
        return bool(self.manifest) and not self.changes and not self.files_have_changed


def json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it holds something else.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("not an object")
    return content


def as_precision(text: str) -> Precision:
    """Checks a precision that a user gave.

    Raises:
        UserError: there is no such precision.
    """
    for precision in get_args(Precision):
        if text == precision:
            return precision
    raise UserError(f"There is no precision {text!r}; choose one of: {', '.join(SUBFOLDERS)}.")


def keeping_precision(gguf_type: str) -> Precision | None:
    """The precision that means to keep the blocks of a GGUF file as they are; None if they are not quantized.

    Args:
        gguf_type: ggml's name for the type of most of the file's weights.
    """
    if gguf_type in FLOAT_TYPES:
        return None
    return "INT8" if gguf_type == "Q8_0" else "INT4"


def model_folder(name: str, precision: str, root: Path = Path(".")) -> Path:
    """Where a variant of a model belongs under `root`, whether it is there or not.

    The model's folder has the name of the catalogue's row; for the Hub's `org/name` it is `org--name`, for
    `ollama:name:tag` it is `ollama--name--tag`, and for a local checkpoint the name of its folder or file.

    Raises:
        UserError: there is no such precision.
    """
    path = Path(name)
    if (source := gguf_source(name)) and not path.exists():
        folder_name = gguf_folder_name(source)
    elif re.fullmatch(HUB_ID, name) and not path.exists():
        folder_name = name.replace("/", "--")
    else:
        folder_name = path.resolve().name.removesuffix(".gguf")
    return Path(root) / folder_name / SUBFOLDERS[as_precision(precision)]


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
        raise UserError(f"{folder} is missing or incomplete; run: {command}.")
    return folder


def check_root(root: Path) -> None:
    """Raises a `UserError` if there is no such folder of converted models."""
    if not Path(root).is_dir():
        raise UserError(f"There is no folder {root}; name the folder of the converted models with --output.")


def partial_folder(folder: Path) -> Path:
    """Where a variant's files are written until they are complete."""
    return folder.with_name(folder.name + ".partial")


def lock_file(folder: Path) -> Path:
    """The lock of the process that is converting to a folder."""
    return folder.with_name(folder.name + ".lock")


def release_lock(lock: "BaseFileLock", folder: Path) -> None:
    """Releases the lock of a folder, and removes its file, and the model's folder if nothing else is in it."""
    with suppress(OSError):  # Windows cannot delete an open file; there `release` deletes it
        Path(lock.lock_file).unlink()
    lock.release()
    with suppress(OSError):
        folder.parent.rmdir()


def write_manifest(folder: Path, **facts: Any) -> None:
    """Records how a folder was made, and the size in bytes of every file in it."""
    files = {path.name: path.stat().st_size for path in sorted(folder.iterdir()) if path.name != MANIFEST}
    text = json.dumps({**facts, "files": files}, indent=2)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """What `write_manifest` recorded; empty if there is no manifest or it cannot be read."""
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


def precision_label(folder: Path) -> str:
    """A folder's precision for people to read, such as "INT8" or "INT4: Q4_1, as in the file"."""
    manifest = read_manifest(folder)
    precision, blocks = manifest.get("precision", ""), _blocks_in(manifest)
    return f"{precision}: {blocks}, as in the file" if blocks else precision


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
        raise UserError(f"There is no folder {folder}; convert a model first: python converter.py --help.")
    if missing := missing_files(folder):
        raise UserError(
            f"{folder} is not a complete converted model ({', '.join(missing)} missing or truncated); "
            f"delete the folder and convert the model again."
        )


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


def measured_variants(model: Path) -> dict[str, dict[str, Any]]:
    """What `benchmarks/quality.py` measured of a model's variants, by precision, each as `VariantFigures`.

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


def _missing_files(folder: Path, manifest: dict[str, Any]) -> list[str]:
    missing = [name for name in REQUIRED_FILES if not (folder / name).is_file()]
    sizes = manifest.get("files", {}).items()
    return missing + [name for name, size in sizes if name not in missing and not _has_size(folder / name, size)]


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size


def _blocks_in(manifest: dict[str, Any]) -> str | None:
    """ggml's name for the blocks of a GGUF file that a folder keeps; None if it keeps none."""
    return (manifest.get("compression") or {}).get("gguf")
