"""Tool calls: how families of models write them, and how they are read from an answer.

A chat template tells the model how to write a call; each format here is recognised by the marks in the template:

- Hermes, Qwen2.5, Qwen3: https://github.com/NousResearch/Hermes-Function-Calling#prompt-format
- Llama 3: https://github.com/meta-llama/llama-models/blob/main/models/llama3_1/prompt_format.md
- Mistral: https://docs.mistral.ai/cookbooks/concept-deep-dive-tokenization-tool_calling (up to its tokenizer v3)
- gpt-oss: https://developers.openai.com/cookbook/articles/openai-harmony; the engine has read its calls as Hermes'
"""

import json
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import from_json

from llm_chatbot.answering.grammar import Form
from llm_chatbot.answering.schemas import Schema, standalone
from llm_chatbot.engine.text.channels import writes_channels
from llm_chatbot.engine.text.detokenizer import overlap

ToolFormat = Literal["hermes", "llama", "mistral", "harmony"]

HERMES_START, HERMES_END = "<tool_call>", "</tool_call>"
PYTHON_TAG = "<|python_tag|>"
MISTRAL_MARK = "[TOOL_CALLS]"

# The name of a call's arguments in its JSON.
ARGUMENTS: dict[ToolFormat, str] = {
    "hermes": "arguments",
    "llama": "parameters",
    "mistral": "arguments",
    "harmony": "arguments",
}

# In Lark, what a masked answer on channels may begin with: its reasoning, which is not masked, and the next message.
REASONED = '(<|channel|> "analysis" <|message|> (<|start|> "assistant")?)?'
FINAL_HEADER = f'{REASONED} <|channel|> "final" (" "? <|constrain|> "json")? <|message|>'

_WHITE_SPACE, _SEPARATORS, _CLOSED = re.compile(r"\s*"), re.compile(r"[\s,;\[\]]*"), re.compile(r"[\s}\]]*")
_NO_CALL = re.compile(f"{HERMES_END}|(?={HERMES_START})")


def _no_number(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_number)


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
    if writes_channels(template):
        return "harmony"
    if HERMES_START in template and "<function=" not in template:  # the latter is Qwen3-Coder's, in XML
        return "hermes"
    if MISTRAL_MARK in template and "[ARGS]" not in template:  # the latter is that of newer tokenizers
        return "mistral"
    if "<|start_header_id|>" in template and '"parameters"' in template:
        return "llama"
    return None


class ToolParser:
    """Reads the calls in an answer while it grows. A call is a JSON value, and ends where that ends.

    Args:
        format: of the model.
        names: of the functions that can be called; a call of another one is text.
    """

    def __init__(self, format: ToolFormat, names: Collection[str]) -> None:
        self._format, self._names = format, names
        self._ids: list[str] = []  # of the calls, which stay the same while the answer grows

    def parse(self, text: str, ended: bool) -> Parsed:
        """Reads the whole text so far.

        What may be the beginning of a call is held back. Once the answer has ended, a call that was cut off is left
        out, and what turned out to be no call is text.
        """
        if self._format in ("hermes", "harmony"):
            return self._hermes(text, ended)
        return self._whole_answer(text, ended)

    def _hermes(self, text: str, ended: bool) -> Parsed:
        calls: list[ToolCall] = []
        said, place = "", 0
        while (start := text.find(HERMES_START, place)) >= 0:
            written = start + len(HERMES_START)
            value, end = _json_at(text, written)
            if end is None and not _is_begun(text[written:]):
                end = _end_of_no_call(text, written, ended)
            if end is None:  # not complete, or cut off
                return Parsed((said + text[place:start]).rstrip(), tuple(calls))
            call = self._call(value, len(calls))
            said += text[place : end if call is None else start]
            place = end
            if call is not None:
                calls.append(call)
                place = _after_end_mark(text, end)
        rest = text[place:]
        if not ended:
            rest = rest[: len(rest) - overlap(rest, HERMES_START)]
        said += rest
        return Parsed(said.rstrip() if calls or not ended else said, tuple(calls))

    def _whole_answer(self, text: str, ended: bool) -> Parsed:
        """Llama's and Mistral's calls go on to the answer's end; a text and a mark may stand before them."""
        mark = PYTHON_TAG if self._format == "llama" else MISTRAL_MARK
        said, marked, written = "", "", text.lstrip()
        if not written.startswith(("{", "[")) or mark.startswith(written[: len(mark)]):
            said, marked, written = text.partition(mark)
            if not marked:
                return Parsed(text if ended else text[: len(text) - overlap(text, mark)].rstrip())
        values, rest = _json_values(written)
        calls = [call for place, value in enumerate(values) if (call := self._call(value, place))]
        if len(calls) < len(values) or not _is_begun(rest):
            return Parsed(text)
        if not ended:
            return Parsed(said.rstrip())
        if not marked and not calls and not self._begins_call(rest):
            return Parsed(text)
        return Parsed(said.rstrip(), tuple(calls))

    def _begins_call(self, text: str) -> bool:
        """Whether a JSON value that was cut off is a call, and not one that was asked for as text."""
        if '{"name":'.startswith("".join(text.split())):
            return bool(text)
        value = from_json(text, allow_partial="trailing-strings")
        name = value.get("name")
        return isinstance(name, str) and any(known.startswith(name) for known in self._names)

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


def forced_calls(format: ToolFormat, tools: Sequence[tuple[str, Schema]]) -> list[Form]:
    """The forms of an answer that has to call one of the tools.

    Args:
        format: of the model.
        tools: the names of the functions, and the JSON schemas of their parameters. Each keeps its own definitions.
    """
    if format == "harmony":
        return [Form(as_arguments(parameters), _call_header(name)) for name, parameters in tools]
    names = [name for name, _ in tools]
    schemas = [_call_schema(ARGUMENTS[format], name, f"#/$defs/{place}") for place, name in enumerate(names)]
    schema: dict[str, Any] = {"anyOf": schemas} if len(schemas) > 1 else schemas[0]
    places = enumerate(parameters for _, parameters in tools)
    schema = {**schema, "$defs": {str(place): as_arguments(own, f"#/$defs/{place}") for place, own in places}}
    if format == "hermes":
        return [Form(schema, json.dumps(f"{HERMES_START}\n"), json.dumps(f"\n{HERMES_END}"))]
    if format == "mistral":
        return [Form(schema, '"["', '"]"')]
    return [Form(schema)]


def _call_header(name: str) -> str:
    """What stands before the arguments of a call on a channel, in Lark."""
    return f'{REASONED} <|channel|> "commentary to=functions.{name} " <|constrain|> "json" <|message|>'


def as_arguments(parameters: Schema, where: str = "#") -> Schema:
    """The schema of a call's arguments, which are an object, for a place in another document."""
    moved = standalone(parameters, where)
    if isinstance(moved, bool):
        return {"type": "object"} if moved else False
    return {"type": "object", **moved}


def _call_schema(arguments: str, name: str, parameters: str) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"name": {"const": name}, arguments: {"$ref": parameters}},
        "required": ["name", arguments],
        "additionalProperties": False,
    }


def _json(text: str) -> Any:
    """A JSON value; None if the text isn't one."""
    value, end = _json_at(text, 0)
    return None if end is None or text[end:].strip() else value


def _json_at(text: str, start: int) -> tuple[Any, int | None]:
    """The JSON value that begins at a place or after white space there, and its end; None if there is no whole one."""
    try:
        return _DECODER.raw_decode(text, _WHITE_SPACE.match(text, start).end())  # type: ignore[union-attr]
    except (ValueError, RecursionError):
        return None, None


def _json_values(text: str) -> tuple[list[Any], str]:
    """The JSON values of a list, or of a text that separates them by semicolons or commas, and what follows them."""
    values: list[Any] = []
    place = 0
    while True:
        place = _SEPARATORS.match(text, place).end()  # type: ignore[union-attr]
        value, end = _json_at(text, place)
        if end is None:
            return values, text[place:]
        values.append(value)
        place = end


def _is_begun(text: str) -> bool:
    """Whether a text is the beginning of a JSON object, or empty."""
    if not text.strip():
        return True
    try:
        return isinstance(from_json(text, allow_partial="trailing-strings", allow_inf_nan=False), dict)
    except ValueError:
        return False


def _end_of_no_call(text: str, start: int, ended: bool) -> int | None:
    """Where what is no JSON value after a mark ends: with its end mark or before the next call; None: not yet."""
    end = _NO_CALL.search(text, start)
    return end.end() if end else (len(text) if ended else None)


def _after_end_mark(text: str, end: int) -> int:
    """The place after a call's end mark, where one follows; models may write a bracket too many before it."""
    place = _CLOSED.match(text, end).end()  # type: ignore[union-attr]
    if text.startswith(HERMES_END, place):
        return place + len(HERMES_END)
    return len(text) if HERMES_END.startswith(text[place:]) else end
