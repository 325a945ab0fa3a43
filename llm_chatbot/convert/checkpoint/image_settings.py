"""The settings of a checkpoint for images, from the file that has them to that of a converted folder."""

import json
from pathlib import Path
from typing import Any

from llm_chatbot.folder.manifest import IMAGE_SETTINGS, PROCESSOR_SETTINGS
from llm_chatbot.sources.json_files import read_checkpoint_json

NESTED = "image_processor"  # where newer checkpoints have them in `PROCESSOR_SETTINGS`


def read_image_settings(checkpoint: Path) -> tuple[dict[str, Any], Path] | None:
    """The settings for images without names of Python files, and the file that they are in; None if there are none.

    Raises:
        UserError: the file is damaged.
    """
    for name in (IMAGE_SETTINGS, PROCESSOR_SETTINGS):
        path = checkpoint / name
        content = read_checkpoint_json(path) if path.is_file() else {}
        settings = content if name == IMAGE_SETTINGS else content.get(NESTED)
        if settings and isinstance(settings, dict):
            return _without_python(settings), path
    return None


def copy_image_settings(checkpoint: Path, folder: Path) -> None:
    """Writes the settings for images to a folder. The processor's others are copied, which other programs read.

    Raises:
        UserError: a file of them is damaged.
    """
    found = read_image_settings(checkpoint)
    assert found, "checked before the checkpoint was read"
    contents = {IMAGE_SETTINGS: found[0]}
    if (checkpoint / PROCESSOR_SETTINGS).is_file():
        contents[PROCESSOR_SETTINGS] = _without_python(read_checkpoint_json(checkpoint / PROCESSOR_SETTINGS))
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _without_python(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings, and those within them, without names of Python files, which nobody is to run."""
    kept = {name: value for name, value in settings.items() if name != "auto_map"}
    return {name: _without_python(value) if isinstance(value, dict) else value for name, value in kept.items()}
