"""Tool calls: how families of models write them, and how they are read from an answer.

A chat template tells the model how to write a call; each format here is recognised by the marks in the template:

- Hermes, Qwen2.5, Qwen3: https://github.com/NousResearch/Hermes-Function-Calling#prompt-format
- Llama 3: https://github.com/meta-llama/llama-models/blob/main/models/llama3_1/prompt_format.md
- Mistral: https://docs.mistral.ai/cookbooks/concept-deep-dive-tokenization-tool_calling (up to its tokenizer v3)
"""

import json
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llm_chatbot.engine.text.detokenizer import overlap

ToolFormat = Literal["hermes", "llama", "mistral"]

HERMES_START, HERMES_END = "<tool_call>", "</tool_call>"
PYTHON_TAG = "<|python_tag|>"
MISTRAL_MARK = "[TOOL_CALLS]"

# The name of a call's arguments in its JSON.
ARGUMENTS: dict[ToolFormat, str] = {"hermes": "arguments", "llama": "parameters", "mistral": "arguments"}


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asks for.

    Attributes:
        id: made up here; the result comes back with it.
        name: of the function.
        arguments: as JSON text.
    """

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Parsed:
    """An answer, read so far.

    Attributes:
        text: what is said besides the calls; it only grows.
        calls: the complete calls, in order; the list only grows.
    """

    text: str
    calls: tuple[ToolCall, ...] = ()


def tool_format(template: Any) -> ToolFormat | None:
    """The format that a chat template asks for; None if it takes no tools or its format is not known here."""
    if not isinstance(template, str) or "tools" not in template:
        return None
    if HERMES_START in template and "<function=" not in template:  # the latter is Qwen3-Coder's, in XML
        return "hermes"
    if MISTRAL_MARK in template and "[ARGS]" not in template:  # the latter is that of newer tokenizers
        return "mistral"
    if "<|start_header_id|>" in template and '"parameters"' in template:
        return "llama"
    return None


class ToolParser:
    """Reads the calls in an answer while it grows.

    Args:
        format: of the model.
        names: of the functions that can be called; a call of another one is text.
    """

    def __init__(self, format: ToolFormat, names: Collection[str]) -> None:
        self._format, self._names = format, names
        self._ids: list[str] = []  # of the calls, which stay the same while the answer grows

    def parse(self, text: str, ended: bool) -> Parsed:
        """Reads the whole text so far. What may be the beginning of a call is held back unless it has ended."""
        if self._format == "hermes":
            return self._hermes(text, ended)
        return self._whole_answer(text, ended)

    def _hermes(self, text: str, ended: bool) -> Parsed:
        calls: list[ToolCall] = []
        said, rest = "", text
        while (start := rest.find(HERMES_START)) >= 0:
            written, mark, after = rest[start + len(HERMES_START) :].partition(HERMES_END)
            if not mark and not ended:
                break
            call = self._call(_json(written), len(calls))
            if call is not None:
                calls.append(call)
            said += rest[:start] if call else rest[: len(rest) - len(after)]
            rest = after
        if not ended:
            rest = rest[: start if start >= 0 else len(rest) - overlap(rest, HERMES_START)]
        said += rest
        return Parsed(said.rstrip() if calls or not ended else said, tuple(calls))

    def _whole_answer(self, text: str, ended: bool) -> Parsed:
        """Llama's and Mistral's answers are calls or text, never both."""
        written = text.strip().removeprefix(PYTHON_TAG).removeprefix(MISTRAL_MARK).strip()
        if not written.startswith(("{", "[")):
            marks = (PYTHON_TAG, MISTRAL_MARK)
            may_follow = not ended and any(mark.startswith(written) for mark in marks)
            return Parsed("" if may_follow else text)
        if not ended:
            return Parsed("")
        values = _json(written)
        if values is None:  # Llama separates several calls by semicolons
            values = [_json(part) for part in re.split(r";\s*(?=\{)", written)]
        listed = values if isinstance(values, list) else [values]
        calls = [self._call(value, place) for place, value in enumerate(listed)]
        if not listed or None in calls:
            return Parsed(text)
        return Parsed("", tuple(call for call in calls if call is not None))

    def _call(self, value: Any, place: int) -> ToolCall | None:
        """The call that a JSON value stands for; None if it isn't one."""
        if not isinstance(value, dict) or value.get("name") not in self._names:
            return None
        arguments = value.get(ARGUMENTS[self._format], {})
        if isinstance(arguments, str):
            arguments = _json(arguments)
        if not isinstance(arguments, dict):
            return None
        while len(self._ids) <= place:
            self._ids.append(secrets.token_hex(5)[:9])  # Mistral's template asks for nine letters or digits
        return ToolCall(self._ids[place], value["name"], json.dumps(arguments, ensure_ascii=False))


def forced_call(format: ToolFormat, tools: Sequence[tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any], str]:
    """The form of an answer that has to call one of the tools: the text before a JSON value, its schema, and after.

    Args:
        format: of the model.
        tools: the names of the functions, and the JSON schemas of their parameters.
    """
    schemas = [_call_schema(ARGUMENTS[format], name, parameters) for name, parameters in tools]
    schema: dict[str, Any] = {"anyOf": schemas} if len(schemas) > 1 else schemas[0]
    shared = {key: definition for _, parameters in tools for key, definition in parameters.get("$defs", {}).items()}
    if shared:
        schema = {**schema, "$defs": shared}  # where "#/$defs/…" finds them
    if format == "hermes":
        return f"{HERMES_START}\n", schema, f"\n{HERMES_END}"
    if format == "mistral":
        return "[", schema, "]"
    return "", schema, ""


def _call_schema(arguments: str, name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    own = {key: value for key, value in parameters.items() if key != "$defs"}
    return {
        "type": "object",
        "properties": {"name": {"const": name}, arguments: {"type": "object", **own}},
        "required": ["name", arguments],
        "additionalProperties": False,
    }


def _json(text: str) -> Any:
    """A JSON value; None if the text isn't one."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
