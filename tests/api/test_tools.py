import json
from itertools import pairwise

import pytest
from jsonschema_rs import Draft202012Validator

from llm_chatbot.api.tools import ToolParser, forced_calls, tool_format

HERMES = "{% for tool in tools %}{{ tool | tojson }}{% endfor %} Answer with <tool_call>{...}</tool_call>"
LLAMA = '{% if tools %}<|start_header_id|> {"name": function, "parameters": arguments}{% endif %}'
HARMONY = "{% if tools %}<|start|>developer<|message|>{% endif %}<|start|>assistant<|channel|>final<|message|>"
MISTRAL = "{% if tools %}[AVAILABLE_TOOLS]{% endif %}[TOOL_CALLS]"

WEATHER = {"name": "weather", "arguments": {"city": "Köln"}}
NO_PARAMETERS = '{"name": "weather", "parameters": {}}'
CALL = f"<tool_call>\n{json.dumps(WEATHER)}\n</tool_call>"


def parsed(format, text: str, ended: bool = True):
    result = ToolParser(format, {"weather", "time"}).parse(text, ended)
    return result.text, [(call.name, json.loads(call.arguments)) for call in result.calls]


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        (HERMES, "hermes"),
        (LLAMA, "llama"),
        (MISTRAL, "mistral"),
        (HARMONY, "harmony"),
        (HARMONY.replace("tools", "users"), None),
        ("{{ messages }}", None),
        (HERMES + "<function=name>", None),
        (MISTRAL + "[ARGS]", None),
        (None, None),
    ],
)
def test_the_format_is_known_by_the_marks_in_the_template(template, expected):
    assert tool_format(template) == expected


@pytest.mark.parametrize(
    ("format", "text", "calls"),
    [
        ("hermes", CALL, [("weather", {"city": "Köln"})]),
        ("hermes", f"{CALL}\n{CALL}", [("weather", {"city": "Köln"})] * 2),
        ("hermes", CALL.removesuffix("</tool_call>"), [("weather", {"city": "Köln"})]),  # ended without its mark
        ("llama", '{"name": "weather", "parameters": {"city": "Köln"}}', [("weather", {"city": "Köln"})]),
        ("llama", f"<|python_tag|>{NO_PARAMETERS}; {NO_PARAMETERS}", [("weather", {})] * 2),
        ("mistral", f"[TOOL_CALLS] [{json.dumps(WEATHER)}]", [("weather", {"city": "Köln"})]),
        ("mistral", f"[{json.dumps(WEATHER)}]", [("weather", {"city": "Köln"})]),  # the mark is a special token
        ("mistral", '[{"name": "weather", "arguments": "{\\"city\\": \\"Bonn\\"}"}]', [("weather", {"city": "Bonn"})]),
    ],
)  # fmt: skip
def test_calls_are_read_and_are_no_text(format, text: str, calls):
    assert parsed(format, text) == ("", calls)


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("hermes", "Just text with a < b."),
        ("hermes", "<tool_call>\nnot JSON\n</tool_call>"),
        ("hermes", '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>'),
        ("hermes", '<tool_call>{"name": "weather", "arguments": [1]}</tool_call>'),
        ("llama", '{"city": "Köln"}'),
        ("llama", "[]"),
        ("mistral", '[{"name": "weather", "arguments": {}}, 1]'),
        ("mistral", "[" * 100_000),
    ],
)
def test_what_is_no_call_stays_text(format, text: str):
    assert parsed(format, text) == (text, [])


@pytest.mark.parametrize("format", ["hermes", "llama", "mistral"])
@pytest.mark.parametrize(
    "text",
    [
        f"Let me see.\n{CALL}\n{CALL} Done.",
        '{"name": "weather", "parameters": {}, "arguments": {}}',
        f"[TOOL_CALLS] [{json.dumps(WEATHER)}]",
        "<tool_calm> is a word; <tool_call>",
        "[not a list",
    ],
)
def test_while_an_answer_grows_so_do_its_text_and_its_calls(format, text: str):
    parser = ToolParser(format, {"weather"})
    states = [parser.parse(text[:size], False) for size in range(len(text) + 1)] + [parser.parse(text, True)]
    for before, after in pairwise(states):
        assert after.text.startswith(before.text)
        assert after.calls[: len(before.calls)] == before.calls, "a call keeps its id"


WRITE = {"name": "write", "arguments": {"text": 'see </tool_call>, <tool_call> and {"} here; [TOOL_CALLS]'}}
WRITTEN = json.dumps(WRITE)
MARKED_CALL = f"<tool_call>{WRITTEN}</tool_call>"


@pytest.mark.parametrize(
    ("format", "text", "count"),
    [
        ("hermes", MARKED_CALL, 1),
        ("hermes", f"{MARKED_CALL}\n{MARKED_CALL}", 2),
        ("hermes", f"{MARKED_CALL[:-12]}}}\n</tool_call>", 1),  # a bracket too many, as small models write it
        ("hermes", MARKED_CALL[:-5], 1),  # the mark is cut off, not the value
        ("llama", f"{WRITTEN}; {WRITTEN}".replace("arguments", "parameters"), 2),
        ("mistral", f"[TOOL_CALLS] [{WRITTEN}, {WRITTEN}]", 2),
        ("mistral", f"[{WRITTEN}", 1),
    ],
)
def test_a_call_ends_where_its_json_value_ends_whatever_is_in_its_strings(format, text: str, count: int):
    parser = ToolParser(format, {"write"})
    for size in range(len(text)):
        assert parser.parse(text[:size], False).text == ""
    result = parser.parse(text, True)
    assert result.text == "" and [json.loads(call.arguments) for call in result.calls] == [WRITE["arguments"]] * count


@pytest.mark.parametrize(("format", "text"), [("hermes", MARKED_CALL), ("llama", WRITTEN), ("mistral", f"[{WRITTEN}]")])
def test_a_call_that_is_cut_off_is_no_text(format, text: str):
    parser = ToolParser(format, {"write"})
    begins = text.index('"')
    assert {parser.parse(text[:size], True).text for size in range(begins, len(text) + 1)} == {""}
    assert parser.parse(f"Look: {text[: len(text) // 2]}", True).text == (
        "Look:" if format == "hermes" else f"Look: {text[: len(text) // 2]}"
    )


@pytest.mark.parametrize("text", ['{"city": "K', '{"na": 1', '{"name": "Ann', "[1, 2", '{"answer": [TOOL_CALLS]'])
@pytest.mark.parametrize("format", ["llama", "mistral"])
def test_json_that_was_asked_for_stays_text_when_it_is_cut_off(format, text: str):
    assert parsed(format, text) == (text, [])


def test_a_text_may_stand_before_mistrals_mark():
    said = f"Let me see. [TOOL_CALLS] [{json.dumps(WEATHER)}]"
    assert parsed("mistral", said) == ("Let me see.", [("weather", {"city": "Köln"})])


def test_ids_are_what_mistrals_template_asks_for():
    (call,) = ToolParser("mistral", {"weather"}).parse(f"[{json.dumps(WEATHER)}]", True).calls
    assert len(call.id) == 9 and call.id.isalnum()


@pytest.mark.parametrize("format", ["hermes", "llama", "mistral"])
def test_a_forced_call_is_one_that_is_read(format):
    (form,) = forced_calls(format, [("weather", {"type": "object"}), ("time", {})])
    key = form.schema["anyOf"][0]["required"][1]
    before, after = (json.loads(text or '""') for text in (form.before, form.after))
    written = f'{before}{{"name": "weather", "{key}": {{"city": "Köln"}}}}{after}'
    assert parsed(format, written) == ("", [("weather", {"city": "Köln"})])


def test_each_tool_keeps_its_own_definitions():
    def parameters(type: str) -> dict:
        item = {"$ref": "#/$defs/Item"}
        return {"type": "object", "properties": {"x": item}, "$defs": {"Item": {"type": type}}}

    (form,) = forced_calls("hermes", [("a", parameters("integer")), ("b", parameters("string"))])
    schema = form.schema
    for call, good, bad in zip(schema["anyOf"], (1, "s"), ("s", 1), strict=True):
        validator = Draft202012Validator({**call, "$defs": schema["$defs"]})
        name = call["properties"]["name"]["const"]
        assert validator.is_valid({"name": name, "arguments": {"x": good}})
        assert not validator.is_valid({"name": name, "arguments": {"x": bad}})
