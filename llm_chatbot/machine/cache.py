"""The cache of this machine: downloads, and results that were measured once."""

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from platformdirs import user_cache_path

from llm_chatbot.machine.json_object import json_object

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


def cache_folder() -> Path:
    """`LLM_CHATBOT_CACHE`, or the operating system's cache folder."""
    return Path(os.environ.get("LLM_CHATBOT_CACHE") or user_cache_path("llm-chatbot", appauthor=False))


def measured_once(file_name: str, key: str, measure: Callable[[], Result]) -> Result:
    """Returns the result of `measure` from its first call for `key` on this machine.

    Args:
        file_name: of the JSON file in the cache folder that holds the results; a damaged one is replaced.
        key: names all that the result depends on.
        measure: returns what JSON can hold.
    """
    path = cache_folder() / file_name
    try:
        known = json_object(path)
    except (OSError, ValueError):
        known = {}
    if key not in known:
        known[key] = measure()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(known, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            logger.warning("%s can't be written (%s), so this is measured again next time.", path, error)
    return known[key]
