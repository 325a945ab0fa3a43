"""A JSON schema → rules for the arguments of a call as elements, as Qwen3-Coder and Seed-OSS write them.

A text stands in its element as it is, and any other value as JSON. So a text has nothing that would end its element,
and doesn't look like another value that the schema allows there. `can_be_elements` says whether a schema asks for such
a text.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from llm_chatbot.answering.masks import ANNOTATIONS
from llm_chatbot.answering.rules import Rules, is_valid
from llm_chatbot.answering.schemas import Schema, constants_of, resolved, types_of

ARGUMENT_KEYWORDS = {"type", "properties", "required", "additionalProperties"}
TEXT_KEYWORDS = {"type", "format", "minLength", "maxLength"}

WRITABLE_NAME = re.compile(r"[^<>\s]+")
NEW_NAME = "/[A-Za-z_][A-Za-z0-9_.-]*/"  # in Lark: of an argument that the schema doesn't name

# What ends a text's element for a reader, besides the element's own end.
ELEMENT_ENDS = r"<parameter=|</parameter>\s*</function>"

# What texts don't look like where values of other types are allowed. A number ends where no text could go on.
_NUMBER = r"\s*-?[0-9](?s:.*)"
LOOKS = {
    "object": r"\s*\{(?s:.*)",
    "array": r"\s*\[(?s:.*)",
    "number": _NUMBER,
    "integer": _NUMBER,
    "boolean": r"\s*([Tt][Rr][Uu][Ee]|[Ff][Aa][Ll][Ss][Ee])\s*",
    "null": r"\s*([Nn][Uu][Ll][Ll]|[Nn][Oo][Nn][Ee])\s*",
}

# The values of types that have few.
FEW_VALUES: dict[str, list[Any]] = {"null": [None], "boolean": [True, False]}


class ElementRules(Rules):
    """The rules for all arguments.

    Attributes:
        begin, end: what stands before and after a value. A reader leaves out one end of a line on each side.
    """

    begin, end = "\n", "\n</parameter>\n"

    def _whole(self) -> str:
        arguments = self._document
        if isinstance(arguments, bool):
            arguments = {"additionalProperties": arguments}
        others, required = arguments.get("additionalProperties", True), arguments.get("required", [])
        properties = {**arguments.get("properties", {})}
        properties |= {name: others for name in required if name not in properties}
        if not properties:
            return self._add('""' if others is False else f"({self._element(NEW_NAME, others)})*")
        elements = [
            self._element(json.dumps(name), part) + ("" if name in required else "?")
            for name, part in properties.items()
            if part is not False or name in required
        ]
        return self._add(" ".join(elements) or '""')

    def _element(self, name: str, part: Schema) -> str:
        """The rule for an argument, whose name is in Lark."""
        return self._add(f'"<parameter=" {name} {json.dumps(f">{self.begin}")} {self._closed(part)}')

    def _closed(self, part: Schema) -> str:
        """The rule for a value with its end."""
        types, options = types_of(part, self._document), list(options_of(part, self._document))
        if options and not any(map(_is_bounded, options)) and (not types or "string" in types):
            return self._text({}, ())
        if "string" not in types:
            return self._as_json(part)
        looks = [LOOKS[each] for each in sorted(types & LOOKS.keys())]
        return self._add(" | ".join(self._option(option, looks) for option in options))

    def _option(self, option: dict[str, Any], looks: Sequence[str]) -> str:
        """One of the alternatives where texts are among them; they don't look like the others."""
        if constants := FEW_VALUES.get(str(option.get("type")), constants_of(option)):
            return " | ".join(map(self._constant, constants))
        if "string" in types_of(option, self._document):
            return self._text(option, looks)
        return self._as_json(option)

    def _constant(self, value: Any) -> str:
        text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        if not self.begin and "\n" in (text[:1], text[-1:]):
            text = f"\n{text}\n"
        return json.dumps(f"{text}{self.end}")

    def _as_json(self, part: Schema) -> str:
        return self._add(f"{self._value(part)} {json.dumps(self.end)}")

    def _text(self, schema: dict[str, Any], looks: Sequence[str]) -> str:
        """Texts in pieces, each of which could be the last; of a bounded length in one piece."""
        self.unmasked |= schema.keys() - ANNOTATIONS - TEXT_KEYWORDS
        least, most = schema.get("minLength", 0), schema.get("maxLength", "")
        without = [f"(?s:.*)({ELEMENT_ENDS})(?s:.*)", *(f"{look}{self.end}" for look in looks)]
        if schema.keys() & {"minLength", "maxLength"}:
            body, more = f"(?s:.{{{least},{most}}})", ""
            without += [] if self.begin else ["\n(?s:.*)", f"(?s:.*)\n{self.end}"]
        else:
            body = "(?s:.*)"
            more = self._piece(body, [without[0], r"\s*</function>(?s:.*)"]) + "*"
        return self._add(f"{self._piece(body, without)} {more}")

    def _piece(self, body: str, without: Sequence[str]) -> str:
        """A text up to the first place that could be its end."""
        terminals = [_terminal(f"{body}{self.end}"), *(f"~{_terminal(each)}" for each in without)]
        return self._add(" & ".join(terminals), "[lazy]")

    def _note_overlaps(self) -> None:
        if '"oneOf"' in json.dumps(self._document):
            self.unmasked.add("oneOf")


class SeedElementRules(ElementRules):
    begin, end = "", "</parameter>\n"


def can_be_elements(name: str, parameters: Schema) -> bool:
    """Whether the rules can write each call of a function that its schema asks for.

    Args:
        parameters: a valid schema of 2020-12 for an object.
    """
    if not isinstance(parameters, dict) or parameters.keys() - ANNOTATIONS - ARGUMENT_KEYWORDS:
        return False
    properties = parameters.get("properties", {})
    names = [name, *properties, *parameters.get("required", [])]
    return all(map(WRITABLE_NAME.fullmatch, names)) and all(
        _has_readable_texts(each, parameters) for each in properties.values()
    )


def _has_readable_texts(schema: Schema, document: Schema) -> bool:
    """Whether the texts that a schema lists are read as they are."""
    types = types_of(schema, document)
    looks = [LOOKS[each] for each in types & LOOKS.keys()]
    texts = [option["const"] for option in options_of(schema, document) if isinstance(option.get("const"), str)]
    return "string" not in types or not any(
        re.search(ELEMENT_ENDS, text) or any(re.fullmatch(look, text) for look in looks) for text in texts
    )


def options_of(schema: Schema, document: Schema, followed: frozenset[str] = frozenset()) -> Iterator[dict[str, Any]]:
    """The alternatives that a part of a document is made of, each value of `enum` as one."""
    if isinstance(schema, bool):
        yield from [{}] if schema else []
        return
    said = schema.keys() - ANNOTATIONS - {"format"}
    lists = [schema[name] for name in ("anyOf", "oneOf", "allOf") if said == {name}]
    if said == {"$ref"} and schema["$ref"] not in followed:
        yield from options_of(resolved(document, schema["$ref"]), document, followed | {schema["$ref"]})
    elif lists and (len(lists[0]) == 1 or said != {"allOf"}):
        for option in lists[0]:
            yield from options_of(option, document, followed)
    elif said & {"const", "enum"}:
        own = {name: value for name, value in schema.items() if name != "$ref"}
        yield from ({"const": value} for value in constants_of(schema) if is_valid(own, value))
    elif isinstance(schema.get("type"), list):
        yield from ({**schema, "type": kind} for kind in schema["type"])
    else:
        yield schema


def _is_bounded(option: dict[str, Any]) -> bool:
    """Whether a schema says more of its values than their type."""
    return bool(option.keys() - ANNOTATIONS - {"type", "format"})


def _terminal(pattern: str) -> str:
    """A regular expression in Lark."""
    escaped = pattern.replace("/", r"\/").replace("\n", r"\n")
    return f"/{escaped}/"
