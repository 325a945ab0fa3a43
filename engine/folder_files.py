"""The JSON files of a converted folder."""

import json
from pathlib import Path
from typing import Any

from config import UserError


def read_json(path: Path) -> dict[str, Any]:
    """A file's JSON object; an empty one if the file does not exist.

    Raises:
        UserError: the file is damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (ValueError, RecursionError) as error:
        raise damaged(path) from error
    if not isinstance(content, dict):
        raise damaged(path)
    return content


def damaged(path: Path) -> UserError:
    """What to raise if a file of a converted folder can't be used."""
    return UserError(f"{path} is damaged; remove {path.parent} and convert again.")
