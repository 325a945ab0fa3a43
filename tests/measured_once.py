"""The tutorial and its translations measure the same things. In a run of the tests, one of them measures for all."""

import os
import pickle
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

# Cells that measure for long, by their ids, and the function with which each of them does.
FUNCTIONS = {
    "cache-plot": ("llm_chatbot.lesson.timing", "measure_token_seconds"),
    "time-plot": ("llm_chatbot.lesson.conversations", "measure_conversations"),
    "cost-table": ("llm_chatbot.evaluation.comparison", "compare"),
}


def with_shared_results(cell: str, source: str) -> str:
    """The source of a cell; one that measures takes what was measured before in this run of the tests."""
    if cell not in FUNCTIONS:
        return source
    # A notebook's process runs in the project's folder by then.
    return f"from tests import measured_once; measured_once.share({cell!r})\n{source}"


def share(cell: str) -> None:
    """Makes the function of a cell return what it has measured before in this run, in whatever process."""
    module, name = FUNCTIONS[cell]
    function = getattr(import_module(module), name)
    setattr(import_module(module), name, once(function, Path(os.environ["TEST_RUN_FOLDER"]) / name))


def once(function: Callable[..., Any], path: Path) -> Callable[..., Any]:
    """The function, called once; its result is kept at `path`, and that of a generator as a list."""

    def call(*arguments: Any, **options: Any) -> Any:
        if not path.is_file():
            result = function(*arguments, **options)
            written = path.with_name(f"{path.name}.{os.getpid()}")
            written.write_bytes(pickle.dumps(list(result) if isinstance(result, Iterator) else result))
            written.replace(path)
        return pickle.loads(path.read_bytes())

    return call
