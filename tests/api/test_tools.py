import json
from itertools import pairwise

import pytest

from llm_chatbot.api.tools import ToolParser, forced_call, tool_format

HERMES = "{% for tool in tools %}{{ tool | tojson }}{% endfor %} Answer with <tool_call>{...}</tool_call>"
LLAMA = '{% if tools %}<|start_header_id|> {"name": function, "parameters": arguments}{% endif %}'
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


def test_ids_are_what_mistrals_template_asks_for():
    (call,) = ToolParser("mistral", {"weather"}).parse(f"[{json.dumps(WEATHER)}]", True).calls
    assert len(call.id) == 9 and call.id.isalnum()


@pytest.mark.parametrize("format", ["hermes", "llama", "mistral"])
def test_a_forced_call_is_one_that_is_read(format):
    parameters = {"properties": {"city": {"$ref": "#/$defs/City"}}, "$defs": {"City": {"type": "string"}}}
    before, schema, after = forced_call(format, [("weather", parameters), ("time", {})])
    assert schema["$defs"] == {"City": {"type": "string"}}, "where references find it"
    key = schema["anyOf"][0]["required"][1]
    assert parsed(format, f'{before}{{"name": "weather", "{key}": {{"city": "Köln"}}}}{after}') == (
        "",
        [("weather", {"city": "Köln"})],
    )
