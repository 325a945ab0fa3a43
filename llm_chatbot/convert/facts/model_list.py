"""The list that `python converter.py --list` prints: catalogue, converted models, and GGUF files on this machine."""

from collections.abc import Iterator
from pathlib import Path

from llm_chatbot.catalogue.rows import SUPPORTED_LLM_MODELS
from llm_chatbot.convert.resources import available_disk
from llm_chatbot.errors import UserError
from llm_chatbot.folder.found import converted_models
from llm_chatbot.gguf.header import read_gguf_header
from llm_chatbot.machine.memory import available_memory
from llm_chatbot.sources.gguf_files import FoundGGUF, find_ggufs


def model_list(root: Path) -> Iterator[str]:
    """Yields the lines of the list as they become known, because reading many files takes a while.

    Args:
        root: the folder of converted models.
    """
    yield "Catalogue (billions of weights):"
    for name, config in SUPPORTED_LLM_MODELS.items():
        gated = " Gated." if config.gated else ""
        yield f"  {name:<32} {(config.parameters or 0) / 1e9:>4.1f}  {config.description}{gated}"
    yield f"Converted, in {root.resolve()}:"
    converted = converted_models(root)
    yield from [f"  {name:<32} {', '.join(precisions)}" for name, precisions in converted.items()] or ["  none"]
    yield "GGUF files on this machine:"
    yield from [f"  {_file_line(found, root)}" for found in find_ggufs()] or ["  none"]


def _file_line(found: FoundGGUF, root: Path) -> str:
    try:
        header = read_gguf_header(found.path)
        size, architecture = header.size, header.fields.text("general.architecture")
    except UserError as error:
        return f"{found.name}  not usable: {error}"
    shown = repr(architecture or "unknown")[1:-1]  # a stranger's text may hold what a terminal obeys
    return f"{found.name}  {shown:.80}, {header.main_type}, {size / 1e9:.1f} GB: {_fit(size, root)}"


def _fit(size: int, root: Path) -> str:
    """Whether a model with `size` bytes of weights fits on the disk of `root` and in memory."""
    free = {"disk": available_disk(root), "memory": available_memory()}
    lacking = [f"{room / 1e9:.1f} GB of {where} free" for where, room in free.items() if room < size]
    return f"too large, only {' and '.join(lacking)}" if lacking else "fits"
