"""`call:name{key:value}`: Gemma's."""

import json
import re
from typing import Any

from llm_chatbot.api.tool_calls.written import NO_CALL, SEPARATORS, SPACE, Reading, Tools, Written, json_at
from llm_chatbot.api.tool_calls.xml_calls import as_type
from llm_chatbot.catalogue.tool_formats import ToolFormat

_GEMMA_HEAD = re.compile(r"\s*call:(?P<name>[\w.-]+)\s*(?=\{)")
_GEMMA_BEGUN = re.compile(r"\s*(c(a(l(l(:[\w.-]*\s*)?)?)?)?)?$")
_COLON = re.compile(r"\s*:")
_KEY, _LITERAL = re.compile(r'\s*"?([\w.$ -]+?)"?\s*:'), re.compile(r"\s*([^\s,{}\[\]][^,}\]]*)")

LONGEST_KEY = 200  # characters; a longer text without a colon is taken for no key


class _Unfinished(Exception):
    """The text ends within a value."""


def read_gemma(text: str, start: int, tools: Tools, format: ToolFormat, ended: bool) -> Reading:
    head = _GEMMA_HEAD.match(text, start)
    if head is None:
        return Reading() if _GEMMA_BEGUN.match(text, start) else NO_CALL
    if head["name"] not in tools:
        return NO_CALL
    members: list[str] = []
    try:
        arguments, end = _gemma_object(text, head.end(), format.quote, members)
    except _Unfinished:
        return Reading(begun=Written(head["name"], "{" + ", ".join(members)))
    except (ValueError, RecursionError):
        return NO_CALL
    return Reading([Written(head["name"], json.dumps(arguments, ensure_ascii=False))], end)


def _gemma_object(text: str, start: int, quote: str, members: list[str]) -> tuple[dict[str, Any], int]:
    """An object and its end. The whole members are noted as JSON."""
    found: dict[str, Any] = {}
    place = start + 1
    while True:
        place = SEPARATORS.match(text, place).end()  # type: ignore[union-attr]
        if text.startswith("}", place):
            return found, place + 1
        if text.startswith(quote, place):
            key, place = _gemma_value(text, place, quote)
            colon = _COLON.match(text, place)
        else:
            colon = _KEY.match(text, place)
            key = colon[1] if colon else ""
        if colon is None:
            is_begun = "}" not in text[place:] and len(text) - place < LONGEST_KEY
            raise _Unfinished if is_begun else ValueError
        found[key], place = _gemma_value(text, colon.end(), quote)
        members.append(f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(found[key], ensure_ascii=False)}")


def _gemma_value(text: str, start: int, quote: str) -> tuple[Any, int]:
    place = SPACE.match(text, start).end()  # type: ignore[union-attr]
    if text.startswith(quote, place):
        end = text.find(quote, place + len(quote))
        if end < 0:
            raise _Unfinished
        return text[place + len(quote) : end], end + len(quote)
    if text.startswith("{", place):
        return _gemma_object(text, place, quote, [])
    if text.startswith("[", place):
        return _gemma_list(text, place, quote)
    if text.startswith('"', place):
        value, found = json_at(text, place)
        if found is None:
            raise _Unfinished
        return value, found
    literal = _LITERAL.match(text, place)
    if literal is None or literal.end() == len(text):
        raise _Unfinished
    return as_type(literal[1].strip(), {"number", "boolean", "null"}), literal.end()


def _gemma_list(text: str, start: int, quote: str) -> tuple[list[Any], int]:
    found: list[Any] = []
    place = start + 1
    while True:
        place = SEPARATORS.match(text, place).end()  # type: ignore[union-attr]
        if text.startswith("]", place):
            return found, place + 1
        if place >= len(text):
            raise _Unfinished
        value, place = _gemma_value(text, place, quote)
        found.append(value)
