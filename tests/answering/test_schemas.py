from typing import Any

import pytest
from jsonschema_rs import Draft202012Validator

from llm_chatbot.answering.schemas import Schema, resolved, standalone


def moved(schema: Schema) -> Schema:
    """The schema as a part of another document, which has things of the same names."""
    own = {"name": {"const": "other"}, "x": {"const": "other"}}
    place = "#/$defs/it~0s~1place"
    document = {"properties": own, "definitions": own, "$defs": {**own, "it~s/place": standalone(schema, place)}}
    return {"$ref": place, **document, "properties": {}}


NODE = {"type": "object", "properties": {"next": {"$ref": "#"}, "v": {"type": "integer"}}, "required": ["v"]}
NULL = {"$defs": {"x": {"type": "null"}}}
TUPLE = {"type": "array", "items": [{"type": "integer"}, {"$ref": "#/items/0"}], "additionalItems": False}


@pytest.mark.parametrize(
    ("schema", "valid", "broken"),
    [
        (NODE, {"v": 1, "next": {"v": 2}}, {"v": 1, "next": {"name": "f", "arguments": {}}}),
        ({"properties": {"x": {"type": "integer"}, "y": {"$ref": "#/properties/x"}}}, {"y": 1}, {"y": "other"}),
        ({"items": {"$ref": "#/definitions/x"}, "definitions": {"x": {"type": "null"}}}, [None], ["other"]),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"enum": ["a"]}}}, "a", "other"),
        ({"$id": "http://a/b", "items": {"$ref": "http://a/b#/$defs/x"}, **NULL}, [None], [1]),
        ({"items": {"$ref": "#it"}, "$defs": {"x": {"$anchor": "it", "type": "null"}}}, [None], [1]),
        ({"items": {"$ref": "#it"}, "definitions": {"x": {"$id": "#it", "type": "null"}}}, [None], [1]),  # draft 7
        ({"items": {"$dynamicRef": "#it"}, "$defs": {"x": {"$dynamicAnchor": "it", "type": "null"}}}, [None], [1]),
        ({"properties": {"$ref": {"type": "integer"}}}, {"$ref": 1}, {"$ref": "#"}),
        ({"enum": [{"$ref": "#"}]}, {"$ref": "#"}, {"$ref": "#/$defs/it~0s~1place"}),
        ({"items": {"$ref": "#/parts/x"}, "parts": {"x": {"$ref": "#/parts/y"}, "y": {"type": "null"}}}, [None], [1]),
        (TUPLE, [1, 2], [1, "a"]),
        (TUPLE, [1, 2], [1, 2, 3]),
        ({"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 3, "exclusiveMinimum": True}, 4, 3),
        ({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}}, {"a": 1, "b": 1}, {"a": 1}),
        ({"dependencies": {"a": ["b"], "c": {"required": ["d"]}}}, {"c": 1, "d": 1}, {"c": 1}),
        (True, 1, None),
    ],
)  # fmt: skip
def test_a_schema_means_the_same_in_another_document(schema: Schema, valid: Any, broken: Any):
    for made in (standalone(schema), moved(schema)):
        validator = Draft202012Validator(made, offline=True)
        assert validator.is_valid(valid)
        assert schema is True or not validator.is_valid(broken)


def test_a_reference_is_followed_as_json_pointers_are():
    document = {"a/b": [{"c~d": 1}], "e f": 2}
    assert resolved(document, "#/a~1b/0/c~0d") == 1 and resolved(document, "#/e%20f") == 2
    assert resolved(document, "#") == document
    assert resolved(document, "#/a~1b/1") is None and resolved(document, "#/x/y") is None
