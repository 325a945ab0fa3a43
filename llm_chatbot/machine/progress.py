"""Progress bars for long steps, for people or as JSON for a program."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm
from tqdm.notebook import tqdm_notebook

from llm_chatbot.machine.json_progress import JSONBar


def progress_bar(**options: Any) -> tqdm:
    """A tqdm bar for terminals and notebooks; nothing if the output goes to a file or a pipe.

    `disable=None` alone would also hide it in a notebook, whose output is not a terminal.
    """
    if JSONBar.stream is not None:
        return JSONBar(leave=False, **options)
    return tqdm(disable=False if issubclass(tqdm, tqdm_notebook) else None, leave=False, **options)


@contextmanager
def watching(description: str, total: int, measure: Callable[[], int]) -> Iterator[None]:
    """Shows a bar, in bytes, for a long call that reports no progress itself.

    Args:
        total: what `measure` will return at the end, approximately.
        measure: returns the progress in bytes; called twice a second in another thread.
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
        bar.n = bar.total  # a notebook keeps a bar that was closed before its end, in red
