"""Calls as elements: Qwen3-Coder's and Seed-OSS's."""

import json
import re
from collections.abc import Callable
from typing import Any

from llm_chatbot.answering.schemas import Schema, resolved
from llm_chatbot.api.tool_calls.json_calls import read_objects
from llm_chatbot.api.tool_calls.written import NO_CALL, Reading, Tools, Written, json_at
from llm_chatbot.catalogue.tool_formats import ToolFormat

_FUNCTION = re.compile(r"\s*<function=(?P<name>[^>\n]+)>\s*")
_FUNCTION_BEGUN = re.compile(r"\s*(<function=[^>\n]*|<(f(u(n(c(t(i(o(n(=)?)?)?)?)?)?)?)?)?)?$")
_PARAMETER = re.compile(r"\s*<parameter=(?P<key>[^>\n]+)>\n?")
# A value may contain all of these, as a text about calls does.
_VALUE_END = re.compile(r"\n?</parameter>\s*(?=<parameter=|</function>)")
_CALL_ENDS = re.compile(r"<parameter=|</function>\s*(?:</?(?:seed:)?tool_call>|<function=)")
_OF_PYTHON = {"true": True, "false": False, "none": None}

# Whether a value of JSON is of a type of JSON Schema.
_TYPES: dict[str, Callable[[Any], bool]] = {
    "array": lambda value: isinstance(value, list),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "null": lambda value: value is None,
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
}
_FUNCTION_END = re.compile(r"\s*</function>")


def read_xml(text: str, start: int, tools: Tools, format: ToolFormat, ended: bool) -> Reading:
    head = _FUNCTION.match(text, start)
    if head is None:
        if text[start:].lstrip()[:1] == "{":
            return read_objects(text, start, tools, format, ended)
        return Reading() if _FUNCTION_BEGUN.match(text, start) else NO_CALL
    if head["name"] not in tools:
        return NO_CALL
    place, members = head.end(), list[str]()
    while (parameter := _PARAMETER.match(text, place)) and (end := _value_end(text, parameter.end(), ended)):
        written = text[parameter.end() : end.start()]
        value = as_type(written, _property(tools[head["name"]], parameter["key"]))
        members.append(f"{json.dumps(parameter['key'], ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}")
        place = end.end()
    arguments = "{" + ", ".join(members)
    if not parameter and (end := _FUNCTION_END.match(text, place)):
        return Reading([Written(head["name"], arguments + "}")], end.end())
    return Reading(begun=Written(head["name"], arguments))


def _value_end(text: str, start: int, ended: bool) -> re.Match[str] | None:
    """The end of the value that begins at a place; None: it has not come yet.

    It closes no element that the value itself opens, and the call goes on there or ends as calls do. Where an answer
    ends without such a place, it is the first that may be one.
    """
    places = list(_VALUE_END.finditer(text, start))
    for place in places:
        value = text[start : place.start()]
        is_whole = value.count("<parameter=") <= value.count("</parameter>")
        if is_whole and _CALL_ENDS.match(text, place.end()):
            return place
    return places[0] if places and ended else None


def _property(schema: Schema, name: str) -> Schema:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    found = properties.get(name, True) if isinstance(properties, dict) else True
    followed: set[str] = set()  # references may lead in a circle
    while isinstance(found, dict) and isinstance(reference := found.get("$ref"), str) and reference not in followed:
        followed.add(reference)
        found = resolved(schema, reference)
    return found if isinstance(found, dict) else True


def as_type(text: str, schema: Schema) -> Any:
    """The value that a text stands for: JSON, or what Python writes for it; the text itself where that is a string's.

    A schema that allows strings and others, as that of an optional string does, has the others only by their types.
    """
    types = _types(schema)
    if types == {"string"}:
        return text
    value, end = json_at(text, 0)
    if end is None or text[end:].strip():
        value = _OF_PYTHON.get(text.strip().lower(), text) if types else text
    is_other = any(_TYPES[type](value) for type in types & _TYPES.keys())
    return text if "string" in types and not is_other else value


def _types(schema: Schema) -> set[str]:
    if isinstance(schema, bool):
        return set()
    types = schema.get("type", [])
    found = {types} if isinstance(types, str) else {type for type in types if isinstance(type, str)}
    for options in (schema.get("anyOf"), schema.get("oneOf")):
        for option in options if isinstance(options, list) else []:
            found |= _types(option) if isinstance(option, dict) else set()
    if not found and isinstance(schema.get("enum"), list) and all(isinstance(one, str) for one in schema["enum"]):
        return {"string"}
    return found
