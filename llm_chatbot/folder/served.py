"""The models in a folder that a server offers, and the names that requests call them."""

from dataclasses import dataclass
from pathlib import Path

from llm_chatbot.catalogue.adapter_names import split_adapters
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.errors import UserError
from llm_chatbot.folder.found import converted_models
from llm_chatbot.folder.place import AS_IN_FILE, check_root


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        model: its name, or a .gguf file.
        precision: of the folder, or `AS_IN_FILE` for the file as it is.
        root: the folder of the converted models.
    """

    model: str
    precision: str
    root: Path


def served_name(model: str, config: ModelConfig) -> str:
    """The name by which requests call a model: a local file or folder goes without the path to it."""
    base, _ = split_adapters(model)
    name = Path(base).name if isinstance(config.checkpoint, Path) else base
    return "+".join((name, *map(str, config.adapters)))


def models_in(folder: Path, precision: str | None = None) -> dict[str, Source]:
    """The converted models and the .gguf files in a folder, by the names that requests call them.

    Args:
        folder: as `--output` of a conversion, with .gguf files beside the models' folders.
        precision: of the converted models; None: the smallest that each has.

    Raises:
        UserError: there is no such folder, or no model in it.
    """
    check_root(folder)
    found = {
        name: Source(name, precision or precisions[0], folder)
        for name, precisions in converted_models(folder).items()
        if precision in (None, *precisions)
    }
    files = sorted(path for path in folder.iterdir() if path.suffix == ".gguf" and path.is_file())
    for path in files:
        found.setdefault(path.name, Source(str(path), AS_IN_FILE, folder))
    if not found:
        raise UserError("model.none_in", folder=folder)
    return found
