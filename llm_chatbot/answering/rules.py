"""A JSON schema → rules of llguidance's Lark grammar for the JSON values that match it.

The whole schema is left to llguidance's own compiler, but for the parts with integers above 2^53, which it keeps as
64-bit floats: the values around those, and their digits, are written as rules here.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from llm_chatbot.answering.large_integers import integer_pattern, is_large
from llm_chatbot.answering.masks import ANNOTATIONS, maskable
from llm_chatbot.answering.schemas import LISTS, MAPS, ONE, Schema, constants_of, resolved, standalone, type_of

# Compact JSON, one space after a comma or colon. Free white space would let a small model write nothing else.
STYLE: dict[str, Any] = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "coerce_one_of": True,
}
# Escapes that llguidance knows besides \u…: without that, a name has one spelling only.
SHORT_ESCAPES = 'nrbtf\\"'

BOUNDS = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
NOTED = ANNOTATIONS | {"format"}


class ObjectForm(NamedTuple):
    """How an object is written, in Lark.

    Attributes:
        begin, end: what stands around its members.
        key: returns what stands before the value of a property.
        any_key: what stands before that of one with any name.
    """

    begin: str
    end: str
    key: Callable[[str], str]
    any_key: str


class Rules:
    """The rules for one schema.

    Args:
        schema: a valid one of 2020-12.
        prefix: of the rules' names.

    Attributes:
        lines: the rules.
        root: the name of that for a whole value.
        unmasked: the keywords of the schema that they say nothing of.
        comma: what stands between two items, in Lark.
    """

    comma = '", "'

    def __init__(self, schema: Schema, prefix: str = "") -> None:
        self._document, unmasked = maskable(schema)
        self.unmasked, self.lines = set(unmasked), list[str]()
        self._prefix, self._of_references = prefix, dict[str, str]()
        self._style = {**STYLE, **_escapes(self._document)}
        self.root = self._whole()
        self._note_overlaps()

    def _whole(self) -> str:
        """The name of the rule for a whole value."""
        return self._value(self._document)

    def _add(self, rule: str, mark: str = "") -> str:
        """The name of a new rule; `mark` stands after it where it is defined, such as "[lazy]"."""
        name = f"{self._prefix}{len(self.lines)}"
        self.lines.append(f"{name}{mark}: {rule}")
        return name

    def _value(self, schema: Schema) -> str:
        """The name of the rule for the values that match a part of the schema."""
        if isinstance(schema, bool) or not self._has_large(schema, set()):
            return self._embedded(schema)
        said = schema.keys() - NOTED
        if said <= {"$ref", "type"} and "$ref" in said:
            return self._referenced(schema["$ref"])
        if said & {"const", "enum"}:
            return self._constants(schema)
        if said - {"type"} in ({"anyOf"}, {"oneOf"}):
            options = schema["anyOf"] if "anyOf" in said else schema["oneOf"]
            return self._add(" | ".join(self._value(option) for option in options if option is not False))
        if said == {"allOf"} and len(schema["allOf"]) == 1:
            return self._value(schema["allOf"][0])
        if isinstance(schema.get("type"), list):
            return self._add(" | ".join(self._value({**schema, "type": one}) for one in schema["type"]))
        match schema.get("type"):
            case "object" if said <= {"type", "properties", "required", "additionalProperties"}:
                return self._object(schema)
            case "array" if said <= {"type", "items", "prefixItems", "minItems", "maxItems"}:
                return self._array(schema)
            case "integer" | "number" if said <= {"type", *BOUNDS}:
                return self._integer(schema)
            case "null" | "boolean" | "string":
                return self._embedded({name: value for name, value in schema.items() if name not in BOUNDS})
        return self._roughly(schema)

    def _roughly(self, schema: dict[str, Any]) -> str:
        """A part that is not written out, without what can't be said of it."""
        self.unmasked.add("integers above 2^53")
        return self._embedded(_without_large(schema))

    def _embedded(self, schema: Schema) -> str:
        """A part without large integers, as llguidance compiles it."""
        own: dict[str, Any] = {} if schema is True else {"enum": []} if schema is False else schema
        if own is not self._document and '"$ref"' in json.dumps(own):
            place = "#/$defs/document"
            own = {**standalone(own, place), "$defs": {"document": standalone(self._document, place)}}  # type: ignore[dict-item]
        return self._add(f"%json {json.dumps({**own, 'x-guidance': self._style})}")

    def _referenced(self, reference: str) -> str:
        if reference not in self._of_references:
            name = f"{self._prefix}ref{len(self._of_references)}"
            self._of_references[reference] = name
            self.lines.append(f"{name}: {self._value(resolved(self._document, reference))}")
        return self._of_references[reference]

    def _constants(self, schema: dict[str, Any]) -> str:
        allowed = constants_of(schema)
        own = {name: value for name, value in schema.items() if name != "$ref"}
        texts = [self._literal(value) for value in allowed if is_valid(own, value)]
        return self._add(" | ".join(texts)) if texts else self._embedded(False)

    def _literal(self, value: Any) -> str:
        """A value in Lark."""
        return json.dumps(json.dumps(value, ensure_ascii=False))

    def _object_form(self) -> ObjectForm:
        """How the object is written that comes next."""
        return ObjectForm('"{"', '"}"', _json_key, f'{self._embedded({"type": "string"})} ": "')

    def _integer(self, schema: dict[str, Any]) -> str:
        """Of numbers with such bounds only the integers are written."""
        low = [schema[name] + extra for name, extra in (("minimum", 0), ("exclusiveMinimum", 1)) if name in schema]
        high = [schema[name] - extra for name, extra in (("maximum", 0), ("exclusiveMaximum", 1)) if name in schema]
        pattern = integer_pattern(
            max((-int(-bound // 1) for bound in low), default=None),
            min((int(bound // 1) for bound in high), default=None),
        )
        return self._add(f"/{pattern}/") if pattern else self._embedded(False)

    def _array(self, schema: dict[str, Any]) -> str:
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        first, others = schema.get("prefixItems", [])[:most], schema.get("items", True)
        rest = ""
        if others is not False and (most is None or most > len(first)):
            item = self._value(others)
            if not first:  # an item like the others, which has no comma before it
                first = [others]
            rest = _repeated(f"{self.comma} {item}", least - len(first), None if most is None else most - len(first))
        for place in reversed(range(len(first))):
            comma = f"{self.comma} " if place else ""
            rest = f"{comma}{self._value(first[place])} {rest}"
            if place >= least:
                rest = f"({rest})?"
        return self._add(f'"[" {rest} "]"')

    def _object(self, schema: dict[str, Any]) -> str:
        """Objects with the named properties, in order. Others are written only where none are named."""
        form = self._object_form()
        properties, required = schema.get("properties", {}), schema.get("required", [])
        others = schema.get("additionalProperties", True)
        if not properties and not required:
            member = f"{form.any_key} {self._value(others)}"
            return self._add(f"{form.begin} ({member} ({self.comma} {member})*)? {form.end}")
        properties = {**properties, **{name: others for name in required if name not in properties}}
        after: list[str] = []  # the members that follow one
        alone = ""  # the members of an object without that one
        for name, part in reversed(properties.items()):
            if part is False and name not in required:
                continue
            member = f"{form.key(name)} {self._value(part)}"
            first = " ".join([member, *after])
            following = f"{self.comma} {member}" if name in required else f"({self.comma} {member})?"
            alone = first if name in required or not alone else f"({first}) | ({alone})"
            after = [self._add(" ".join([following, *after]))]
        optional = not required
        return self._add(f"{form.begin} ({alone}){'?' if optional else ''} {form.end}")

    def _has_large(self, schema: Any, seen: set[str]) -> bool:
        """Whether a value that matches the schema may have an integer that has to be exact."""
        if isinstance(schema, bool):
            return False
        if any(is_large(schema.get(name)) for name in ("const", "enum", *BOUNDS)):
            return True
        reference = schema.get("$ref")
        if isinstance(reference, str) and reference not in seen:
            seen.add(reference)
            if isinstance(target := resolved(self._document, reference), dict) and self._has_large(target, seen):
                return True
        return any(self._has_large(part, seen) for part in _parts(schema))

    def _note_overlaps(self) -> None:
        """`oneOf` is written as `anyOf`, where it isn't certain that no value matches two of its schemas."""
        from llguidance import LLMatcher

        if '"oneOf"' in json.dumps(self._document):
            source = LLMatcher.grammar_from_lark("\n".join([f"start: {self.root}", *self.lines, ""]))
            failed, notes = LLMatcher.validate_grammar_with_warnings(source)
            if not failed and notes:
                self.unmasked.add("oneOf")


def _json_key(name: str) -> str:
    return json.dumps(json.dumps(name, ensure_ascii=False) + ": ")


def _repeated(rule: str, least: int, most: int | None) -> str:
    return "" if most == 0 else f"({rule}){{{max(least, 0)},{'' if most is None else most}}}"


def is_valid(schema: Schema, value: Any) -> bool:
    """Whether a value matches a schema of 2020-12 without references."""
    from jsonschema_rs import Draft202012Validator

    return Draft202012Validator(schema, offline=True).is_valid(value)


def _parts(schema: dict[str, Any]) -> Iterator[Schema]:
    """The schemas in a schema, without its definitions."""
    for name, value in schema.items():
        if name in ("$defs", "definitions"):
            continue
        if name in MAPS and isinstance(value, dict):
            yield from value.values()
        elif name in LISTS and isinstance(value, list):
            yield from value
        elif name in ONE:
            yield value


def _without_large(schema: Any) -> Any:
    """The schema without what it says of large integers, but that they are integers."""
    if isinstance(schema, list):
        return [_without_large(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {name: value for name, value in schema.items() if name not in BOUNDS or not is_large(value)}
    for name in ("const", "enum"):
        if is_large(kept.get(name)):
            values = kept.pop(name) if name == "enum" else [kept.pop(name)]
            kept.setdefault("type", sorted({type_of(value) for value in values}))
    return {name: _without_large(value) for name, value in kept.items()}


def _escapes(document: Schema) -> dict[str, Any]:
    r"""Escapes that strings may have besides characters as they are.

    An object with named properties and others takes an escaped name, such as "\u0061", for one of the others.
    """
    if re.search(r"\\u00[01]|\\u007f", json.dumps(document)):
        return {}  # control characters have no other spelling
    if _mixes_names(document):
        return {"json_allowed_escapes": SHORT_ESCAPES}
    return {"json_allow_general_unicode_escapes": True}


def _mixes_names(schema: Any) -> bool:
    if isinstance(schema, list):
        return any(map(_mixes_names, schema))
    if not isinstance(schema, dict):
        return False
    named = any(name in schema for name in ("properties", "patternProperties", "required"))
    if named and schema.get("additionalProperties") is not False:
        return True
    return any(map(_mixes_names, schema.values()))
