"""A fault in the values of a checkpoint's `config.json` → a sentence."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

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


def required_ints(folder: Path, config: dict[str, Any], *names: str | tuple[str, ...]) -> list[int]:
    """The config's integers under these names.

    Args:
        names: each a key, or the alternative keys of one value, of which the first that is there counts.

    Raises:
        UserError: some are missing or are not integers.
    """
    alternatives = [(name,) if isinstance(name, str) else name for name in names]
    found = [next((config[key] for key in keys if config.get(key) is not None), None) for keys in alternatives]
    if missing := [keys[0] for keys, value in zip(alternatives, found, strict=True) if not isinstance(value, int)]:
        raise missing_keys(folder, missing)
    return [int(value) for value in found if value is not None]


def missing_keys(folder: Path, names: Collection[str]) -> UserError:
    """The error for keys that a `config.json` lacks."""
    return UserError("checkpoint.keys_missing", path=folder / "config.json", names=", ".join(names))


def refuse_options(folder: Path, options: dict[str, bool]) -> None:
    """Refuses options that the converted model would silently ignore.

    Args:
        options: by the config's key, whether it has an unsupported value.

    Raises:
        UserError: some have.
    """
    if unsupported := [name for name, is_unsupported in options.items() if is_unsupported]:
        raise UserError("checkpoint.options", path=folder / "config.json", names=", ".join(unsupported))
