"""Calls in JSON: objects with a name and arguments, and names before arguments."""

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from llm_chatbot.api.tool_calls.written import (
    NO_CALL,
    SEPARATORS,
    SPACE,
    Reading,
    Tools,
    Written,
    begun_value,
    escaped,
    json_at,
)
from llm_chatbot.catalogue.tool_formats import ToolFormat

_FOLLOWING = re.compile(r"\s*(?:[;,]\s*(?=\{|$)|(?=\{))")  # between calls that are no list
_FENCE = re.compile(r"\s*```(?:json)?\s*(?=[\[{])")  # that a model may put around its calls
_CALL_KEYS = {"arguments", "function", "id", "name", "parameters", "type"}


def read_objects(text: str, start: int, tools: Tools, format: ToolFormat, ended: bool) -> Reading:
    """Objects with a name and arguments: one, several after each other, or a list; also in a fence."""
    place = (_FENCE.match(text, start) or SPACE.match(text, start)).end()  # type: ignore[union-attr]
    is_list = text.startswith("[", place)
    calls: list[Written] = []
    place += is_list
    while True:
        place = SEPARATORS.match(text, place).end() if is_list else place  # type: ignore[union-attr]
        if is_list and text.startswith("]", place):
            return Reading(calls, place + 1) if calls else NO_CALL
        value, end = json_at(text, place)
        if end is None:
            return _begun_json(text, place, tools, calls)
        call = _json_call(text, place, value, tools)
        if call is None:
            return Reading(calls, place) if calls else NO_CALL
        calls.append(call)
        place = end
        following = None if is_list else _FOLLOWING.match(text, place)
        if not is_list and following is None:
            return Reading(calls, place)
        place = following.end() if following else place


def _begun_json(text: str, place: int, tools: Tools, calls: Sequence[Written]) -> Reading:
    rest = text[place:]
    value = begun_value(rest) if rest.strip() else {}
    if not isinstance(value, dict) or not may_be_call(value, tools):
        return Reading(calls, place) if calls else NO_CALL
    head = _HEAD.match(text, place)
    if head is None or head["name"] not in tools:
        return Reading(calls)
    _, end = json_at(text, head.end())
    return Reading(calls, begun=Written(head["name"], escaped(text[head.end() : end])))


# An object that begins with its name, up to its arguments, which are an object.
_HEAD = re.compile(
    r'\s*\{\s*(?:"type"\s*:\s*"function"\s*,\s*)?"name"\s*:\s*"(?P<name>[^"\\]+)"\s*,\s*'
    r'"(?:arguments|parameters)"\s*:\s*(?=\{)'
)


def may_be_call(value: Mapping[str, Any], tools: Tools) -> bool:
    """Whether an object that is being written can become a call."""
    name = value.get("name", "")
    return value.keys() <= _CALL_KEYS and isinstance(name, str) and any(known.startswith(name) for known in tools)


def _json_call(text: str, start: int, value: Any, tools: Tools) -> Written | None:
    """The call that an object stands for; None if it is none of the tools."""
    if not isinstance(value, dict):
        return None
    if isinstance(value.get("function"), dict):  # as calls stand in OpenAI's messages
        value = value["function"]
    name = value.get("name", value.get("function"))  # Llama writes the latter too
    if not isinstance(name, str) or name not in tools:
        return None
    arguments: Any = next((value[key] for key in ("arguments", "parameters") if key in value), None)
    if isinstance(arguments, str) and arguments.strip():  # JSON in JSON
        arguments, _ = json_at(arguments, 0)
    elif arguments is None or isinstance(arguments, str):
        arguments = {}
    if not isinstance(arguments, dict):
        return None
    if head := _HEAD.match(text, start):  # as it was written: a part may have been sent
        _, end = json_at(text, head.end())
        return Written(name, escaped(text[head.end() : end]))
    return Written(name, json.dumps(arguments, ensure_ascii=False))


# The name, and then the arguments as JSON: Mistral's and DeepSeek's

_NAMED = re.compile(
    r"\s*(?:function<｜tool▁sep｜>)?(?P<name>[\w.-]+)(?:\[CALL_ID\][\w-]*)?"
    r"(?:\[ARGS\]|<｜tool▁sep｜>|\s*```(?:json)?\s*|\s*(?=\{))\s*(?=\{)"
)
_NAMED_BEGUN = re.compile(r"\s*(?:function<｜tool▁sep｜>)?[\w.-]*(?:\[CALL_ID\][\w-]*)?[^{]{0,24}$")


def read_named(text: str, start: int, tools: Tools, format: ToolFormat, ended: bool) -> Reading:
    head = _NAMED.match(text, start)
    if head is None:
        if text[start:].lstrip()[:1] in ("[", "{"):
            return read_objects(text, start, tools, format, ended)
        return Reading() if _NAMED_BEGUN.match(text, start) else NO_CALL
    if head["name"] not in tools:
        return NO_CALL
    _, end = json_at(text, head.end())
    if end is not None:
        return Reading([Written(head["name"], escaped(text[head.end() : end]))], end)
    is_begun = begun_value(text[head.end() :]) is not None
    return Reading(begun=Written(head["name"], escaped(text[head.end() :]))) if is_begun else NO_CALL
