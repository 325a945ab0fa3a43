"""Folders that get results, and may turn out not to be writable."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from llm_chatbot.errors import UserError


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Translates the errors of the block, which writes results to a folder that a user may have named.

    Raises:
        UserError: the folder can't be written.
    """
    try:
        yield
    except OSError as error:
        raise UserError("folder.not_writable", folder=folder, reason=error.strerror or error) from error


def check_writable(folder: Path) -> None:
    """Creates the folder if necessary. Called before a long measurement, whose results would otherwise be lost.

    Raises:
        UserError: it can't be written.
    """
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
