"""A field with texts, or with the ids of their tokens: `prompt` of Completions, and `input` of Embeddings."""

from typing import Any

from pydantic import BeforeValidator


def _check_kinds(value: Any) -> Any:
    if isinstance(value, list) and len({type(item) for item in value}) > 1:
        raise ValueError("a list has either texts or token ids")
    return value


# Says what is wrong with a list of several kinds, where pydantic would name a fault for each of them.
ONE_KIND = BeforeValidator(_check_kinds)


def listed(value: str | list[Any]) -> list[Any]:
    """The texts of such a field, each of them a text or a list of ids."""
    is_one = isinstance(value, str) or isinstance(value[0], int)
    return [value] if is_one else list(value)
