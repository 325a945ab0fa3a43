"""Tools as a model is offered them: each under a name that no other has."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from llm_chatbot.texts import Text
from llm_chatbot.tools.tool import ServerTool

# The names of functions that chat templates and other servers take.
MAX_FUNCTION_NAME = 64
OTHER_CHARACTERS = re.compile(r"[^A-Za-z0-9_-]")

ToolKey = tuple[str, str]  # the names of the server and of its tool


@dataclass(frozen=True)
class CallableTool:
    """
    Attributes:
        function: the name that the model calls it by.
    """

    tool: ServerTool
    function: str


@dataclass(frozen=True)
class Offer:
    """The tools that an answer may call.

    Attributes:
        tools: those.
        faults: why others aren't offered, that were asked for.
    """

    tools: Sequence[CallableTool] = ()
    faults: Sequence[Text] = ()


def named(tools: Sequence[ServerTool]) -> list[CallableTool]:
    """Each tool by its own name; where several servers have one of that name, by the server's and its own."""
    counts = Counter(_function_name(tool.name) for tool in tools)
    offered: list[CallableTool] = []
    for tool in tools:
        own = _function_name(tool.name)
        name = own if counts[own] == 1 else _function_name(f"{tool.server}_{tool.name}")
        offered.append(CallableTool(tool, _unused(name, {each.function for each in offered})))
    return offered


def _function_name(name: str) -> str:
    return OTHER_CHARACTERS.sub("_", name)[:MAX_FUNCTION_NAME] or "_"


def _unused(name: str, used: set[str]) -> str:
    number, candidate = 1, name
    while candidate in used:
        number += 1
        candidate = f"{name[: MAX_FUNCTION_NAME - 4]}_{number}"
    return candidate
