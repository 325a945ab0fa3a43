import json
import re
from collections.abc import Sequence
from itertools import pairwise

import pytest
from jsonschema_rs import Draft202012Validator
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

from llm_chatbot.answering.grammar import Form, Repeated
from llm_chatbot.answering.notations import MARKED
from llm_chatbot.answering.schemas import types_of
from llm_chatbot.api.tool_calls.xml_calls import as_type
from llm_chatbot.api.tools import ToolCall, ToolParser, forced_calls
from llm_chatbot.catalogue.tool_formats import TOOL_FORMATS, tool_format
from llm_chatbot.engine.text.detokenizer import StreamingDetokenizer
from llm_chatbot.engine.text.tokenizer import PlainTokenizer

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
        (HARMONY.replace("tools", "users"), "harmony"),
        ("{{ messages }}", "hermes"),  # the generic format
        (HERMES + "<function=name>", "qwen-xml"),
        ("{{ tools }}<seed:tool_call><function=name>", "seed-xml"),
        (MISTRAL + "[ARGS]", "mistral-named"),
        ("{{ tools }}", "json"),
        ("{{ tools }}<|tool_call>", "gemma"),
        ("{{ tools }}<|tool_call|>", "granite"),
        ("{{ tools }}<|tool_call|><|/tool_call|>", "phi"),
        (None, "hermes"),
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
        ("mistral", '[{"name": "unknown", "arguments": {}}, 1]'),
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


@pytest.mark.parametrize(
    ("inside", "count"),
    [
        (f"\n{WRITTEN}\n{WRITTEN}\n", 2),  # one after the other between one pair of marks
        (f"[{WRITTEN}, {WRITTEN}]", 2),
        (f"\n```json\n{WRITTEN}\n```\n", 1),
        (json.dumps({"type": "function", "function": WRITE}), 1),  # as in OpenAI's messages
        (json.dumps({"arguments": WRITE["arguments"], "name": "write"}), 1),
        (json.dumps({"function": "write", "parameters": WRITE["arguments"]}), 1),
    ],
)
def test_calls_are_read_in_the_forms_that_models_fall_into(inside: str, count: int):
    parser, text = ToolParser("hermes", {"write"}), f"<tool_call>{inside}</tool_call>"
    assert {parser.parse(text[:size], False).text for size in range(len(text))} == {""}
    result = parser.parse(text, True)
    assert result.text == "" and [json.loads(call.arguments) for call in result.calls] == [WRITE["arguments"]] * count


@pytest.mark.parametrize("format", ["hermes", "llama", "mistral", "mistral-named"])
def test_a_string_may_have_lines_and_tabs_as_they_are(format: str):
    written = '{\n\t"text": "def f(x):\n\treturn \\"\\\\n\\"\n",\n"n": [1]}'
    text = (
        f"[TOOL_CALLS]write[ARGS]{written}"
        if format == "mistral-named"
        else (f'{{"name": "write", "arguments": {written}}}')
    )
    parser, sent = ToolParser(format, {"write"}), ""
    for size in range(1, len(text) + 1):
        state = parser.parse(text[:size], False)
        assert state.text == ""
        for call in filter(None, [state.begun, *state.calls]):
            assert call.arguments.startswith(sent)
            sent = call.arguments
    (call,) = parser.parse(text, True).calls
    assert call.arguments == sent
    assert json.loads(sent) == {"text": 'def f(x):\n\treturn "\\n"\n', "n": [1]}


@pytest.mark.parametrize("arguments", ["null", '""', '" "', "{}", '"{}"'])
@pytest.mark.parametrize("format", ["hermes", "llama", "mistral"])
def test_no_arguments_are_an_empty_object(format: str, arguments: str):
    assert parsed(format, f'[{{"name": "weather", "arguments": {arguments}}}]') == ("", [("weather", {})])


@pytest.mark.parametrize(("format", "text"), [("hermes", MARKED_CALL), ("llama", WRITTEN), ("mistral", f"[{WRITTEN}]")])
def test_a_call_that_is_cut_off_is_no_text(format, text: str):
    parser = ToolParser(format, {"write"})
    begins = text.index('"')
    assert {parser.parse(text[:size], True).text for size in range(begins, len(text) + 1)} == {""}
    assert parser.parse(f"Look: {text[: len(text) // 2]}", True).text == (
        "Look:" if format == "hermes" else f"Look: {text[: len(text) // 2]}"
    )


@pytest.mark.parametrize(
    "text", ["[", "[ ", '{"city": "K', '{"na": 1', '{"name": "Ann', "[1, 2", '{"answer": [TOOL_CALLS]']
)
@pytest.mark.parametrize("format", ["llama", "mistral"])
def test_json_that_was_asked_for_stays_text_when_it_is_cut_off(format, text: str):
    assert parsed(format, text) == (text, [])


@pytest.mark.parametrize("text", ["Write <function=name> there.", "<function=other>\n</function>", "a <func", "<b>"])
def test_what_begins_like_a_call_without_its_mark_is_text(text: str):
    assert parsed("qwen-xml", text) == (text, [])
    assert parsed("qwen-xml", f"{text}\n{XML}") == (text, [("weather", ARGUMENTS)])


def test_a_call_is_read_behind_a_mark_without_one():
    assert parsed("hermes", f"<tool_call>oops\n<tool_call>more {CALL}") == (
        "<tool_call>oops\n<tool_call>more",
        [("weather", {"city": "Köln"})],
    )


def test_a_text_may_stand_before_mistrals_mark():
    said = f"Let me see. [TOOL_CALLS] [{json.dumps(WEATHER)}]"
    assert parsed("mistral", said) == ("Let me see.", [("weather", {"city": "Köln"})])


def test_ids_are_what_mistrals_template_asks_for():
    (call,) = ToolParser("mistral", {"weather"}).parse(f"[{json.dumps(WEATHER)}]", True).calls
    assert len(call.id) == 9 and call.id.isalnum()


def in_letters(lark: str | None) -> str:
    """The text that a part of a grammar stands for."""
    parts = MARKED.sub(lambda mark: json.dumps(mark[1]), lark or "")
    return "".join(json.loads(part) for part in re.findall(r'"(?:[^"\\]|\\.)*"', parts))


@pytest.mark.parametrize("format", [name for name, own in TOOL_FORMATS.items() if name != "harmony" and not own.call])
def test_forced_calls_are_ones_that_are_read(format: str):
    """Those in a notation of their own are in tests/answering/test_notations.py."""
    (form,) = forced_calls(format, [("weather", {"type": "object"}), ("time", {})], several=True)
    assert isinstance(form, Form) and isinstance(form.schema, dict)
    key = form.schema["anyOf"][0]["required"][1]
    calls = [f'{{"name": "{name}", "{key}": {{"city": "Köln"}}}}' for name in ("weather", "time")]
    before, between, after = map(in_letters, (form.before, form.between, form.after))
    assert parsed(format, before + calls[0] + after) == ("", [("weather", {"city": "Köln"})])
    both = [("weather", {"city": "Köln"}), ("time", {"city": "Köln"})]
    assert parsed(format, before + between.join(calls) + after) == ("", both)


def test_one_forced_call_is_the_only_one():
    (form,) = forced_calls("hermes", [("weather", {})])
    assert isinstance(form, Form)
    assert form.rule("value") == '⟦<tool_call>⟧ "\\n" value "\\n" ⟦</tool_call>⟧'
    (form,) = forced_calls("mistral", [("weather", {})], several=True)
    assert isinstance(form, Form) and form.rule("value") == '"[" value (", " value){0,7} "]"'


@pytest.mark.parametrize("parameters", [{"properties": {"a-b": {}}}, {"required": ["a-b"]}, {"required": ["class"]}])
def test_a_call_with_a_name_that_python_can_not_say_is_json(parameters: dict):
    (form,) = forced_calls("lfm", [("f", {"type": "object", **parameters})])
    assert isinstance(form, Form) and form.notation == "json"
    (own,) = forced_calls("lfm", [("f", {"type": "object", "required": ["a_b"]})])
    assert isinstance(own, Repeated)


def test_each_tool_keeps_its_own_definitions():
    def parameters(type: str) -> dict:
        item = {"$ref": "#/$defs/Item"}
        return {"type": "object", "properties": {"x": item}, "$defs": {"Item": {"type": type}}}

    (form,) = forced_calls("hermes", [("a", parameters("integer")), ("b", parameters("string"))])
    assert isinstance(form, Form)
    schema = form.schema
    assert isinstance(schema, dict)
    for call, good, bad in zip(schema["anyOf"], (1, "s"), ("s", 1), strict=True):
        validator = Draft202012Validator({**call, "$defs": schema["$defs"]})
        name = call["properties"]["name"]["const"]
        assert validator.is_valid({"name": name, "arguments": {"x": good}})
        assert not validator.is_valid({"name": name, "arguments": {"x": bad}})


# Of each format, calls as models write them; the arguments have a text with quotes, an object and a list.

ARGUMENTS = {"city": 'Köln "am Rhein"', "days": 3, "units": ["C", "F"], "at": {"exact": True}}
AS_JSON = json.dumps(ARGUMENTS, ensure_ascii=False)
PARAMETERS = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"$ref": "#/$defs/Days"},
        "units": {"type": "array"},
        "at": {"anyOf": [{"type": "object"}, {"type": "null"}]},
    },
    "$defs": {"Days": {"type": "integer"}},
}
OBJECT = f'{{"name": "weather", "arguments": {AS_JSON}}}'
VALUES = {"city": 'Köln "am Rhein"', "days": "3", "units": '["C", "F"]', "at": '{"exact": true}'}
ELEMENTS = "".join(f"<parameter={name}>\n{value}\n</parameter>\n" for name, value in VALUES.items())
XML = f"<tool_call>\n<function=weather>\n{ELEMENTS}</function>\n</tool_call>"
GEMMA = 'call:weather{city:Qköln "am Rhein"Q,days:3,units:[QCQ,QFQ],at:{exact:true}}'.replace("Qk", "QK")
PYTHON = """weather(city='Köln "am Rhein"', days=3, units=["C", 'F'], at={"exact": True})"""
DEEPSEEK_3 = f"<｜tool▁call▁begin｜>function<｜tool▁sep｜>weather\n```json\n{AS_JSON}\n```<｜tool▁call▁end｜>"
DEEPSEEK_31 = f"<｜tool▁call▁begin｜>weather<｜tool▁sep｜>{AS_JSON}<｜tool▁call▁end｜>"
WRITTEN_CALLS = {
    "hermes": ("hermes", f"<tool_call>\n{OBJECT}\n</tool_call>", "\n"),
    "qwen-xml": ("qwen-xml", XML, "\n"),
    "seed-xml": ("seed-xml", XML.replace("tool_call", "seed:tool_call"), "\n"),
    "qwen-xml without its first mark": ("qwen-xml", XML.removeprefix("<tool_call>\n"), "\n"),
    "qwen-xml with JSON": ("qwen-xml", f"<tool_call>\n{OBJECT}\n</tool_call>", "\n"),
    "llama": ("llama", OBJECT.replace("arguments", "parameters"), "; "),
    "llama with a type": ("llama", OBJECT.replace("{", '{"type": "function", ', 1), "\n"),
    "mistral-named": ("mistral-named", f"[TOOL_CALLS]weather[ARGS]{AS_JSON}", ""),
    "mistral-named with an id": ("mistral-named", f"[TOOL_CALLS]weather[CALL_ID]a1b2c3d4e[ARGS]{AS_JSON}", ""),
    "gemma": ("gemma", f"<|tool_call>{GEMMA.replace('Q', '<|' + chr(34) + '|>')}<tool_call|>", ""),
    "function-gemma": (
        "function-gemma",
        f"<start_function_call>{GEMMA.replace('Q', '<escape>')}<end_function_call>",
        "",
    ),
    "lfm": ("lfm", f"<|tool_call_start|>[{PYTHON}]<|tool_call_end|>", "\n"),
    "lfm with JSON": ("lfm", f"<|tool_call_start|>[{OBJECT}]<|tool_call_end|>", "\n"),
    "deepseek 3": ("deepseek", DEEPSEEK_3, "\n"),
    "deepseek 3.1": ("deepseek", DEEPSEEK_31, ""),
    "bare JSON": ("deepseek", OBJECT, "\n"),
}
LISTS = {
    "mistral": ("mistral", f"[TOOL_CALLS] [{OBJECT}, {OBJECT}]"),
    "granite": ("granite", f"<|tool_call|>[{OBJECT}, {OBJECT}]"),
    "phi": ("phi", f"<|tool_call|>[{OBJECT}, {OBJECT}]<|/tool_call|>"),
    "lfm": ("lfm", f"<|tool_call_start|>[{PYTHON}, {PYTHON}]<|tool_call_end|>"),
    "deepseek": ("deepseek", f"<｜tool▁calls▁begin｜>{DEEPSEEK_3}\n{DEEPSEEK_3}<｜tool▁calls▁end｜>"),
    "bare": ("json", f"[{OBJECT}, {OBJECT}]"),
    "mistral-named as before": ("mistral-named", f"[TOOL_CALLS] [{OBJECT}, {OBJECT}]"),
}
BOTH = {name: (format, f"{call}{between}{call}") for name, (format, call, between) in WRITTEN_CALLS.items()}


@pytest.mark.parametrize(
    ("format", "text"), [*BOTH.values(), *LISTS.values()], ids=[*BOTH, *(f"{n} list" for n in LISTS)]
)
def test_each_format_is_read_and_its_arguments_stream(format: str, text: str):
    parser = ToolParser(format, {"weather": PARAMETERS})
    written = ["", ""]
    calls: Sequence[ToolCall] = ()
    for size in [*range(1, len(text)), len(text)]:
        state = parser.parse(text[:size], False)
        assert state.text == ""
        assert state.calls[: len(calls)] == calls
        calls = state.calls
        for index, call in enumerate([*state.calls, *filter(None, [state.begun])]):
            assert call.name == "weather" and call.arguments.startswith(written[index]), "what was sent stays"
            written[index] = call.arguments
    result = parser.parse(text, True)
    assert result.text == "" and result.begun is None
    assert [json.loads(call.arguments) for call in result.calls] == [ARGUMENTS] * 2
    assert [call.arguments for call in result.calls] == written and len({call.id for call in result.calls}) == 2


@pytest.mark.parametrize(("format", "call"), [(f, c) for f, c, _ in WRITTEN_CALLS.values()], ids=[*WRITTEN_CALLS])
def test_a_call_that_is_cut_off_is_neither_text_nor_a_call(format: str, call: str):
    begins = call.find("weather") + len("weather")
    for size in range(begins, len(call) - 1):
        result = ToolParser(format, {"weather": PARAMETERS}).parse(call[:size], True)
        assert result.text == "" and result.begun is None
        assert all(json.loads(each.arguments) == ARGUMENTS for each in result.calls)


@pytest.mark.parametrize("special", [False, True], ids=["text", "control tokens"])
@pytest.mark.parametrize(
    ("format", "text"), [*BOTH.values(), *LISTS.values()], ids=[*BOTH, *(f"{n} list" for n in LISTS)]
)
def test_calls_are_read_whatever_the_type_of_their_marks_tokens(format: str, text: str, special: bool):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({token: id for id, token in enumerate(alphabet)}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    marks = re.findall(r"<[|｜][^|｜<>\"]+[|｜]>|<\|\"\|>|<\|?/?[a-z_:]+\|?>|\[[A-Z_]+\]", text)
    backend.add_tokens([AddedToken(mark, special=special, normalized=False) for mark in dict.fromkeys(marks)])
    tokenizer = PlainTokenizer(backend, None, {})
    stream, parser = StreamingDetokenizer(tokenizer), ToolParser(format, {"weather": PARAMETERS})
    for token in tokenizer(text, add_special_tokens=False)["input_ids"]:
        stream.add_token(token)
        assert parser.parse(stream.text, False).text == ""
    stream.finalize()
    result = parser.parse(stream.text, True)
    assert result.text == "" and [json.loads(call.arguments) for call in result.calls] == [ARGUMENTS] * 2


@pytest.mark.parametrize("text", ["<｜tool▁calls▁begin｜>Hi <｜tool▁calls▁end｜> there \n", "<｜tool▁calls▁begin｜>"])
def test_marks_around_no_calls_are_not_shown_either_in_a_text_that_grows(text: str):
    parser = ToolParser("deepseek", {"weather"})
    states = [parser.parse(text[:size], False).text for size in range(len(text) + 1)] + [parser.parse(text, True).text]
    assert all(after.startswith(before) for before, after in pairwise(states))
    assert states[-1] == text.replace("<｜tool▁calls▁begin｜>", "").replace("<｜tool▁calls▁end｜>", "")


@pytest.mark.parametrize(("format", "call"), [(f, c) for f, c, _ in WRITTEN_CALLS.values()], ids=[*WRITTEN_CALLS])
def test_a_call_of_another_function_is_text(format: str, call: str):
    assert ToolParser(format, {"time"}).parse(call, True).text == call
    states = [ToolParser(format, {"time"}).parse(call[:size], False).text for size in range(len(call) + 1)]
    assert all(after.startswith(before) for before, after in pairwise(states))


@pytest.mark.parametrize(
    ("value", "schema", "expected"),
    [
        ("5", {"type": "string"}, "5"),
        ("5", {"type": "integer"}, 5),
        ("5", {}, 5),
        ("five", {}, "five"),
        ("five", {"type": "integer"}, "five"),
        ("True", {"type": "boolean"}, True),
        ("None", {"type": ["integer", "null"]}, None),
        ("x\n\ny", {"type": ["string", "null"]}, "x\n\ny"),
        ('"x"', {"type": ["string", "null"]}, '"x"'),
        ("1", {"enum": ["1", "2"]}, "1"),
        ("5 apples", {}, "5 apples"),
        ("5", {"type": ["string", "null"]}, "5"),
        ("5", {"anyOf": [{"type": "string"}, {"type": "null"}]}, "5"),
        ("true", {"oneOf": [{"type": "string"}, {"type": "null"}]}, "true"),
        ("True", {"type": ["string", "null"]}, "True"),
        ("null", {"anyOf": [{"type": "string"}, {"type": "null"}]}, None),
        ("5", {"anyOf": [{"type": "string"}, {"type": "integer"}]}, 5),
        ("5.5", {"type": ["string", "integer"]}, "5.5"),
        ("[1]", {"oneOf": [{"type": "string"}, {"type": "array"}]}, [1]),
        ("{}", {"type": ["string", "array"]}, "{}"),
        ('{"a": 1}', {"type": ["object", "string"]}, {"a": 1}),
        ("True", {"anyOf": [{"type": "string"}, {"type": "boolean"}]}, True),
        ("1.5", {"type": ["number", "string"]}, 1.5),
        ("1", {"enum": ["1", 2]}, 1),
        ("none", {"type": ["string", "integer"]}, "none"),
        ("5", {"anyOf": [{"type": "string"}, {"type": "number"}]}, 5),
        ("5.0", {"anyOf": [{"type": "string"}, {"type": "integer"}]}, "5.0"),
        ("5", {"anyOf": [{"$ref": "#/$defs/Text"}, {"type": "null"}], "$defs": {"Text": {"type": "string"}}}, "5"),
        ("5", {"allOf": [{"$ref": "#/$defs/Text"}], "$defs": {"Text": {"const": "5"}}}, "5"),
        ("['a', None, True]", {"type": "array"}, ["a", None, True]),
        ("{'a': 1", {"type": "object"}, "{'a': 1"),
        ("[f(x)]", {"type": "array"}, "[f(x)]"),
    ],
)
def test_a_value_without_a_type_gets_that_of_its_schema(value: str, schema: dict, expected: object):
    found = as_type(value, types_of(schema, schema))
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(
    ("format", "text"),
    [
        ("hermes", '<tool_call>{"name": "weath", "arguments": {"city": "K"'),
        ("hermes", '<tool_call>{"name": "weather", "arguments": {"city": NaN, "days": 1'),
        ("mistral-named", "[TOOL_CALLS]weather[ARGS]{city: 1"),
        ("mistral-named", '[TOOL_CALLS]weather[ARGS]{"city": Infinity, '),
        ("deepseek", "<｜tool▁call▁begin｜>weather<｜tool▁sep｜>{city"),
    ],
)
def test_nothing_is_sent_of_a_call_that_can_not_become_one(format: str, text: str):
    state = ToolParser(format, {"weather"}).parse(text, False)
    assert (state.calls, state.begun) == ((), None)


EXAMPLE = (
    "<tool_call>\n<function=f>\n<parameter=a>\n1\n</parameter>\n<parameter=b>2</parameter>\n</function>\n</tool_call>"
)


@pytest.mark.parametrize(
    "value",
    [
        "a </parameter> b",
        "a </parameter>\n</function> b",
        "a </function>\n</tool_call> b",
        f"Write it so:\n{EXAMPLE}\nOnly so.",
        f"{EXAMPLE}\n{EXAMPLE}",
        EXAMPLE,
        "",
        "\n",
    ],
)
@pytest.mark.parametrize("end", ["\n</function>\n</tool_call>", "</function></tool_call>", "\n</function>\n"])
def test_what_ends_elements_is_a_part_of_a_value_that_a_model_writes_about_calls(value: str, end: str):
    after = "<parameter=days>\n3\n</parameter>"
    text = f"<tool_call>\n<function=weather>\n<parameter=city>\n{value}\n</parameter>\n{after}{end}"
    parser = ToolParser("qwen-xml", {"weather": PARAMETERS})
    states = [parser.parse(text[:size], False) for size in range(len(text) + 1)]
    for before, later in pairwise([*states, parser.parse(text, True)]):
        assert later.text == "" and later.calls[: len(before.calls)] == before.calls
    (found,) = parser.parse(text, True).calls
    assert json.loads(found.arguments) == {"city": value, "days": 3}


def test_an_opening_without_an_end_is_a_part_of_a_value_once_the_answer_has_ended():
    call = XML.replace("Köln", "begin with <parameter=name>")
    parser = ToolParser("qwen-xml", {"weather": PARAMETERS})
    (found,) = parser.parse(call, True).calls
    assert json.loads(found.arguments) == {**ARGUMENTS, "city": 'begin with <parameter=name> "am Rhein"'}
    assert parser.parse(call, False).text == ""


def test_a_reference_that_leads_to_itself_is_a_schema_of_any_value():
    circle = {"type": "object", "properties": {"city": {"$ref": "#/properties/city"}}}
    (found,) = ToolParser("qwen-xml", {"weather": circle}).parse(XML, True).calls
    assert json.loads(found.arguments)["city"] == ARGUMENTS["city"]


QUOTE = TOOL_FORMATS["gemma"].quote


@pytest.mark.parametrize(
    ("format", "call", "arguments"),
    [
        ("lfm", '[weather(city="a <|tool_call_end|> b")]', {"city": "a <|tool_call_end|> b"}),
        ("lfm", '[weather(x=true, y=[null, False], z={"a": 1})]', {"x": True, "y": [None, False], "z": {"a": 1}}),
        ("gemma", f"call:weather{{{QUOTE}a b{QUOTE}: 1, {QUOTE},}}{QUOTE}:{QUOTE}x{QUOTE}}}", {"a b": 1, ",}": "x"}),
        ("gemma", 'call:weather{"a b": "x, }", c:[1,{d:true}]}', {"a b": "x, }", "c": [1, {"d": True}]}),
    ],
)  # fmt: skip
def test_values_and_names_are_read_whatever_is_in_them(format: str, call: str, arguments: dict):
    own = TOOL_FORMATS[format]
    assert parsed(format, own.start + call + own.end) == ("", [("weather", arguments)])


@pytest.mark.parametrize(
    ("format", "call"),
    [
        ("lfm", '[weather(**{"a": 1})]<|tool_call_end|>'),
        ("lfm", '[weather("Rome")]<|tool_call_end|>'),
        ("gemma", "call:weather{no colon} and more"),
        ("gemma", "call:weather{" + "word " * 60),
    ],
)
def test_what_has_no_names_for_its_values_is_no_call(format: str, call: str):
    text = TOOL_FORMATS[format].start + call
    assert parsed(format, text) == (text, [])


@pytest.mark.parametrize("value", ["1e400", "-1e400", "[1e999, {'a': -1e999}]"])
def test_a_number_that_no_float_holds_is_the_largest_in_calls_of_python(value: str):
    text = f"<|tool_call_start|>[weather(x={value})]<|tool_call_end|>"
    (call,) = ToolParser("lfm", {"weather"}).parse(text, True).calls
    assert "1.7976931348623157e+308" in call.arguments and "nfinity" not in call.arguments


@pytest.mark.parametrize("value", ["NaN", "2j", "b'x'", "{1, 2}", "...", "f(1)", "'x"])
def test_a_call_of_python_that_no_json_says_is_text(value: str):
    text = f"<|tool_call_start|>[weather(x={value})]<|tool_call_end|>"
    parser = ToolParser("lfm", {"weather"})
    assert parsed("lfm", text) == (text, [])
    assert all(text.startswith(parser.parse(text[:size], False).text) for size in range(len(text) + 1))


@pytest.mark.parametrize("format", TOOL_FORMATS)
@pytest.mark.parametrize(
    "text",
    ["[1, 2, 3]", '{"answer": 5}', "[see above]", "Just text with a < b and [x].", "call:weather", '{"name": "x"}'],
)
def test_other_texts_are_text_at_once(format: str, text: str):
    assert parsed(format, text) == (text, [])
    states = [ToolParser(format, {"weather"}).parse(text[:size], False).text for size in range(len(text) + 1)]
    assert all(after.startswith(before) for before, after in pairwise(states)) and text.startswith(states[-1])


@pytest.mark.parametrize("format", TOOL_FORMATS)
def test_deeply_nested_answers_are_text(format: str):
    start = TOOL_FORMATS[format].start
    for text in ("[" * 50_000, f"{start}call:weather{{a:" + "[" * 50_000, f"{start}weather[ARGS]" + '{"a":' * 50_000):
        ToolParser(format, {"weather"}).parse(text, True)
