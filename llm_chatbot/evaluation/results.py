"""Keeps what a benchmark measured: as JSON, and as a plot."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure

from llm_chatbot.machine.output import writing_to


def save_results(folder: Path, name: str, content: dict[str, Any], draw: Callable[[], Figure]) -> None:
    """Writes `name`.json with the content, and `name`.png with the plot.

    Raises:
        UserError: the folder can't be written.
    """
    matplotlib.use("Agg")  # draws without a display
    with writing_to(folder):
        draw().savefig(folder / f"{name}.png", dpi=110)
        (folder / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
