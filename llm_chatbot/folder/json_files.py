"""The JSON files of a converted folder."""

from pathlib import Path
from typing import Any

from llm_chatbot.errors import UserError
from llm_chatbot.machine.json_object import json_object


def read_json(path: Path) -> dict[str, Any]:
    """A file's JSON object; an empty one if the file does not exist.

    Raises:
        UserError: the file is damaged.
    """
    try:
        return json_object(path)
    except FileNotFoundError:
        return {}
    except ValueError as error:
        raise damaged(path) from error


def damaged(path: Path) -> UserError:
    """The error to raise if a file of a converted folder can't be used."""
    return UserError("folder.damaged", path=path, folder=path.parent)
