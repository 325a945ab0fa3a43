"""A JSON schema → rules for values as Gemma and LFM2 write them in calls.

Every part of the schema is written out, because llguidance's own compiler knows JSON alone. Keywords that can't be
written out are left to the check of the whole answer.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from llm_chatbot.answering.masks import ANNOTATIONS
from llm_chatbot.answering.rules import BOUNDS, SHORT_ESCAPES, ObjectForm, Rules
from llm_chatbot.answering.schemas import Schema

# How a mark stands in a grammar until a tokenizer is known: it is a token there, or letters.
MARK, MARKED = "⟦{}⟧", re.compile("⟦(.*?)⟧")

# Keywords that the rules for numbers and texts keep.
OF_NUMBERS = {"type", "multipleOf", *BOUNDS}
OF_TEXTS = {"type", "minLength", "maxLength", "pattern"}

WHOLE: dict[str, Schema] = {"object": {"type": "object"}, "array": {"type": "array", "items": True}}


class WrittenRules(Rules):
    """Rules for values in another notation than JSON, of which subclasses say how texts and objects are written.

    Attributes:
        constants: what true, false and null are written as.
    """

    constants = ("true", "false", "null")

    def __init__(self, schema: Schema, prefix: str = "") -> None:
        self._any = f"{prefix}any"
        super().__init__(schema, prefix)
        kinds = [self._of_type(kind, {}) for kind in ("string", "number", "boolean", "null")]
        form = self._object_form()
        member = f"{form.any_key} {self._any}"
        members = f"({member} ({self.comma} {member})*)?"
        items = f"({self._any} ({self.comma} {self._any})*)?"
        kinds += [f'"[" {items} "]"', f"{form.begin} {members} {form.end}"]
        self.lines.append(f"{self._any}: {' | '.join(kinds)}")

    def _text(self, schema: dict[str, Any]) -> str:
        raise NotImplementedError

    def _has_large(self, schema: Any, seen: set[str]) -> bool:
        return True

    def _roughly(self, schema: dict[str, Any]) -> str:
        """A part of which only the types are kept."""
        types = schema.get("type", [])
        self._leave(schema, {"type"})
        kinds = [self._of_type(kind, {}) for kind in ([types] if isinstance(types, str) else types)]
        return self._add(" | ".join(kinds)) if kinds else self._any

    def _embedded(self, schema: Schema) -> str:
        if isinstance(schema, bool):
            return self._any if schema else self._add(f"%json {json.dumps({'enum': []})}")
        kind = schema.get("type")
        return self._of_type(kind, schema) if isinstance(kind, str) else self._roughly(schema)

    def _of_type(self, kind: str, schema: dict[str, Any]) -> str:
        if kind in WHOLE:
            return self._value(WHOLE[kind])
        if kind == "string":
            return self._text(schema)
        if kind in ("integer", "number"):
            return self._integer({"type": kind, **schema})
        self._leave(schema, {"type"})
        true, false, null = map(json.dumps, self.constants)
        return self._add(f"{true} | {false}" if kind == "boolean" else null)

    def _integer(self, schema: dict[str, Any]) -> str:
        if super()._has_large(schema, set()):
            return super()._integer(schema)
        self._leave(schema, OF_NUMBERS)
        return self._add(f"%json {json.dumps({name: schema[name] for name in schema.keys() & OF_NUMBERS})}")

    def _leave(self, schema: dict[str, Any], kept: set[str]) -> None:
        """Notes the keywords that the rules say nothing of."""
        self.unmasked |= schema.keys() - ANNOTATIONS - {"format"} - kept

    def _literal(self, value: Any) -> str:
        if isinstance(value, str):
            return self._quoted(value)
        if isinstance(value, dict):
            form = self._object_form()
            return self._row(form.begin, [f"{form.key(name)} {self._literal(value[name])}" for name in value], form.end)
        if isinstance(value, list):
            return self._row('"["', [self._literal(item) for item in value], '"]"')
        true, false, null = self.constants
        named = null if value is None else true if value is True else false if value is False else json.dumps(value)
        return json.dumps(named)

    def _row(self, begin: str, items: Sequence[str], end: str) -> str:
        return " ".join([begin, f" {self.comma} ".join(items), end])

    def _quoted(self, text: str) -> str:
        raise NotImplementedError

    def _note_overlaps(self) -> None:
        if '"oneOf"' in json.dumps(self._document):
            self.unmasked.add("oneOf")


class GemmaRules(WrittenRules):
    """`{key:value,…}`, with texts between two marks.

    Attributes:
        quote: the mark around texts.
    """

    comma, quote = '","', MARK.format('<|"|>')

    def _text(self, schema: dict[str, Any]) -> str:
        self._leave(schema, {"type"})
        return self._add(f"{self.quote} /([^<]|<[^|])*/ {self.quote}")

    def _quoted(self, text: str) -> str:
        return " ".join([self.quote, *([json.dumps(text)] if text else []), self.quote])

    def _object_form(self) -> ObjectForm:
        return ObjectForm('"{"', '"}"', self._key, r'/[A-Za-z_][A-Za-z0-9_.$-]*/ ":"')

    def _key(self, name: str) -> str:
        is_plain = name.replace(".", "_").replace("-", "_").replace("$", "_").isidentifier()
        return json.dumps(f"{name}:") if is_plain else f'{self._quoted(name)} ":"'


class FunctionGemmaRules(GemmaRules):
    quote = MARK.format("<escape>")


class PythonRules(WrittenRules):
    """The arguments of a call, `(key=value, …)`, whose values are Python's."""

    constants = ("True", "False", "None")

    def __init__(self, schema: Schema, prefix: str = "") -> None:
        self._is_inside = False
        super().__init__(schema, prefix)

    def _text(self, schema: dict[str, Any]) -> str:
        self._leave(schema, OF_TEXTS)
        own = {"type": "string", **{name: schema[name] for name in schema.keys() & OF_TEXTS}}
        return self._add(f"%json {json.dumps({**own, 'x-guidance': {'json_allowed_escapes': SHORT_ESCAPES}})}")

    def _quoted(self, text: str) -> str:
        return json.dumps(json.dumps(text, ensure_ascii=False))

    def _object_form(self) -> ObjectForm:
        if self._is_inside:
            return ObjectForm('"{"', '"}"', self._key, f'{self._text({})} ": "')
        self._is_inside = True
        return ObjectForm('"("', '")"', lambda name: json.dumps(f"{name}="), r'/[A-Za-z_][A-Za-z0-9_]*/ "="')

    def _key(self, name: str) -> str:
        return f'{self._quoted(name)} ": "'
