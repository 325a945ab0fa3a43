"""A JSON schema → one that says the same, or less, in the keywords that llguidance can mask.

https://github.com/guidance-ai/llguidance/blob/main/docs/json_schema.md lists those. What less is said is named, so that
the whole answer can be checked for it.
"""

import json
import re
from functools import lru_cache
from itertools import combinations
from math import comb
from typing import Any

from llm_chatbot.answering.schemas import LISTS, MAPS, ONE, Schema, resolved

# Formats of strings that are masked. JSON Schema says that others change nothing.
FORMATS = {"date", "date-time", "duration", "email", "hostname", "ipv4", "ipv6", "time", "uri", "uuid"}

# Keywords that say nothing of which values are valid.
ANNOTATIONS = {"$comment", "$defs", "default", "definitions", "deprecated", "description", "example", "examples"}
ANNOTATIONS |= {"readOnly", "title", "writeOnly"}

# Keywords that can't be masked, and are left out.
UNMASKED = {"contains", "dependentRequired", "dependentSchemas", "else", "if", "maxContains", "minContains", "then"}
UNMASKED |= {"unevaluatedItems", "unevaluatedProperties"}

# The most alternatives that one keyword becomes.
MOST_ALTERNATIVES = 32

# Python's libraries ask so for a decimal number that has a digit. The look-ahead is the same as another pattern.
_HAS_OTHER = re.compile(r"\^\(\?!\^?\[((?:[^\]\\]|\\.)*)\]\*\$\)")
_LOOK_AHEAD = re.compile(r"\(\?[=!][^()]*\)")


def maskable(schema: Schema) -> tuple[Schema, frozenset[str]]:
    """A schema of 2020-12 in keywords that can be masked, and the keywords that are not in it."""
    masker = _Masker(schema)
    made = masker.schema(schema)
    return made, frozenset(masker.unmasked)


class _Masker:
    def __init__(self, document: Schema) -> None:
        self._document = document
        self.unmasked: set[str] = set()

    def schema(self, schema: Schema) -> Schema:
        if isinstance(schema, bool) or _rejects_all(schema.get("not")):
            return bool(schema) and isinstance(schema, bool)
        made = {name: value for name, value in schema.items() if name not in ("not", "uniqueItems", *UNMASKED)}
        if schema.get("uniqueItems") or schema.get("not", False) is not False:
            self.unmasked |= {"uniqueItems", "not"} & schema.keys()
        self.unmasked |= UNMASKED & schema.keys()
        for rewrite in (
            self._type,
            self._format,
            self._pattern,
            self._names,
            self._name_patterns,
            self._counts,
            self._multiples,
        ):
            rewrite(made)
        return {name: self._parts(name, value) for name, value in made.items()}

    def _parts(self, name: str, value: Any) -> Any:
        if name in MAPS and isinstance(value, dict):
            return {key: self.schema(part) for key, part in value.items()}
        if name in LISTS and isinstance(value, list):
            return [self.schema(part) for part in value]
        return self.schema(value) if name in ONE else value

    def _type(self, made: dict[str, Any]) -> None:
        """A type that a reference's target has too: with it, llguidance can't follow one in a circle."""
        if isinstance(made.get("$ref"), str) and made.keys() - ANNOTATIONS == {"$ref", "type"}:
            target = resolved(self._document, made["$ref"])
            if isinstance(target, dict) and target.get("type") == made["type"]:
                del made["type"]

    def _format(self, made: dict[str, Any]) -> None:
        if made.get("format") not in FORMATS:
            made.pop("format", None)

    def _pattern(self, made: dict[str, Any]) -> None:
        pattern = made.get("pattern")
        if not isinstance(pattern, str) or _is_masked(pattern=pattern):
            return
        del made["pattern"]
        if (start := _HAS_OTHER.match(pattern)) and _is_masked(pattern=f"[^{start[1]}]"):
            made["allOf"] = [*made.get("allOf", []), {"pattern": f"[^{start[1]}]"}]
            pattern = f"^{pattern[start.end() :]}"
        rest = _LOOK_AHEAD.sub("", pattern)
        if rest != pattern:
            self.unmasked.add("pattern")
        if _is_masked(pattern=rest):
            made["pattern"] = rest
        else:
            self.unmasked.add("pattern")

    def _names(self, made: dict[str, Any]) -> None:
        """`propertyNames` as properties, or as patterns of them."""
        names = made.pop("propertyNames", True)
        while isinstance(names, dict) and isinstance(names.get("$ref"), str):
            names = resolved(self._document, names["$ref"])
        if isinstance(names, dict):
            names = {name: value for name, value in names.items() if name not in ANNOTATIONS and name != "format"}
        if names in (True, {}, {"type": "string"}):
            return
        others = made.get("additionalProperties", True)
        known = names.get("enum", [names.get("const")]) if isinstance(names, dict) else []
        if known and all(isinstance(name, str) for name in known) and "patternProperties" not in made:
            properties = made.get("properties", {})
            made["properties"] = {name: properties.get(name, others) for name in [*dict.fromkeys(known)]}
            made["additionalProperties"] = False
        elif isinstance(names, dict) and not made.keys() & {"properties", "patternProperties"} and _as_pattern(names):
            made |= {"patternProperties": {_as_pattern(names): others}, "additionalProperties": False}
        else:
            self.unmasked.add("propertyNames")

    def _name_patterns(self, made: dict[str, Any]) -> None:
        patterns = made.get("patternProperties")
        if isinstance(patterns, dict) and not _is_masked(patternProperties=dict.fromkeys(patterns, True)):
            del made["patternProperties"]
            made.pop("additionalProperties", None)
            self.unmasked.add("patternProperties")

    def _counts(self, made: dict[str, Any]) -> None:
        """`minProperties` and `maxProperties` where some of the named properties are optional."""
        properties, required = made.get("properties", {}), made.get("required", [])
        optional = [name for name in properties if name not in required]
        closed = made.get("additionalProperties") is False and "patternProperties" not in made
        lacking = made.get("minProperties", 0) - len(required)
        more = made.get("maxProperties", len(properties)) - len(required)
        if lacking <= 0:
            made.pop("minProperties", None)
        if closed and more >= len(optional):
            made.pop("maxProperties", None)
        if not optional or (closed and lacking <= 1 and made.get("maxProperties") in (None, 1 + len(required))):
            return  # these are masked
        if made.pop("maxProperties", None) is not None:
            self.unmasked.add("maxProperties")
        if made.pop("minProperties", None) is None:
            return
        if comb(len(optional), lacking) in range(1, MOST_ALTERNATIVES + 1):
            some = [{"required": list(names)} for names in combinations(optional, lacking)]
            made["allOf"] = [*made.get("allOf", []), {"anyOf": some}]
        else:
            self.unmasked.add("minProperties")

    def _multiples(self, made: dict[str, Any]) -> None:
        if "multipleOf" in made and not _is_masked(multipleOf=made["multipleOf"]):
            del made["multipleOf"]
            self.unmasked.add("multipleOf")


def _rejects_all(negated: Any) -> bool:
    """Whether nothing is valid because it must not match a schema that everything matches."""
    return negated is True or (isinstance(negated, dict) and not negated.keys() - ANNOTATIONS)


def _as_pattern(names: dict[str, Any]) -> str:
    """The pattern of the texts that match a schema; empty if it isn't only that of a pattern or of a length."""
    if names.keys() <= {"type", "pattern"}:
        return names.get("pattern", "")
    if names.keys() <= {"type", "minLength", "maxLength"}:
        return rf"^[\s\S]{{{names.get('minLength', 0)},{names.get('maxLength', '')}}}$"
    return ""


def _is_masked(**keyword: Any) -> bool:
    return _is_valid_grammar(json.dumps(keyword))


@lru_cache(maxsize=256)
def _is_valid_grammar(schema: str) -> bool:
    from llguidance import LLMatcher

    return not LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(schema))
