"""A fault in the values of a checkpoint's `config.json` → a sentence."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from huggingface_hub.errors import StrictDataclassError

from llm_chatbot.errors import UserError


@contextmanager
def reading_settings(folder: Path) -> Iterator[None]:
    """Around what reads the settings of the checkpoint in a folder.

    Raises:
        UserError: a value is missing, or has the wrong type or range; or what the block raises itself.
    """
    try:
        yield
    except UserError:
        raise
    except (StrictDataclassError, TypeError, ValueError, LookupError, AttributeError, ArithmeticError) as error:
        reason = " ".join(str(error).split())
        raise UserError("checkpoint.invalid", path=folder / "config.json", reason=reason) from error
