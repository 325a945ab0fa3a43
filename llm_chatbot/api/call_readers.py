"""Reads what models write between the marks of tool calls, also while it is being written.

A reader gets a text and a place in it, and says which calls begin there, where they end, and which one is begun. The
syntaxes are those of `llm_chatbot.catalogue.tool_formats`.
"""

import ast
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from llm_chatbot.answering.schemas import Schema, resolved
from llm_chatbot.catalogue.tool_formats import ToolFormat


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
    """What was read at a place.

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

_FOLLOWING = re.compile(r"\s*(?:[;,]\s*(?=\{|$)|(?=\{))")  # between calls that are no list
_FENCE = re.compile(r"\s*```(?:json)?\s*(?=[\[{])")  # that a model may put around its calls
_SPACE, _SEPARATORS = re.compile(r"\s*"), re.compile(r"[\s,;]*")
_CALL_KEYS = {"arguments", "function", "id", "name", "parameters", "type"}


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


# Small models write code into strings as it is: with ends of lines and tabs, which JSON asks to be escaped.
_DECODER = json.JSONDecoder(parse_constant=_no_number, strict=False)
_STRING, _CONTROL = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL), re.compile(r"[\x00-\x1f]")


def escaped(text: str) -> str:
    """A JSON text, or the beginning of one, with the control characters in its strings escaped."""
    return _STRING.sub(lambda string: _CONTROL.sub(lambda found: json.dumps(found[0])[1:-1], string[0]), text)


def json_at(text: str, start: int) -> tuple[Any, int | None]:
    """The JSON value that begins at a place or after white space there, and its end; None if there is no whole one."""
    try:
        return _DECODER.raw_decode(text, _SPACE.match(text, start).end())  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        return None, None


def begun_value(text: str) -> Any:
    """The JSON object or list that a text is the beginning of; None if it is not."""
    try:
        value = from_json(escaped(text), allow_partial="trailing-strings", allow_inf_nan=False)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None


# JSON


def read_objects(text: str, start: int, tools: Tools, format: ToolFormat) -> Reading:
    """Objects with a name and arguments: one, several after each other, or a list; also in a fence."""
    place = (_FENCE.match(text, start) or _SPACE.match(text, start)).end()  # type: ignore[union-attr]
    is_list = text.startswith("[", place)
    calls: list[Written] = []
    place += is_list
    while True:
        place = _SEPARATORS.match(text, place).end() if is_list else place  # type: ignore[union-attr]
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
        if following and following.end() == len(text):
            return Reading(calls)
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


def read_named(text: str, start: int, tools: Tools, format: ToolFormat) -> Reading:
    head = _NAMED.match(text, start)
    if head is None:
        if text[start:].lstrip()[:1] in ("[", "{"):
            return read_objects(text, start, tools, format)
        return Reading() if _NAMED_BEGUN.match(text, start) else NO_CALL
    if head["name"] not in tools:
        return NO_CALL
    value, end = json_at(text, head.end())
    if end is not None:
        call = Written(head["name"], escaped(text[head.end() : end]))
        return Reading([call], end) if isinstance(value, dict) else NO_CALL
    is_begun = begun_value(text[head.end() :]) is not None
    return Reading(begun=Written(head["name"], escaped(text[head.end() :]))) if is_begun else NO_CALL


# Elements: Qwen3-Coder's

_FUNCTION = re.compile(r"\s*<function=(?P<name>[^>\n]+)>\s*")
_FUNCTION_BEGUN = re.compile(r"\s*(<function=[^>\n]*|<(f(u(n(c(t(i(o(n(=)?)?)?)?)?)?)?)?)?)?$")
_PARAMETER = re.compile(
    r"<parameter=(?P<key>[^>\n]+)>\n?(?P<value>.*?)\n?</parameter>(?=\s*(?:<parameter=|</function>))\s*", re.DOTALL
)
_FUNCTION_END = re.compile(r"\s*</function>")


def read_xml(text: str, start: int, tools: Tools, format: ToolFormat) -> Reading:
    head = _FUNCTION.match(text, start)
    if head is None:
        if text[start:].lstrip()[:1] == "{":
            return read_objects(text, start, tools, format)
        return Reading() if _FUNCTION_BEGUN.match(text, start) else NO_CALL
    if head["name"] not in tools:
        return NO_CALL
    place, members = head.end(), list[str]()
    while parameter := _PARAMETER.match(text, place):
        value = as_type(parameter["value"], _property(tools[head["name"]], parameter["key"]))
        members.append(f"{json.dumps(parameter['key'], ensure_ascii=False)}: {json.dumps(value, ensure_ascii=False)}")
        place = parameter.end()
    arguments = "{" + ", ".join(members)
    if end := _FUNCTION_END.match(text, place):
        return Reading([Written(head["name"], arguments + "}")], end.end())
    return Reading(begun=Written(head["name"], arguments))


def _property(schema: Schema, name: str) -> Schema:
    properties = schema.get("properties") if isinstance(schema, dict) else None
    found = properties.get(name, True) if isinstance(properties, dict) else True
    while isinstance(found, dict) and isinstance(found.get("$ref"), str) and isinstance(schema, dict):
        found = resolved(schema, found["$ref"])
    return found if isinstance(found, dict) else True


def as_type(text: str, schema: Schema) -> Any:
    """The value that a text stands for: a string where the schema says so, else JSON, and if it is none the text."""
    types = _types(schema)
    if types == {"string"}:
        return text
    value, end = json_at(text, 0)
    if end is None or text[end:].strip():
        lowered = text.strip().lower()  # as Python writes it
        return {"true": True, "false": False, "none": None}.get(lowered, text) if types else text
    return text if "string" in types and isinstance(value, str) else value


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


# Python's calls: LFM2's

_PYTHON_BEGUN = re.compile(r"\s*\[?\s*(?P<name>[\w.-]*)(?P<open>\()?")
_CONSTANTS = {"true": True, "false": False, "null": None}


def read_python(text: str, start: int, tools: Tools, format: ToolFormat) -> Reading:
    if text[start:].lstrip().startswith(("{", '[{"')):
        return read_objects(text, start, tools, format)
    place = text.find(format.end, start)
    while place >= 0:  # the mark may stand in a string
        if (calls := _python_calls(text[start:place], tools)) is not None:
            return Reading(calls, place)
        place = text.find(format.end, place + 1)
    head = _PYTHON_BEGUN.match(text, start)
    assert head is not None
    if head["open"] and head["name"] in tools:
        return Reading(begun=Written(head["name"], "{"))
    may_follow = not head["open"] and any(name.startswith(head["name"]) for name in tools)
    return Reading() if may_follow and head.end() == len(text) else NO_CALL


def _python_calls(code: str, tools: Tools) -> list[Written] | None:
    """The calls in a list of Python's; None if it isn't one of offered tools."""
    try:
        tree = ast.parse(code.strip(), mode="eval").body
        nodes = tree.elts if isinstance(tree, ast.List) else [tree]
        return [_python_call(node, tools) for node in nodes]
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None


def _python_call(node: ast.AST, tools: Tools) -> Written:
    if not isinstance(node, ast.Call) or node.args:
        raise ValueError("no call with named arguments")
    name = ast.unparse(node.func)
    if name not in tools or not all(keyword.arg for keyword in node.keywords):
        raise ValueError("no call of a tool")
    arguments = {str(keyword.arg): _constant(keyword.value) for keyword in node.keywords}
    return Written(name, json.dumps(arguments, ensure_ascii=False, allow_nan=False))


def _constant(node: ast.AST) -> Any:
    if isinstance(node, ast.Name) and node.id in _CONSTANTS:
        return _CONSTANTS[node.id]
    if isinstance(node, ast.List | ast.Tuple):
        return [_constant(item) for item in node.elts]
    if isinstance(node, ast.Dict):
        return {str(_constant(key)): _constant(item) for key, item in zip(node.keys, node.values, strict=True) if key}
    return ast.literal_eval(node)


# `call:name{key:value}`: Gemma's

_GEMMA_HEAD = re.compile(r"\s*call:(?P<name>[\w.-]+)\s*(?=\{)")
_GEMMA_BEGUN = re.compile(r"\s*(c(a(l(l(:[\w.-]*\s*)?)?)?)?)?$")
_KEY, _LITERAL = re.compile(r'\s*"?([\w.$ -]+?)"?\s*:'), re.compile(r"\s*([^\s,{}\[\]][^,}\]]*)")


class _Unfinished(Exception):
    """The text ends within a value."""


def read_gemma(text: str, start: int, tools: Tools, format: ToolFormat) -> Reading:
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
        place = _SEPARATORS.match(text, place).end()  # type: ignore[union-attr]
        if text.startswith("}", place):
            return found, place + 1
        if text.startswith(quote, place):
            key, place = _gemma_value(text, place, quote)
            colon = re.compile(r"\s*:").match(text, place)
        else:
            colon = _KEY.match(text, place)
            key = colon[1] if colon else ""
        if colon is None:
            raise _Unfinished if "}" not in text[place:] and len(text) - place < 200 else ValueError
        found[key], place = _gemma_value(text, colon.end(), quote)
        members.append(f"{json.dumps(key, ensure_ascii=False)}: {json.dumps(found[key], ensure_ascii=False)}")


def _gemma_value(text: str, start: int, quote: str) -> tuple[Any, int]:
    place = _SPACE.match(text, start).end()  # type: ignore[union-attr]
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
    return as_type(literal[1].strip(), {"type": ["number", "boolean", "null"]}), literal.end()


def _gemma_list(text: str, start: int, quote: str) -> tuple[list[Any], int]:
    found: list[Any] = []
    place = start + 1
    while True:
        place = _SEPARATORS.match(text, place).end()  # type: ignore[union-attr]
        if text.startswith("]", place):
            return found, place + 1
        if place >= len(text):
            raise _Unfinished
        value, place = _gemma_value(text, place, quote)
        found.append(value)


READERS: dict[str, Callable[[str, int, Tools, ToolFormat], Reading]] = {
    "json": read_objects,
    "named": read_named,
    "xml": read_xml,
    "python": read_python,
    "gemma": read_gemma,
}
