"""The `mmproj` files that belong to a GGUF model: they hold what reads images for it.

LM Studio, llama.cpp and the Hub keep them in the model's folder, by names with "mmproj"; Ollama names them in the
model's manifest.
"""

from pathlib import Path

from llm_chatbot.catalogue.gguf_names import HubGGUF, StoredGGUF, chosen_mmproj, mmproj_names
from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.sources.gguf_files import ollama_projectors

SNAPSHOTS = "snapshots"  # the folder in huggingface_hub's cache that has one for each commit of a repository


def mmproj_of(config: ModelConfig, model: Path) -> list[Path]:
    """Those on this machine of a model, by what their names say.

    Args:
        model: its GGUF file.
    """
    if isinstance(config.checkpoint, StoredGGUF) and config.checkpoint.program == "ollama":
        return ollama_projectors(config.checkpoint.name)
    return _of_the_hub(model) if isinstance(config.checkpoint, HubGGUF) else mmproj_beside(model)


def _of_the_hub(model: Path) -> list[Path]:
    """The one that is downloaded with a model, in huggingface_hub's cache."""
    commit = next(folder for folder in model.parents if folder.parent.name == SNAPSHOTS)
    names = [path.relative_to(commit).as_posix() for path in commit.rglob("*") if path.is_file()]
    chosen = chosen_mmproj(model.relative_to(commit).as_posix(), names)
    return [commit / chosen] if chosen else []


def mmproj_beside(model: Path) -> list[Path]:
    """Those in a model's folder that may be its own; see `mmproj_names`."""
    return [model.parent / name for name in mmproj_names(model.name, (path.name for path in model.parent.iterdir()))]
