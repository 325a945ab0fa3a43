"""What the command lines have in common."""

import argparse
import math
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

from config import DEFAULT_MODEL, KV_CACHE_PRECISIONS, UserError
from model_folder import SUBFOLDERS


class Parser(argparse.ArgumentParser):
    """A parser that raises a `UserError` for arguments it doesn't know, instead of printing its usage and exiting."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[:1].upper()}{message[1:]}; see python {self.prog} --help.")


def gigabytes(text: str) -> float:
    """A size that a user gave, in GB."""
    size = float(text)
    if not 0 < size < math.inf:
        raise argparse.ArgumentTypeError(f"a number above 0, not {text}")
    return size


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Translates the errors of the block, which writes results to a folder that a user may have named.

    Raises:
        UserError: the folder can't be written.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f"{folder} can't be written ({reason}); name another folder with --output.") from error


def check_writable(folder: Path) -> None:
    """Creates the folder if necessary. Called before a long measurement, whose results would otherwise be lost.

    Raises:
        UserError: it can't be written.
    """
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def add_server_options(parser: argparse.ArgumentParser, port: int) -> None:
    """Adds what a server is told of its model and its address.

    Args:
        port: the default.
    """
    parser.add_argument("--model", default=DEFAULT_MODEL, help=f"name of the model (default: {DEFAULT_MODEL})")
    parser.add_argument("--precision", default="INT4", help=f"one of: {', '.join(SUBFOLDERS)} (default: INT4)")
    parser.add_argument("--device", default="CPU", help="where the model runs, such as CPU, GPU or AUTO (default: CPU)")
    parser.add_argument("--output", type=Path, default=Path("."), help="folder of the converted models (default: .)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
    parser.add_argument("--port", type=int, default=port, help=f"port to listen on (default: {port})")
    parser.add_argument(
        "--kv-cache-gb",
        type=gigabytes,
        help="memory for the keys and values of all conversations (default: by what is free)",
    )
    parser.add_argument(
        "--kv-cache-precision",
        default="auto",
        choices=KV_CACHE_PRECISIONS,
        help="of keys and values: u8 takes 0.6 of the memory, f16 is faster in long conversations (default: auto)",
    )
