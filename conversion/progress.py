"""What the reader sees while something takes long: progress bars, and not the libraries' own chatter."""

import logging
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import nncf
import torch
import transformers
from tqdm.auto import tqdm
from tqdm.notebook import tqdm_notebook


def progress_bar(**options: Any) -> tqdm:
    """A tqdm bar for a terminal or a notebook, and nothing where the output goes to a file or a pipe.

    Left to itself (`disable=None`) tqdm would be silent in a notebook too, which is not a terminal either.
    """
    return tqdm(disable=False if issubclass(tqdm, tqdm_notebook) else None, leave=False, **options)


@contextmanager
def watching(description: str, total: int, measure: Callable[[], int]) -> Iterator[None]:
    """Shows a bar, in bytes, while one long call runs that can only be watched from outside.

    Args:
        total: what `measure` will return at the end, or about that.
        measure: called about twice a second in a thread of its own.
    """
    done = threading.Event()
    with progress_bar(desc=description, total=total, unit="B", unit_scale=True) as bar:

        def follow() -> None:
            while not done.wait(0.5):
                bar.total = max(total, measured := measure())
                bar.n = measured
                bar.refresh()

        thread = threading.Thread(target=follow, daemon=True)
        if not bar.disable:
            thread.start()
        try:
            yield
        finally:
            done.set()
            if thread.is_alive():
                thread.join()


@contextmanager
def quiet() -> Iterator[None]:
    """Keeps from the reader what tracing and compressing say to those who write exporters."""
    level = transformers.logging.get_verbosity()
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    nncf.set_log_level(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", category=torch.jit.TracerWarning)
            yield
    finally:
        transformers.logging.set_verbosity(level)
        transformers.logging.enable_progress_bar()
