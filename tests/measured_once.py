"""The tutorial and its translations compare the same variants. In a run of the tests, one of them measures for all."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Stands before the cell that measures; a notebook's process runs in the project's folder by then.
FIRST = "from tests import measured_once; measured_once.share()\n"


def share() -> None:
    """Makes `compare` return what it has measured before in this run of the tests, in whatever process."""
    # Here, because conftest.py imports this module before it sets variables.
    from llm_chatbot.evaluation import comparison

    comparison.compare = once(comparison.compare, Path(os.environ["TEST_RUN_FOLDER"]) / "compared")


def once(function: Callable[..., Any], path: Path) -> Callable[..., Any]:
    """The function, called once; its result is kept at `path`."""

    def call(*arguments: Any, **options: Any) -> Any:
        if not path.is_file():
            path.write_bytes(pickle.dumps(function(*arguments, **options)))
        return pickle.loads(path.read_bytes())

    return call
