"""Python's calls: LFM2's."""

import ast
import json
import re
from typing import Any

from llm_chatbot.api.tool_calls.json_calls import read_objects
from llm_chatbot.api.tool_calls.written import NO_CALL, Reading, Tools, Written
from llm_chatbot.catalogue.tool_formats import ToolFormat
from llm_chatbot.machine.json_value import finite

_PYTHON_BEGUN = re.compile(r"\s*\[?\s*(?P<name>[\w.-]*)(?P<open>\()?")
_CONSTANTS = {"true": True, "false": False, "null": None}


def read_python(text: str, start: int, tools: Tools, format: ToolFormat, ended: bool) -> Reading:
    if text[start:].lstrip().startswith(("{", '[{"')):
        return read_objects(text, start, tools, format, ended)
    place = text.find(format.end, start)
    while place >= 0:  # the mark may stand in a string
        if (calls := _python_calls(text[start:place], tools)) is not None:
            return Reading(calls, place)
        place = text.find(format.end, place + 1)
    if ended and format.end in text[start:]:
        return NO_CALL
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
    except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError):
        return None


def literal(text: str) -> Any:
    """The value of a literal that JSON can say too; else the text."""
    try:
        value = _constant(ast.parse(text.strip(), mode="eval").body)
        json.dumps(value, allow_nan=False)
    except (SyntaxError, TypeError, ValueError, MemoryError, RecursionError):
        return text
    return value


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
    value = ast.literal_eval(node)
    return finite(str(value)) if isinstance(value, float) else value
