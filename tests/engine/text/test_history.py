import json
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors

from llm_chatbot.engine.text.control_tokens import plain_ids
from llm_chatbot.engine.text.history import with_objects
from llm_chatbot.engine.text.prompt import completion_ids, prompt_ids
from llm_chatbot.engine.text.tokenizer import FolderTokenizer
from llm_chatbot.errors import UserError

LONG_ID = "call_abcdefghijklmnopqrst"
TOOLS = {"tools": [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]}

# Calls with their arguments as JSON, as Qwen's and Llama's; key by key, as Qwen3-Coder's; as the text that they came
# in, as DeepSeek's.
CALLS = "{% for c in m.tool_calls or [] %}CALL{% endfor %}"
AS_JSON = CALLS.replace("CALL", "{{ c.function.arguments | tojson }}")
BY_KEY = CALLS.replace("CALL", "{% for k, v in c.function.arguments | items %}<{{ k }}>{{ v }}</{{ k }}>{% endfor %}")
AS_TEXT = CALLS.replace("CALL", "{{ '```json\n' + c.function.arguments + '\n```' }}")
PRINTED = CALLS.replace("CALL", "{{ c.function.arguments }}")


def template(calls: str = AS_JSON, content: str = "{{ m.content or '' }}") -> str:
    return (
        "{% if tools %}{{ tools | tojson }}{% endif %}"
        "{% for m in messages %}[{{ m.role }}]" + content + calls + "{{ '\\n' }}{% endfor %}[assistant]"
    )


# Mistral's check of ids: https://huggingface.co/mistralai/Mistral-7B-Instruct-v0.3/blob/main/tokenizer_config.json
NINE_LETTERS = template(
    CALLS.replace(
        "CALL",
        "{% if c.id is not defined or c.id | length != 9 %}"
        "{{ raise_exception('Tool call IDs should be alphanumeric strings with length 9!') }}{% endif %}"
        "{{ c.function.arguments | tojson }}({{ c.id }})",
    )
    + "{% if m.role == 'tool' %}({{ m.tool_call_id }}){% endif %}"
)


def tokenizer(folder: Path, template: str) -> FolderTokenizer:
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    backend = Tokenizer(models.BPE({token: id for id, token in enumerate(["<s>", "<|end|>", *alphabet])}, []))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    backend.add_special_tokens(["<s>", "<|end|>"])
    backend.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"bos_token": "<s>"}), encoding="utf-8")
    (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
    return FolderTokenizer(folder)


def prompt(tokenizer: FolderTokenizer, messages: list[dict], options: dict | None = None) -> str:
    return tokenizer.decode(prompt_ids(tokenizer, messages, options or {}))


def use_of_a_tool(arguments: object = "{}", result: str = "21", id: str | None = LONG_ID) -> list[dict]:
    call = {"type": "function", "function": {"name": "weather", "arguments": arguments}, **({"id": id} if id else {})}
    answered = {"tool_call_id": id} if id else {}
    return [
        {"role": "user", "content": "How warm is it?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": result, **answered},
        {"role": "user", "content": "And now?"},
    ]


@pytest.mark.parametrize("arguments", ["", " ", "{}", {}])
@pytest.mark.parametrize("calls", [AS_JSON, BY_KEY, AS_TEXT])
def test_no_arguments_are_an_empty_object(arguments: object, calls: str, tmp_path: Path):
    text = prompt(tokenizer(tmp_path, template(calls)), use_of_a_tool(arguments))
    assert ("<" in text) == ("{}" not in text) or calls is BY_KEY
    assert '"' not in text


@pytest.mark.parametrize(
    "arguments", ['{"a": 1', '"Paris"', "[1]", "1", "null", "true", "NaN", '{"a": NaN}', [1], None]
)
def test_arguments_that_are_no_object_are_refused_by_their_place(arguments: object, tmp_path: Path):
    messages = use_of_a_tool(arguments)
    for calls in (AS_JSON, BY_KEY):
        with pytest.raises(UserError, match=r"^messages\.1\.tool_calls\.0\.function\.arguments is not a JSON object; "):
            prompt_ids(tokenizer(tmp_path, template(calls)), messages)
    messages[1]["tool_calls"].insert(0, {"function": {"name": "clock", "arguments": "{}"}})
    with pytest.raises(UserError, match=r"^messages\.1\.tool_calls\.1\."):
        with_objects(messages)


@pytest.mark.parametrize("arguments", ['{"city": "Pa\\u0072is", "days": [1]}', {"city": "Paris", "days": [1]}])
@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        (AS_JSON, '{"city": "Paris", "days": [1]}'),
        (BY_KEY, "<city>Paris</city><days>[1]</days>"),
        (AS_TEXT, '```json\n{"city": "Paris", "days": [1]}\n```'),
        (PRINTED, '{"city": "Paris", "days": [1]}'),
    ],
    ids=["as JSON", "by key", "as text", "printed"],
)
def test_arguments_have_the_form_that_the_template_expects(
    arguments: object, calls: str, expected: str, tmp_path: Path
):
    assert f"[assistant]{expected}\n" in prompt(tokenizer(tmp_path, template(calls)), use_of_a_tool(arguments))


def test_ids_get_nine_letters_where_the_template_wants_them_and_results_keep_their_calls(tmp_path: Path):
    nine = tokenizer(tmp_path, NINE_LETTERS)
    for id in (LONG_ID, "toolu_01A09q90qw90lq917835lq9", None, "", "é" * 9):
        text = prompt(nine, use_of_a_tool(id=id))
        called, answered = (part.partition(")")[0] for part in text.split("(")[1:])
        assert called == answered and len(called) == 9 and called.isascii() and called.isalnum()
        assert prompt(nine, use_of_a_tool(id=id)) == text
    assert prompt(nine, use_of_a_tool(id="abcDEF123")).count("(abcDEF123)") == 2


def test_several_calls_keep_ids_of_their_own(tmp_path: Path):
    calls: list[dict[str, Any]] = [
        {"id": f"call_{i}", "function": {"name": "weather", "arguments": {"n": i}}} for i in range(3)
    ]
    results = [{"role": "tool", "tool_call_id": f"call_{i}", "content": str(i)} for i in (2, 0, 1)]
    asked: list[Any] = [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": calls}]
    messages: list[dict[str, Any]] = [*asked, *results]
    nine = tokenizer(tmp_path, NINE_LETTERS)
    lines = prompt(nine, messages).splitlines()
    ids = [part.partition(")")[0] for part in lines[1].split("(")[1:]]
    assert len(set(ids)) == 3
    assert lines[2:5] == [f"[tool]{i}({ids[i]})" for i in (2, 0, 1)]
    unnamed = [{name: value for name, value in message.items() if name != "tool_call_id"} for message in messages]
    unnamed[1] = {**unnamed[1], "tool_calls": [{"function": call["function"]} for call in calls]}
    lines = prompt(nine, unnamed).splitlines()
    ids = [part.partition(")")[0] for part in lines[1].split("(")[1:]]
    assert len(set(ids)) == 3 and lines[2:5] == [f"[tool]{i}({id})" for i, id in zip((2, 0, 1), ids, strict=True)]


SHOWN_IDS = template(
    CALLS.replace("CALL", "{{ c.function.arguments | tojson }}(ID)") + "{% if m.role == 'tool' %}(RESULT){% endif %}"
)


def showing(id: str) -> str:
    """A template that shows the ids of calls and results so, `ID` being the id."""
    shown = f"{{{{ {id} }}}}"
    return SHOWN_IDS.replace("ID", shown.replace("ID", "c.id")).replace("RESULT", shown.replace("ID", "m.tool_call_id"))


# Mistral Small's check in https://github.com/vllm-project/vllm/blob/main/examples/tool_chat_template_mistral.jinja, and
# others that take an id only if there is one, or show a part of it.
AT_LEAST_NINE = "ID if ID is defined and ID | length >= 9 else raise_exception('At least 9 letters!')"
PARTS_OF_IDS = {
    "at least nine": AT_LEAST_NINE,
    "its last nine": AT_LEAST_NINE.replace("ID if", "ID[-9:] if"),
    "its first nine": "ID[:9]",
    "nine, or none": "ID if ID is not defined or ID | length == 9 else raise_exception('No.')",
}


@pytest.mark.parametrize("shown", PARTS_OF_IDS.values(), ids=[*PARTS_OF_IDS])
@pytest.mark.parametrize("ids", [("1", "2"), ("call_abcdefghi1", "call_abcdefghi2"), ("1bcdefghi", "2_call_bcdefghi")])
def test_calls_have_different_ids_where_a_template_takes_or_shows_only_a_part(ids: tuple, shown: str, tmp_path: Path):
    messages = [*use_of_a_tool(id=ids[0])[:3], *use_of_a_tool(id=ids[1])]
    first, first_result, second, second_result = (
        part.partition(")")[0] for part in prompt(tokenizer(tmp_path, showing(shown)), messages).split("(")[1:]
    )
    assert first == first_result != second == second_result and len(first) == len(second) == 9


def test_a_call_gets_an_id_where_the_template_wants_one_and_others_keep_theirs(tmp_path: Path):
    named = tokenizer(tmp_path, showing("ID if ID is defined else raise_exception('No.')"))
    assert (
        prompt(named, use_of_a_tool(id="1")).count("(1)") == prompt(named, use_of_a_tool()).count(f"({LONG_ID})") == 2
    )
    text = prompt(named, use_of_a_tool(id=None))
    called, answered = (part.partition(")")[0] for part in text.split("(")[1:])
    assert called == answered and len(called) == 9


def test_ids_stay_as_they_are_where_the_template_takes_them(tmp_path: Path):
    any_id = template(content="{{ m.content }}{% if m.tool_call_id %}({{ m.tool_call_id }}){% endif %}")
    assert f"({LONG_ID})" in prompt(tokenizer(tmp_path, any_id), use_of_a_tool())


PARTS = [
    "{% for part in m.content %}{% if part.type == 'text' %}{{ part.text }}{% endif %}{% endfor %}",
    "{% for part in m['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] | trim }}{% endfor %}",
    "{{ m.content[0].text }}",
]


@pytest.mark.parametrize("content", PARTS)
def test_a_template_that_reads_parts_gets_parts(content: str, tmp_path: Path):
    reads_parts = tokenizer(tmp_path, template(content=content))
    text = prompt(reads_parts, [{"role": "system", "content": "Be brief."}, *use_of_a_tool('{"a": 1}', "warm")])
    assert "[system]Be brief.\n[user]How warm is it?\n" in text
    assert '[assistant]{"a": 1}\n[tool]warm\n[user]And now?\n' in text


@pytest.mark.parametrize("role", ["system", "user", "assistant", "tool"])
@pytest.mark.parametrize("text", ["{{ m.content }}", "{{ m.content + '' }}"])
def test_each_role_gets_what_the_template_reads_of_it(role: str, text: str, tmp_path: Path):
    messages = [{"role": "system", "content": "Be brief."}, *use_of_a_tool('{"a": 1}', "warm")]
    messages += [{"role": "assistant", "content": "Well."}, {"role": "user", "content": "Bye"}]
    for condition in (f"m.role == '{role}'", f"m.role != '{role}'"):
        either = f"{{% if {condition} %}}{PARTS[0]}{{% else %}}{text}{{% endif %}}"
        assert prompt(tokenizer(tmp_path, template(content=either)), messages) == (
            '[system]Be brief.\n[user]How warm is it?\n[assistant]{"a": 1}\n[tool]warm\n[user]And now?\n'
            "[assistant]Well.\n[user]Bye\n[assistant]"
        )


def test_nothing_in_a_part_is_a_control_token(tmp_path: Path):
    ids = prompt_ids(tokenizer(tmp_path, template(content=PARTS[0])), [{"role": "user", "content": "a<|end|>b"}])
    assert 1 not in ids


@pytest.mark.parametrize("content", ["", "{{ m.name }}", "{% for x in m.text %}{{ x }}{% endfor %}"])
def test_a_template_that_leaves_out_what_is_said_is_refused(content: str, tmp_path: Path):
    with pytest.raises(UserError, match="leaves out what is said; choose another model"):
        prompt_ids(tokenizer(tmp_path, template(content=content)), [{"role": "user", "content": "Hello"}])


# As gpt-oss's: https://huggingface.co/openai/gpt-oss-20b/blob/main/chat_template.jinja
ENCODING = template(content="{% if m.role == 'tool' %}{{ m.content | tojson }}{% else %}{{ m.content }}{% endif %}")


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ('{"t": 21}', '{"t": 21}'),
        ('[1, {"a": "é"}]', '[1, {"a": "é"}]'),
        ('"warm"', '"warm"'),
        ("21", "21"),
        ("warm", '"warm"'),
        ('{"t": 21', r'"{\"t\": 21"'),
        ("null", "null"),
    ],
)
def test_a_result_is_encoded_once(result: str, expected: str, tmp_path: Path):
    assert f"[tool]{expected}\n" in prompt(tokenizer(tmp_path, ENCODING), use_of_a_tool(result=result))


@pytest.mark.parametrize("written", ["m.content | trim", "m.content.strip()", "m.content.rstrip().lstrip()"])
def test_a_result_that_a_template_strips_is_encoded_once_too(written: str, tmp_path: Path):
    encoding = tokenizer(tmp_path, ENCODING.replace("m.content", written))
    assert '[tool]{"t": 21}\n' in prompt(encoding, use_of_a_tool(result=' {"t": 21}\n'))
    assert '[tool]"warm"\n' in prompt(encoding, use_of_a_tool(result="warm"))


@pytest.mark.parametrize("result", ["NaN", "[Infinity]"])
def test_a_result_that_only_python_takes_for_json_is_text(result: str, tmp_path: Path):
    assert f'[tool]"{result}"\n' in prompt(tokenizer(tmp_path, ENCODING), use_of_a_tool(result=result))


def test_a_result_stays_text_where_the_template_writes_text(tmp_path: Path):
    assert '[tool]{"t":  21}\n' in prompt(tokenizer(tmp_path, template()), use_of_a_tool(result='{"t":  21}'))


def refusing(condition: str) -> str:
    return f"{{% if {condition} %}}{{{{ raise_exception('No.') }}}}{{% endif %}}" + template()


@pytest.mark.parametrize(
    ("condition", "messages", "remedy"),
    [
        ("messages[0].content == 's'", [{"role": "system", "content": "s"}], "try without a system prompt"),
        ("tools", [], "try without tools"),
        ("tools or messages[1].tool_calls", use_of_a_tool(), "try without tools, their calls and results"),
        ("true", [{"role": "system", "content": "s"}], "begin a new conversation, or choose another model"),
    ],
)
def test_the_remedy_fits_what_the_template_refuses(condition: str, messages: list, remedy: str, tmp_path: Path):
    folder_tokenizer = tokenizer(tmp_path, refusing(condition))
    with pytest.raises(UserError, match=rf"refuses: No\.; {remedy}\.$") as refused:
        prompt_ids(folder_tokenizer, [*messages, {"role": "user", "content": "Hello"}], TOOLS)
    assert ("system" in str(refused.value)) == ("system" in remedy)


def said(*parts: str) -> list[dict[str, Any]]:
    """Messages from texts that begin with the first letter of their role."""
    roles = {"s": "system", "u": "user", "a": "assistant"}
    return [{"role": roles[part[0]], "content": part} for part in parts]


ONLY_FIRST = "{% if not loop.first and m.role == 'system' %}{{ raise_exception('At the beginning only.') }}{% endif %}"
NOT_SHOWN = "{% if m.role != 'system' %}{{ m.content }}{% endif %}"
TAKING_SYSTEM = {
    "everywhere": template(),
    "at the beginning": template().replace("[{{ m.role }}]", ONLY_FIRST + "[{{ m.role }}]"),
    "nowhere": "{% if messages[0].role == 'system' %}{{ raise_exception('No.') }}{% endif %}"
    + template().replace("[{{ m.role }}]", ONLY_FIRST + "[{{ m.role }}]"),
    "without a word": template().replace("{{ m.content or '' }}", NOT_SHOWN),
}


@pytest.mark.parametrize(
    ("messages", "takes", "expected"),
    [
        (said("s", "u"), "everywhere", "[system]s|[user]u"),
        (said("s", "u", "a", "s2", "u2"), "everywhere", "[system]s|[user]u|[assistant]a|[system]s2|[user]u2"),
        (said("s", "u", "a", "s2", "u2"), "at the beginning", "[system]s|[user]u|[assistant]a|[user]s2//u2"),
        (said("s", "s2", "u"), "at the beginning", "[system]s//s2|[user]u"),
        (said("u", "s", "a", "u2"), "at the beginning", "[user]u//s|[assistant]a|[user]u2"),
        (said("u", "a", "u2", "s"), "at the beginning", "[user]u|[assistant]a|[user]u2//s"),
        (said("u", "a", "s", "a2", "u2"), "at the beginning", "[user]u|[assistant]a|[user]s|[assistant]a2|[user]u2"),
        (said("s", "u", "a", "s2", "s3", "u2"), "nowhere", "[user]s//u|[assistant]a|[user]s2//s3//u2"),
        (said("s", "a", "u"), "nowhere", "[user]s|[assistant]a|[user]u"),
        (said("s"), "nowhere", "[user]s"),
        (said("s", "u"), "without a word", "[user]s//u"),
    ],
)
def test_what_the_system_says_arrives_where_the_template_takes_it(
    messages: list, takes: str, expected: str, tmp_path: Path
):
    text = prompt(tokenizer(tmp_path, TAKING_SYSTEM[takes]), messages)
    assert text.removesuffix("\n[assistant]").replace("\n\n", "//").replace("\n", "|") == expected


def test_what_the_system_says_never_comes_between_a_call_and_its_result(tmp_path: Path):
    called = use_of_a_tool(result='{"t": 21}')[:3]
    messages = [*called[:2], {"role": "system", "content": "s"}, called[2]]
    text = prompt(tokenizer(tmp_path, TAKING_SYSTEM["at the beginning"]), messages)
    assert text.endswith('[tool]{"t": 21}\n\ns\n[assistant]')


ONE_MESSAGE = {
    "refuses": "{% if messages | length > 1 %}{{ raise_exception('One only.') }}{% endif %}{{ messages[0].content }}",
    "shows the first": "{{ messages[0].content }}",
    "shows the last": "{{ messages[-1].content }}",
    "shows questions": "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}",
}


@pytest.mark.parametrize("written", ONE_MESSAGE.values(), ids=[*ONE_MESSAGE])
def test_a_conversation_is_refused_where_a_template_takes_one_message(written: str, tmp_path: Path):
    own = tokenizer(tmp_path, written)
    assert prompt(own, said("u")) == "u"
    with pytest.raises(UserError, match=r"takes one message and no conversation; begin a new one for each question"):
        prompt_ids(own, said("u", "a", "u2"))


@pytest.mark.parametrize("start", ["{{ bos_token }}", "<s>", "<s>{{ bos_token }}"])
def test_a_prompt_begins_with_one_bos(start: str, tmp_path: Path):
    ids = prompt_ids(tokenizer(tmp_path, start + template()), [{"role": "user", "content": "<s>"}])
    assert ids[0] == 0 and ids.count(0) == 1


@pytest.mark.parametrize(
    ("written", "ids"), [("<s> $A", [0]), ("<s> $A <|end|>", [0]), ("$A <|end|>", []), ("<s> <|end|> $A", [0, 1])]
)
def test_a_text_that_is_continued_begins_as_every_text_and_does_not_end(written: str, ids: list[int], tmp_path: Path):
    own = tokenizer(tmp_path, template())
    special_tokens = [("<s>", 0), ("<|end|>", 1)]
    own.backend_tokenizer.post_processor = processors.TemplateProcessing(single=written, special_tokens=special_tokens)
    assert completion_ids(own, "<s>Hi") == [*ids, *plain_ids(own, "<s>Hi")]


def test_conversations_with_tools_have_the_template_for_them(tmp_path: Path):
    plain = tokenizer(tmp_path, "plain{{ messages[0].content }}")
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text(template(), encoding="utf-8")
    both = FolderTokenizer(tmp_path)
    hello = [{"role": "user", "content": "Hello"}]
    assert prompt(both, hello) == prompt(plain, hello) == "plainHello"
    assert prompt(both, hello, TOOLS).startswith('[{"type": "function"')
    (tmp_path / "chat_template.jinja").unlink()
    assert prompt(FolderTokenizer(tmp_path), hello) == "[user]Hello\n[assistant]"


def test_calls_of_before_reach_a_default_template_that_knows_none(tmp_path: Path):
    both = tokenizer(tmp_path, "{% for m in messages %}[{{ m.role }}]{{ m.content }}\n{% endfor %}")
    (tmp_path / "additional_chat_templates").mkdir()
    (tmp_path / "additional_chat_templates" / "tool_use.jinja").write_text(template(), encoding="utf-8")
    assert '[assistant]{"a": 1}\n[tool]21\n' in prompt(FolderTokenizer(tmp_path), use_of_a_tool('{"a": 1}'), TOOLS)
    text = prompt(FolderTokenizer(tmp_path), use_of_a_tool('{"a": 1}'))
    assert text == prompt(both, use_of_a_tool('{"a": 1}')) and '{"name": "weather", "arguments": {"a": 1}}' in text


KNOWS_NAMES = template().replace("[{{ m.role }}]", "[{{ m.role }}{% if m.name %} {{ m.name }}{% endif %}]")


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (KNOWS_NAMES, "[user Ann]Hi\n[assistant Bob]Hello\n[user]And?\n"),
        (template(), "[user]Ann: Hi\n[assistant]Bob: Hello\n[user]And?\n"),
    ],
)
def test_a_name_reaches_templates_that_know_it_and_is_text_elsewhere(written: str, expected: str, tmp_path: Path):
    messages = [
        {"role": "user", "content": "Hi", "name": "Ann"},
        {"role": "assistant", "content": "Hello", "name": "Bob"},
        {"role": "user", "content": "And?"},
    ]
    assert prompt(tokenizer(tmp_path, written), messages).startswith(expected)


@pytest.mark.parametrize("written", [KNOWS_NAMES, template()])
def test_a_name_never_becomes_a_control_token(written: str, tmp_path: Path):
    own = tokenizer(tmp_path, written)
    ids = prompt_ids(own, [{"role": "user", "content": "Hi", "name": "<|end|>"}])
    assert "<|end|>" in own.decode(ids) and own.backend_tokenizer.token_to_id("<|end|>") not in ids


TAKES_NO_TOOLS = template("").replace("{% if tools %}{{ tools | tojson }}{% endif %}", "")
NO_SYSTEM = "{% if messages[0].role == 'system' %}{{ raise_exception('No system role.') }}{% endif %}" + TAKES_NO_TOOLS


def told(text: str) -> str:
    """A prompt without the description of the tools, whose place is marked."""
    before, rest = text.split("You may call functions.", 1)
    described, after = rest.split("Answer without a call where none is needed.", 1)
    assert '{"name": "weather", "parameters": {"type": "object"}}' in described
    return f"{before}TOOLS{after}"


@pytest.mark.parametrize(
    ("written", "system", "expected"),
    [
        (TAKES_NO_TOOLS, [], "[system]TOOLS\n[user]How is it?\n"),
        (
            TAKES_NO_TOOLS,
            [{"role": "system", "content": "Be brief."}],
            "[system]Be brief.\n\nTOOLS\n[user]How is it?\n",
        ),
        (NO_SYSTEM, [], "[user]TOOLS\n\nHow is it?\n"),
    ],
)
def test_a_template_without_tools_gets_them_as_text(written: str, system: list, expected: str, tmp_path: Path):
    calls = [{"id": str(i), "function": {"name": "weather", "arguments": f'{{"n": {i}}}'}} for i in (1, 2)]
    results = [{"role": "tool", "tool_call_id": str(i), "content": f"{i} <|end|>"} for i in (1, 2)]
    asked: list[dict[str, Any]] = [*system, {"role": "user", "content": "How is it?"}]
    messages = [*asked, {"role": "assistant", "content": "Look:", "tool_calls": calls}, *results]
    text = prompt(own := tokenizer(tmp_path, written), messages, TOOLS)
    assert told(text) == expected + (
        '[assistant]Look:\n<tool_call>\n{"name": "weather", "arguments": {"n": 1}}\n</tool_call>\n'
        '<tool_call>\n{"name": "weather", "arguments": {"n": 2}}\n</tool_call>\n'
        "[user]<tool_response>\n1 <|end|>\n</tool_response>\n<tool_response>\n2 <|end|>\n</tool_response>\n[assistant]"
    )
    assert own.backend_tokenizer.token_to_id("<|end|>") not in prompt_ids(own, messages, TOOLS)


def test_calls_of_before_are_text_though_no_tools_are_offered_now(tmp_path: Path):
    text = prompt(tokenizer(tmp_path, TAKES_NO_TOOLS), use_of_a_tool())
    assert "<tool_call>" in text and "<tool_response>\n21\n</tool_response>" in text and "You may call" not in text


# As Gemma's and Mistral's templates check it.
STRICT = (
    "{% for m in messages if m.role != 'system' %}{% if (m.role == 'user') == loop.index0 % 2 %}"
    "{{ raise_exception('Roles must alternate') }}{% endif %}{% endfor %}"
)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("u1", "u2"), "[user]u1\n\nu2\n"),
        (("u1", "u2", "u3"), "[user]u1\n\nu2\n\nu3\n"),
        (("u1", "a1", "a2", "u2"), "[user]u1\n[assistant]a1\n\na2\n[user]u2\n"),
        (("a1", "u1"), "[user]\n[assistant]a1\n[user]u1\n"),
        (("s1", "a1", "u1", "u2"), "[system]s1\n[user]\n[assistant]a1\n[user]u1\n\nu2\n"),
        (("u1", "s1", "u2"), "[user]u1\n\ns1\n\nu2\n"),
        (("u1", "a1", "u2"), "[user]u1\n[assistant]a1\n[user]u2\n"),
    ],
)
def test_messages_take_turns_where_the_template_refuses_others(parts, expected: str, tmp_path: Path):
    strict = STRICT + TAKING_SYSTEM["at the beginning"]
    assert expected in prompt(tokenizer(tmp_path, strict), said(*parts))


# As Mistral's templates check it: they count neither calls nor results.
# https://github.com/ggml-org/llama.cpp/blob/master/models/templates/mistralai-Mistral-Small-3.1-24B-Instruct-2503.jinja
COUNTING = STRICT.replace("if m.role != 'system'", "if m.role not in ('system', 'tool') and not m.tool_calls")
NO_EMPTY_ANSWER = "{% for m in messages if m.role == 'assistant' and not m.content and not m.tool_calls %}"
NO_EMPTY_ANSWER += "{{ raise_exception('Say something') }}{% endfor %}"
CALLED = '[user]How warm is it?\n[assistant]{"a": 1}\n'


@pytest.mark.parametrize(
    ("checks", "left_out", "expected"),
    [
        ("", [], CALLED + "[tool]21\n[user]And now?\n"),
        (COUNTING, [], CALLED + "[tool]21\n[assistant]\n[user]And now?\n"),
        (COUNTING + NO_EMPTY_ANSWER, [], CALLED + "[tool]21\n\nAnd now?\n"),
        (COUNTING, [2], CALLED + "[assistant]\n[user]And now?\n"),  # the call was stopped
        (COUNTING, [3], CALLED + "[tool]21\n"),
    ],
)
def test_the_user_may_speak_after_a_tool(checks: str, left_out: list, expected: str, tmp_path: Path):
    messages = [each for place, each in enumerate(use_of_a_tool('{"a": 1}')) if place not in left_out]
    assert prompt(tokenizer(tmp_path, checks + template()), messages) == expected + "[assistant]"


@pytest.mark.parametrize("parts", [("u1", "u2"), ("a1", "u1"), ("u1", "a1", "a2", "u2")])
def test_messages_stay_apart_where_the_template_takes_them(parts, tmp_path: Path):
    expected = "".join(f"[{message['role']}]{message['content']}\n" for message in said(*parts))
    assert expected in prompt(tokenizer(tmp_path, template()), said(*parts))


def test_calls_are_kept_where_messages_of_the_assistant_become_one(tmp_path: Path):
    asked, called, result = use_of_a_tool('{"city": "Rome"}')[:3]
    strict = refusing("messages | length > 2 and messages[1].role == messages[2].role")
    messages = [asked, {"role": "assistant", "content": "Let me see."}, called, result]
    text = prompt(tokenizer(tmp_path, strict), messages)
    assert "[assistant]Let me see." in text and '"city"' in text
    assert text.replace("Let me see.", "") == prompt(tokenizer(tmp_path, strict), [asked, called, result])
