"""The generation settings of a checkpoint."""

from pathlib import Path
from typing import Any

from llm_chatbot.sources.json_files import damaged_checkpoint, read_checkpoint_json

SPECIAL_IDS = ("bos_token_id", "eos_token_id", "pad_token_id")


def read_generation_config(folder: Path) -> dict[str, Any]:
    """The content of a checkpoint's `generation_config.json`; empty if it has none.

    Raises:
        UserError: the file is damaged, or names a special token by something else than its id.
    """
    path = folder / "generation_config.json"
    settings = read_checkpoint_json(path) if path.is_file() else {}
    if not all(_are_ids(settings[name]) for name in SPECIAL_IDS if settings.get(name) is not None):
        raise damaged_checkpoint(path)
    return settings


def _are_ids(value: Any) -> bool:
    """Whether this is a token's id, or a list of them."""
    return all(type(id) is int and id >= 0 for id in (value if isinstance(value, list) else [value]))
