import io
import sys
from pathlib import Path
from threading import Event

import nbformat
import pytest
from nbclient import NotebookClient
from tqdm import tqdm

from llm_chatbot.machine import progress
from llm_chatbot.machine.progress import progress_bar, watching

ROOT = Path(__file__).resolve().parents[2]

SHOW_A_BAR = """
from llm_chatbot.machine.progress import progress_bar
with progress_bar(desc="Working", total=2) as bar:
    bar.update(2)
"""


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_bars_and_a_file_does_not(monkeypatch: pytest.MonkeyPatch):
    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress_bar(desc="Working", total=2, mininterval=0) as bar:
            bar.update(2)
        assert ("Working" in stream.getvalue()) == shown


def test_a_notebook_shows_bars_though_it_is_no_terminal():
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(SHOW_A_BAR)])
    NotebookClient(notebook, iopub_timeout=60, resources={"metadata": {"path": str(ROOT)}}).execute()
    assert any("widget-view" in kind for output in notebook.cells[0].outputs for kind in output.get("data", {}))


def test_a_bar_is_at_its_end_when_what_it_watched_has_ended(monkeypatch: pytest.MonkeyPatch):
    bar = tqdm(total=30, file=io.StringIO())
    monkeypatch.setattr(progress, "progress_bar", lambda **options: bar)
    with watching("Saving", 30, lambda: 0):
        pass
    assert bar.n == 30


def test_a_call_is_watched_until_it_ends_or_fails(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    measured, finished = iter([10, 20]), Event()

    def measure() -> int:
        value = next(measured, None)
        if value is None:
            finished.set()
        return value or 30

    with pytest.raises(ZeroDivisionError), watching("Saving", 30, measure):
        assert finished.wait(30)
        raise ZeroDivisionError
    assert "Saving" in stream.getvalue() and "20.0/30.0" in stream.getvalue()
