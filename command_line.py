"""What the command lines have in common."""

import argparse
from typing import NoReturn

from config import UserError


class Parser(argparse.ArgumentParser):
    """A parser that raises a `UserError` for arguments it doesn't know, instead of printing its usage and exiting."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{message[:1].upper()}{message[1:]}; see python {self.prog} --help.")
