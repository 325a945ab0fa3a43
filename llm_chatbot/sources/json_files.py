"""Reads the JSON files of a checkpoint."""

from pathlib import Path
from typing import Any

from llm_chatbot.errors import UserError
from llm_chatbot.machine.json_object import json_object


def read_checkpoint_json(path: Path) -> dict[str, Any]:
    """The object in a checkpoint's JSON file.

    Raises:
        UserError: the file is missing, or holds no JSON object.
    """
    try:
        return json_object(path)
    except FileNotFoundError as error:
        raise UserError("checkpoint.file_missing", path=path) from error
    except ValueError as error:
        raise damaged_checkpoint(path) from error


def damaged_checkpoint(path: Path) -> UserError:
    return UserError("checkpoint.file_damaged", path=path)
