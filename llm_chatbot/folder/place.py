"""Where a converted model is: the names of its folders, and of the files beside them while it is converted."""

import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from llm_chatbot.catalogue.adapter_names import parse_adapter, split_adapters
from llm_chatbot.catalogue.gguf_names import HUB_ID, gguf_folder_name, gguf_source, without_suffix
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.errors import UserError

if TYPE_CHECKING:
    from filelock import BaseFileLock

Precision = Literal["FP16", "INT8", "INT4", "GGUF"]

# The precision that a GGUF file has itself. People read its name, see `as_in_file`.
AS_IN_FILE: Literal["GGUF"] = "GGUF"

SUBFOLDERS: dict[Precision, str] = {
    "FP16": "FP16",
    "INT8": "INT8_compressed_weights",
    "INT4": "INT4_compressed_weights",
    AS_IN_FILE: "GGUF",
}


def as_in_file(quantization: str) -> str:
    """The precision of a GGUF file's own weights for people to read, such as "Q4_K_M, as in the file".

    Args:
        quantization: empty: unknown.
    """
    return f"{quantization}, as in the file" if quantization else "As in the file"


def default_precision(config: ModelConfig) -> Precision:
    """The precision of a model where the user names none: a GGUF file's own, otherwise INT4."""
    return AS_IN_FILE if AS_IN_FILE in precisions_of(config) else "INT4"


def precisions_of(config: ModelConfig) -> list[Precision]:
    """The precisions that a model can be converted to. The blocks of a GGUF file are changed by adapters."""
    has_own = config.is_gguf and not config.adapters
    return [precision for precision in SUBFOLDERS if precision != AS_IN_FILE or has_own]


def as_precision(text: str) -> Precision:
    """Checks a precision that a user gave.

    Raises:
        UserError: there is no such precision.
    """
    for precision in get_args(Precision):
        if text == precision:
            return precision
    raise UserError("folder.no_precision", precision=repr(text), precisions=", ".join(SUBFOLDERS))


def model_folder(name: str, precision: str, root: Path = Path(".")) -> Path:
    """Where a variant of a model belongs under `root`, whether it is there or not.

    The model's folder has the name of the catalogue's row; for the Hub's `org/name` it is `org--name`, for
    `ollama:name:tag` it is `ollama--name--tag`, and for a local checkpoint the name of its folder or file. The names of
    adapters follow, as in `name+adapter@0.5`.

    Raises:
        UserError: there is no such precision.
    """
    base, adapters = split_adapters(name)
    folder_name = "+".join((_base_folder(base), *(parse_adapter(adapter).folder_name for adapter in adapters)))
    return Path(root) / folder_name / SUBFOLDERS[as_precision(precision)]


def _base_folder(name: str) -> str:
    path = Path(name)
    if (source := gguf_source(name)) and not path.exists():
        return gguf_folder_name(source)
    if re.fullmatch(HUB_ID, name) and not path.exists():
        return name.replace("/", "--")
    return without_suffix(path.resolve().name)


def check_root(root: Path) -> None:
    """Raises a `UserError` if there is no such folder of converted models."""
    if not Path(root).is_dir():
        raise UserError("folder.no_root", folder=root)


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
