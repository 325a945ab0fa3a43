"""Tools for chat templates that take none: what they are, their calls and their results become text of messages."""

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from llm_chatbot.catalogue.chat_formats import TOOL_CALL, TOOL_RESULT, TOOLS_PROMPT


def told_of_tools(
    messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]], takes_system: bool
) -> list[dict[str, Any]]:
    """The messages in the generic format of `llm_chatbot.catalogue.chat_formats`.

    Args:
        messages: with the arguments of calls as objects.
        tools: as chat templates take them.
        takes_system: whether the template takes a system message; else the tools stand before the user's first one.
    """
    written = list(_written(messages))
    if not tools:
        return written
    lines = "\n".join(json.dumps(tool["function"], ensure_ascii=False) for tool in tools)
    told = TOOLS_PROMPT.format(tools=lines)
    place = next((place for place, message in enumerate(written) if message["role"] in ("system", "user")), 0)
    if takes_system and (not written or written[place]["role"] != "system"):
        return [{"role": "system", "content": told}, *written]
    first = written[place]
    both = (first["content"], told) if first["role"] == "system" else (told, first["content"])
    written[place] = {**first, "content": "\n\n".join(part for part in both if part)}
    return written


def _written(messages: Sequence[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    """The messages with calls as text; results that follow each other are one message of the user."""
    for is_result, group in groupby(messages, key=lambda message: message["role"] == "tool"):
        if is_result:
            results = [TOOL_RESULT.format(result=message["content"]) for message in group]
            yield {"role": "user", "content": "\n".join(results)}
            continue
        for message in group:
            calls = [_call(call["function"]) for call in message.get("tool_calls") or []]
            kept = {name: value for name, value in message.items() if name != "tool_calls"}
            yield {**kept, "content": "\n".join(filter(None, [message.get("content"), *calls]))} if calls else kept


def _call(function: Mapping[str, Any]) -> str:
    call = {"name": function["name"], "arguments": function["arguments"]}
    return TOOL_CALL.format(call=json.dumps(call, ensure_ascii=False))
