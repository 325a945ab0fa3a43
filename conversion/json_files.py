"""Reads the JSON files of a checkpoint."""

import json
from pathlib import Path
from typing import Any

from config import UserError


def read_json(path: Path) -> dict[str, Any]:
    """The object in a checkpoint's JSON file.

    Raises:
        UserError: the file is missing, or holds no JSON object.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; name a complete checkpoint or download this one again.") from error
    except ValueError as error:
        raise damaged(path) from error
    if not isinstance(content, dict):
        raise damaged(path)
    return content


def damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged; delete it and download the checkpoint again.")
