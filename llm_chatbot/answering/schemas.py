"""JSON schemas as clients send them → one that can stand in another document, and one that a grammar can be made of.

JSON Schema 2020-12: https://json-schema.org/draft/2020-12/json-schema-core
"""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote

# A JSON schema: an object, `True` for any value, or `False` for none.
Schema = dict[str, Any] | bool

# Keywords whose value is a schema, a list of schemas, or an object with a schema for each name.
ONE = {"additionalProperties", "contains", "contentSchema", "else", "if", "items", "not", "propertyNames", "then"}
ONE |= {"additionalItems", "unevaluatedItems", "unevaluatedProperties"}
LISTS = {"allOf", "anyOf", "oneOf", "prefixItems", "items"}
MAPS = {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
# Keywords whose value is data: a "$ref" in it is no reference.
DATA = {"const", "default", "enum", "example", "examples"}

TYPE_NAMES = {"array", "boolean", "integer", "null", "number", "object", "string"}


def standalone(schema: Schema, where: str = "#") -> Schema:
    """A schema of any draft as one of 2020-12, for a place in another document.

    References to its own parts lead there: `#` and `#/…`, those with its `$id` before them, and anchors.

    Args:
        where: the JSON pointer of that place, as in a reference.
    """
    if isinstance(schema, bool):
        return schema
    own = {name: schema[name] for name in ("$schema", "$id", "id") if isinstance(schema.get(name), str)}
    identity = own.get("$id", own.get("id", "#"))
    anchors = dict(_anchors(schema, ""))

    def moved(reference: str) -> str:
        local = reference.removeprefix(identity) if identity != "#" else reference
        if local in ("", "#"):
            return where
        if local.startswith("#/"):
            return where + _renamed(schema, local[1:])
        return where + anchors[local[1:]] if local[1:] in anchors else local

    return _moved({name: value for name, value in schema.items() if name not in own}, moved)


def resolved(document: Schema, reference: str) -> Any:
    """The target of a reference within a document, such as `#/$defs/a`; None if there is nothing."""
    value: Any = document
    for token in reference.removeprefix("#").split("/")[1:]:
        value = _part(value, token)
    return value


def type_of(value: Any) -> str:
    """The type of a JSON value, in a schema's words."""
    names = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array", dict: "object"}
    return names.get(type(value), "null")


def types_of(schema: Any, document: Schema, followed: frozenset[str] = frozenset()) -> set[str]:
    """The types that a part of a document names, itself or in its alternatives; empty if it names none.

    Args:
        followed: the references that led to it; they may lead in a circle.
    """
    if not isinstance(schema, dict):
        return set()
    reference = schema.get("$ref")
    if isinstance(reference, str) and reference not in followed:
        return types_of(resolved(document, reference), document, followed | {reference})
    named = schema.get("type", [])
    found = {named} if isinstance(named, str) else {each for each in named if isinstance(each, str)}
    for options in (schema.get(name) for name in ("allOf", "anyOf", "oneOf")):
        for option in options if isinstance(options, list) else ():
            found |= types_of(option, document, followed)
    return found or {type_of(value) for value in constants_of(schema)}


def constants_of(schema: dict[str, Any]) -> list[Any]:
    """The values of `enum` or `const`."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return values if isinstance(values, list) else []


def _part(value: Any, token: str) -> Any:
    """The part of a value that one token of a JSON pointer names."""
    if isinstance(value, list):
        return value[int(token)] if token.isdecimal() and int(token) < len(value) else None
    name = unquote(token).replace("~1", "/").replace("~0", "~")
    return value.get(name) if isinstance(value, dict) else None


def _renamed(schema: Schema, pointer: str) -> str:
    """A JSON pointer into an older schema, as one into what `_modern` makes of it."""
    value: Any = schema
    tokens = []
    for token in pointer.split("/")[1:]:
        older = isinstance(value, dict) and isinstance(value.get("items"), list)
        names = {"items": "prefixItems", "additionalItems": "items"} if older else {"dependencies": "dependentSchemas"}
        tokens.append(names.get(token, token))
        value = _part(value, token)
    return "".join(f"/{token}" for token in tokens)


def _anchors(value: Any, pointer: str) -> Iterator[tuple[str, str]]:
    """The anchors in a schema, with the JSON pointers of what they name."""
    if isinstance(value, list):
        for place, item in enumerate(value):
            yield from _anchors(item, f"{pointer}/{place}")
    elif isinstance(value, dict):
        for name in ("$anchor", "$dynamicAnchor"):
            if isinstance(value.get(name), str):
                yield value[name], pointer
        if _names_anchor(value):
            yield value["$id"][1:], pointer
        for name, item in value.items():
            if name not in DATA:
                yield from _anchors(item, f"{pointer}/{name.replace('~', '~0').replace('/', '~1')}")


def _names_anchor(schema: dict[str, Any]) -> bool:
    """Whether a schema's `$id` is an anchor, as in drafts 6 and 7."""
    return isinstance(schema.get("$id"), str) and schema["$id"].startswith("#")


def _moved(value: Any, moved: Callable[[str], str]) -> Any:
    """A schema, or a part of one, with other references and in the words of 2020-12."""
    if isinstance(value, list):
        return [_moved(item, moved) for item in value]
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("$id"), str) and not _names_anchor(value):  # it has references of its own
        return value
    made: dict[str, Any] = {}
    for name, item in value.items():
        if name in ("$ref", "$dynamicRef", "$recursiveRef") and isinstance(item, str):
            made["$ref"] = moved(item)
        elif name in ("$anchor", "$dynamicAnchor", "$recursiveAnchor") or (name == "$id" and _names_anchor(value)):
            continue
        elif name in DATA:
            made[name] = item
        elif name in MAPS and isinstance(item, dict):
            made[name] = {key: _moved(part, moved) for key, part in item.items()}
        else:
            made[name] = _moved(item, moved)
    return _modern(_with_named_required(made, value))


def _with_named_required(schema: dict[str, Any], sent: dict[str, Any]) -> dict[str, Any]:
    """A schema that also requires the properties which say so themselves, as in draft 3 and in mistaken schemas."""
    properties = sent.get("properties")
    parts = properties.items() if isinstance(properties, dict) else ()
    named = [name for name, part in parts if isinstance(part, dict) and part.get("required") is True]
    listed = [name for name in schema.get("required") or [] if name not in named] if named else []
    return {**schema, "required": [*listed, *named]} if named else schema


def _modern(schema: dict[str, Any]) -> dict[str, Any]:
    """One level of a schema in the words of 2020-12.

    Keywords without a value are left out, as many libraries write them; so is the type "any". Names of types in capital
    letters are Gemini's.
    """
    made = {name: value for name, value in schema.items() if value is not None or name in DATA}
    if isinstance(made.get("required"), bool):
        del made["required"]
    types = made.get("type")
    if isinstance(types, str) and types.lower() in {*TYPE_NAMES, "any"}:
        made["type"] = types.lower()
    if made.get("type") == "any":
        del made["type"]
    if isinstance(made.get("items"), list):  # up to draft 2019-09
        made["prefixItems"] = made.pop("items")
        if "additionalItems" in made:
            made["items"] = made.pop("additionalItems")
    for exclusive, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if isinstance(made.get(exclusive), bool) and made.pop(exclusive) and bound in made:  # draft 4
            made[exclusive] = made.pop(bound)
    if isinstance(made.get("dependencies"), dict):  # up to draft 7
        parts = made.pop("dependencies").items()
        made["dependentRequired"] = {name: part for name, part in parts if isinstance(part, list)}
        made["dependentSchemas"] = {name: part for name, part in parts if not isinstance(part, list)}
    return made
