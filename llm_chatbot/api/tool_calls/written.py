"""Calls as they were written, and the JSON that they are made of."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from llm_chatbot.answering.schemas import Schema
from llm_chatbot.machine.json_value import finite, no_number


@dataclass(frozen=True)
class Written:
    """A call as it was written.

    Attributes:
        name: of the function.
        arguments: as JSON text; of a call that is being written, their beginning.
    """

    name: str
    arguments: str


@dataclass(frozen=True)
class Reading:
    """The calls that were read at a place.

    Attributes:
        calls: the whole ones, in order.
        end: the place after all that was read; None: it isn't complete.
        begun: the call that is being written, once its name is known.
        is_call: False if what stands there is none.
    """

    calls: Sequence[Written] = ()
    end: int | None = None
    begun: Written | None = None
    is_call: bool = True


NO_CALL = Reading(is_call=False)

# The schemas of the functions' arguments, by their names.
Tools = Mapping[str, Schema]

SPACE, SEPARATORS = re.compile(r"\s*"), re.compile(r"[\s,;]*")

# Small models write code into strings as it is: with ends of lines and tabs, which JSON asks to be escaped.
_DECODER = json.JSONDecoder(parse_float=finite, parse_constant=no_number, strict=False)
_STRING, _CONTROL = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL), re.compile(r"[\x00-\x1f]")


def escaped(text: str) -> str:
    """A JSON text, or the beginning of one, with the control characters in its strings escaped."""
    return _STRING.sub(lambda string: _CONTROL.sub(lambda found: json.dumps(found[0])[1:-1], string[0]), text)


def json_at(text: str, start: int) -> tuple[Any, int | None]:
    """The JSON value that begins at a place or after white space there, and its end; None if there is no whole one."""
    try:
        return _DECODER.raw_decode(text, SPACE.match(text, start).end())  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        return None, None


def begun_value(text: str) -> Any:
    """The JSON object or list that a text is the beginning of; None if it is not."""
    try:
        value = from_json(escaped(text), allow_partial="trailing-strings", allow_inf_nan=False)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None
