"""Calls as elements: Qwen3-Coder's and Seed-OSS's."""

import json
import re
from typing import Any

from llm_chatbot.answering.schemas import Schema, type_of, types_of
from llm_chatbot.api.tool_calls.json_calls import read_objects
from llm_chatbot.api.tool_calls.python_calls import literal
from llm_chatbot.api.tool_calls.written import NO_CALL, Reading, Tools, Written, begun_value, json_at
from llm_chatbot.catalogue.tool_formats import ToolFormat

_FUNCTION = re.compile(r"\s*<function=(?P<name>[^>\n]+)>\s*")
_FUNCTION_BEGUN = re.compile(r"\s*(<function=[^>\n]*|<(f(u(n(c(t(i(o(n(=)?)?)?)?)?)?)?)?)?)?$")
_PARAMETER = re.compile(r"\s*<parameter=(?P<key>[^>\n]+)>\n?")
# A value may contain all of these, as a text about calls does.
_VALUE_END = re.compile(r"\n?</parameter>\s*(?=<parameter=|</function>)")
_JSON_END = re.compile(r"\s*</parameter>\s*(?=<parameter=|</function>)")
_CALL_ENDS = re.compile(r"<parameter=|</function>\s*(?:</?(?:seed:)?tool_call>|<function=)")
_OF_PYTHON = {"true": True, "false": False, "none": None}
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
    schema = tools[head["name"]]
    while parameter := _PARAMETER.match(text, place):
        types = types_of(_property(schema, parameter["key"]), schema)
        end = _value_end(text, parameter.end(), types, ended)
        if end is None:
            break
        value = as_type(text[parameter.end() : end.start()], types)
        members.append(f"{json.dumps(parameter['key'], ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}")
        place = end.end()
    arguments = "{" + ", ".join(members)
    if not parameter and (end := _FUNCTION_END.match(text, place)):
        return Reading([Written(head["name"], arguments + "}")], end.end())
    return Reading(begun=Written(head["name"], arguments))


def _value_end(text: str, start: int, types: set[str], ended: bool) -> re.Match[str] | None:
    """The end of the value that begins at a place; None: it has not come yet.

    JSON ends where its value does. A text closes no element that it opens itself, and the call goes on there or ends as
    calls do. Where an answer ends without such a place, it is the first that may be one.
    """
    if types != {"string"}:
        value, end = json_at(text, start)
        is_text = "string" in types and isinstance(value, str)
        if end is not None and not is_text and (place := _JSON_END.match(text, end)):
            return place
        if end is None and not ended and begun_value(text[start:]) is not None:
            return None
    places = list(_VALUE_END.finditer(text, start))
    for place in places:
        value = text[start : place.start()]
        is_whole = value.count("<parameter=") <= value.count("</parameter>")
        if is_whole and _CALL_ENDS.match(text, place.end()):
            return place
    return places[0] if places and ended else None


def _property(schema: Schema, name: str) -> Any:
    """The schema of an argument; None if there is none."""
    if isinstance(schema, bool):
        return None
    properties = schema.get("properties")
    others = schema.get("additionalProperties")
    return properties.get(name, others) if isinstance(properties, dict) else others


def as_type(text: str, types: set[str]) -> Any:
    """The value that a text stands for: a string where that is its only type, else JSON, and if it is none the text.

    What may be a string is one unless it is a value of one of the other types.
    """
    if types == {"string"}:
        return text
    value, end = json_at(text, 0)
    if end is None or text[end:].strip():
        value = _as_python(text, types)
    kind = type_of(value)
    is_other = kind != "string" and (kind in types or (kind == "integer" and "number" in types))
    return value if "string" not in types or is_other else text


def _as_python(text: str, types: set[str]) -> Any:
    """The value of a text in Python's words, as Seed-OSS's template writes lists too; the text if it is none."""
    if types & {"array", "object"} and "string" not in types:
        return literal(text)
    return _OF_PYTHON.get(text.strip().lower(), text) if types else text
