"""Tool calls in an answer: what of it is a call and what is text, and the grammar of an answer that has to be one."""

import json
import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from keyword import iskeyword
from typing import Any

from llm_chatbot.answering.element_rules import can_be_elements
from llm_chatbot.answering.grammar import Form, Repeated
from llm_chatbot.answering.notations import MARK
from llm_chatbot.answering.schemas import Schema, standalone
from llm_chatbot.api.tool_calls.json_calls import read_objects
from llm_chatbot.api.tool_calls.readers import CALL_READERS
from llm_chatbot.api.tool_calls.written import Written
from llm_chatbot.catalogue.tool_formats import CALL_MARKS, TOOL_FORMATS, ToolFormat
from llm_chatbot.engine.text.detokenizer import overlap

# In Lark, what a masked answer on channels may begin with: its reasoning, which is not masked, and the next message.
REASONED = '(<|channel|> "analysis" <|message|> (<|start|> "assistant")?)?'
FINAL_HEADER = f'{REASONED} <|channel|> "final" (" "? <|constrain|> "json")? <|message|>'

# How many calls a grammar allows in an answer.
MOST_FORCED_CALLS = 8

_CLOSED, _BETWEEN = re.compile(r"[\s}\]`]*"), re.compile(r"[\s,;\]]*")


@dataclass(frozen=True)
class ToolCall:
    """A call that the model asks for.

    Attributes:
        id: made up here; the result comes back with it.
        name: of the function.
        arguments: as JSON text; of a call that is being written, their beginning.
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
        begun: the call after those, which is being written. It grows, but may turn out to be cut off or no call.
    """

    text: str
    calls: tuple[ToolCall, ...] = ()
    begun: ToolCall | None = None


class ToolParser:
    """Reads the calls in an answer while it grows.

    Whatever the format, an answer that begins with the JSON object of a call of an offered tool is that call.

    Args:
        format: of the model, one of `TOOL_FORMATS`.
        tools: the names of the functions that can be called, with the schemas of their arguments where those are known.
            A call of another one is text.
    """

    def __init__(self, format: str, tools: Mapping[str, Schema] | Collection[str]) -> None:
        self._format = TOOL_FORMATS[format]
        schemas: Mapping[str, Schema] = tools if isinstance(tools, Mapping) else dict.fromkeys(tools, True)
        self._tools = {name: standalone(schema) for name, schema in schemas.items()}
        self._ids: list[str] = []  # of the calls, which stay the same while the answer grows

    def parse(self, text: str, ended: bool) -> Parsed:
        """Reads the whole text so far.

        What may be the beginning of a call is held back. Once the answer has ended, a call that was cut off is left
        out, and what turned out to be no call is text.
        """
        calls: list[ToolCall] = []
        said, place = self._read_bare(text, calls, ended)
        if isinstance(said, Parsed):
            return said
        while (start := self._next_call(text, place)) >= 0:
            is_bare = not text.startswith(self._format.start, start)
            written = start if is_bare else start + len(self._format.start)
            if ended and not text[written:].strip():
                break
            reading = CALL_READERS[self._format.syntax](text, written, self._tools, self._format, ended)
            end = reading.end
            if not reading.is_call:
                end = start + len(self._format.bare) if is_bare else self._end_of_no_call(text, written, ended)
            calls += self._with_ids(reading.calls, len(calls))
            if end is None:  # not complete, or cut off
                return self._parsed(said + text[place:start], calls, None if ended else reading.begun)
            said += text[place : start if reading.calls else end]
            place = self._after_end_mark(text, end) if reading.calls else end
        rest = text[place:]
        if not ended:
            marks = (self._format.start, self._format.bare, *self._format.other_marks)
            rest = rest[: len(rest) - max(overlap(rest, mark) for mark in marks)]
        said += rest
        return self._parsed(said, calls) if calls or not ended else Parsed(self._without_other_marks(said))

    def _read_bare(self, text: str, calls: list[ToolCall], ended: bool) -> tuple["str | Parsed", int]:
        """The calls without a mark that an answer begins with, and the place after them."""
        start = text.lstrip()
        place = len(text) - len(start)
        if not start.startswith(("{", "[")) or self._format.start.startswith(start[: len(self._format.start)]):
            return "", 0
        while text.startswith(("{", "["), place):
            reading = read_objects(text, place, self._tools, self._format, ended)
            if not reading.is_call:
                break
            calls += self._with_ids(reading.calls, len(calls))
            if reading.end is None:
                if ended and not calls and "{" not in text[place:]:
                    return Parsed(text), 0
                return self._parsed("", calls, None if ended else reading.begun), place
            place = _BETWEEN.match(text, reading.end).end()  # type: ignore[union-attr]
        return ("", place) if calls else ("", 0)

    def _next_call(self, text: str, place: int) -> int:
        """Where the next call may begin; -1 if there is none."""
        marks = filter(None, (self._format.start, self._format.bare))
        return min((start for mark in marks if (start := text.find(mark, place)) >= 0), default=-1)

    def _with_ids(self, written: Sequence[Written], first: int) -> list[ToolCall]:
        return [ToolCall(self._id(first + place), call.name, call.arguments) for place, call in enumerate(written)]

    def _id(self, place: int) -> str:
        while len(self._ids) <= place:
            self._ids.append(secrets.token_hex(5)[:9])  # Mistral's template asks for nine letters or digits
        return self._ids[place]

    def _parsed(self, said: str, calls: Sequence[ToolCall], begun: Written | None = None) -> Parsed:
        call = None if begun is None else ToolCall(self._id(len(calls)), begun.name, begun.arguments)
        return Parsed(self._without_other_marks(said).rstrip(), tuple(calls), call)

    def _without_other_marks(self, said: str) -> str:
        for mark in self._format.other_marks:
            said = said.replace(mark, "")
        return said

    def _end_of_no_call(self, text: str, start: int, ended: bool) -> int | None:
        """Where what is no call after a mark ends: with its end mark or before the next call; None: not yet."""
        ends = [] if not self._format.end else [text.find(self._format.end, start)]
        found = [end + len(self._format.end) for end in ends if end >= 0]
        following = text.find(self._format.start, start)
        found += [following] if following >= 0 else []
        return min(found, default=len(text) if ended or not self._format.end else None)

    def _after_end_mark(self, text: str, end: int) -> int:
        """The place after a call's end mark, where one follows; a fence or a bracket too many may stand before it."""
        mark = self._format.end
        if not mark:
            return end
        place = _CLOSED.match(text, end).end()  # type: ignore[union-attr]
        if text.startswith(mark, place):
            return place + len(mark)
        return len(text) if mark.startswith(text[place:]) else end


def forced_calls(format: str, tools: Sequence[tuple[str, Schema]], several: bool = False) -> Sequence[Form | Repeated]:
    """The forms of an answer that has to call one of the tools.

    Args:
        format: of the model.
        tools: the names of the functions, and the JSON schemas of their parameters. Each keeps its own definitions.
        several: whether it may have more than one call, up to `MOST_FORCED_CALLS`.
    """
    if format == "harmony":
        return [Form(as_arguments(parameters), _call_header(name)) for name, parameters in tools]
    own = TOOL_FORMATS[format]
    before, between, after = map(in_lark, own.forced)
    if own.call and all(_can_be_own_call(own, name, as_arguments(parameters)) for name, parameters in tools):
        forms = [_own_call(own, name, parameters) for name, parameters in tools]
        return [Repeated(forms, before, after, between if several else None, MOST_FORCED_CALLS)]
    names = [name for name, _ in tools]
    arguments = own.arguments
    schemas = [_call_schema(arguments, name, f"#/$defs/{place}") for place, name in enumerate(names)]
    schema: dict[str, Any] = {"anyOf": schemas} if len(schemas) > 1 else schemas[0]
    places = enumerate(parameters for _, parameters in tools)
    schema = {**schema, "$defs": {str(place): as_arguments(own, f"#/$defs/{place}") for place, own in places}}
    return [Form(schema, before, after, between if several else None, MOST_FORCED_CALLS)]


def in_lark(text: str) -> str:
    """A text as a part of a grammar; marks of calls may be control tokens."""
    parts = enumerate(re.split(f"({'|'.join(map(re.escape, sorted(CALL_MARKS, key=len, reverse=True)))})", text))
    return " ".join(MARK.format(part) if place % 2 else json.dumps(part) for place, part in parts if part)


def _own_call(format: ToolFormat, name: str, parameters: Schema) -> Form:
    """A call as the model was trained to write it."""
    assert format.call is not None
    begin, end = format.call
    return Form(as_arguments(parameters), in_lark(begin.format(name=name)), in_lark(end), notation=format.notation)


def _can_be_own_call(format: ToolFormat, name: str, parameters: Schema) -> bool:
    """Whether the format can say the names of the function and its arguments, and the values."""
    if format.syntax == "python":
        schema = parameters if isinstance(parameters, dict) else {}
        names = (name, *schema.get("properties", {}), *schema.get("required", []))
        return all(each.isidentifier() and not iskeyword(each) for each in names)
    return format.syntax != "xml" or can_be_elements(name, parameters)


def _call_header(name: str) -> str:
    """The text before the arguments of a call on a channel, in Lark."""
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
