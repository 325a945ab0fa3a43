"""Tells another program how far a command is: the steps of `python converter.py NAME --progress json`, and its error.

A module of its own, because it is needed where nothing heavy is imported.
"""

import json
from typing import Any, TextIO

from tqdm.std import tqdm

from llm_chatbot.errors import UserError


class JSONBar(tqdm):
    """A progress bar that writes its state as lines of JSON: {"step", "done", "total", "unit"}; total may be null.

    Attributes:
        stream: gets the lines; None: bars are for people.
    """

    stream: TextIO | None = None

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"disable": False, "mininterval": 0.2, **options})

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        if msg is None:  # otherwise the bar is being erased
            write_step(self.desc.removesuffix(": "), self.n, self.total, self.unit)


def write_step(step: str, done: float = 0, total: float | None = None, unit: str = "") -> None:
    """Writes the state of a step as a line of JSON if a program follows the conversion; people see bars instead."""
    if JSONBar.stream is not None:
        numbers = {"done": int(done), "total": None if total is None else int(total)}  # NumPy's are no JSON
        line = json.dumps({"step": step, **numbers, "unit": unit})
        print(line, file=JSONBar.stream, flush=True)


def write_error(error: UserError, stream: TextIO) -> None:
    """Writes why a command ends as a line of JSON: {"error": …}, see `Text.as_json`."""
    print(json.dumps({"error": error.as_json()}), file=stream, flush=True)


class DownloadJSONBar(JSONBar):
    """The same for huggingface_hub, which has a bar for bytes and one for files; the latter is left out."""

    def __init__(self, *args: Any, **options: Any) -> None:
        in_bytes = options.get("unit") == "B"
        super().__init__(*args, **{**options, "desc": "Downloading", "disable": not in_bytes})

    def set_description(self, desc: str | None = None, refresh: bool | None = True) -> None:
        """Passed over: huggingface_hub's own words are no step of a conversion."""
