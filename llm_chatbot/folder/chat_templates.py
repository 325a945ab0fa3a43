"""The chat templates in a folder, and the form of messages that a template expects.

Most templates take the content of a message as text, the arguments of a call as an object and any id. Those that don't
are found out as llama.cpp does it: a probe conversation is rendered, and its texts are looked for in the result.
See `caps` in https://github.com/ggml-org/llama.cpp/blob/master/common/jinja.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any, Literal

from llm_chatbot.machine.json_object import json_object

# Names of templates: the one for every conversation, and the one for conversations with tools.
DEFAULT, TOOL_USE = "default", "tool_use"

# Where Transformers keeps a template, and those of other names.
TEMPLATE_FILE, MORE_TEMPLATES = "chat_template.jinja", "additional_chat_templates"

# Where older checkpoints keep it: an object with the entry "chat_template".
OLD_TEMPLATE_FILE = "chat_template.json"

# One template, or several by their names, as in Transformers.
Templates = str | dict[str, str] | None

# Returns the text of a conversation; None if the template refuses it or fails.
Render = Callable[[Sequence[Mapping[str, Any]], Mapping[str, Any]], str | None]

# What the probes say.
SAID, CALLED, GIVEN, KEY, RESULT = "Probe1question", "probe2call", "probe3value", "probe4key", "probe5result"
NAMED, RULE = "probe6name", "probe7rule"
TURNS = (("user", "Probe8before"), ("assistant", "Probe9answer"))

CALL_ID, SHORT_ID, SHORTEST_ID = "call_abcdefghijklmnopqrst", "abcdEFG12", "1"

# Which ids of calls a template takes, and those that are tried for it.
CallIds = Literal["any", "named", "nine"]
TRIED_IDS: dict[CallIds, tuple[str | None, ...]] = {
    "any": (CALL_ID, SHORTEST_ID, None),
    "named": (CALL_ID, SHORTEST_ID),
    "nine": (SHORT_ID,),
}

# How a template shows an id that it cuts off: two ids may look alike then.
PARTS_OF_ID = (CALL_ID[:9], CALL_ID[-9:])

PROBE_TOOL = {
    "type": "function",
    "function": {
        "name": CALLED,
        "description": "A probe",
        "parameters": {"type": "object", "properties": {KEY: {"type": "string"}}, "required": [KEY]},
    },
}


@dataclass(frozen=True)
class TemplateForm:
    """The form of messages that a template expects.

    Attributes:
        shows_messages: whether the text of a message arrives in the prompt; a template that refuses the probe is
            believed to.
        content_parts: the roles whose content is a list of parts like `{"type": "text", "text": …}`.
        call_ids: which ids of calls it takes: "any", also none; "named": each call has one; "nine": those of nine
            letters or digits, because others are refused, or shown only in part.
        text_arguments: whether the arguments of a call are JSON text, and not an object.
        shows_names: whether the `name` of a message of the user arrives in the prompt.
        takes_system: whether the text of a system message at the beginning does.
        takes_later_system: whether that of one between the turns does too.
        takes_turns: whether what was said in earlier turns does.
    """

    shows_messages: bool = True
    content_parts: frozenset[str] = frozenset()
    call_ids: CallIds = "any"
    text_arguments: bool = False
    shows_names: bool = False
    takes_system: bool = False
    takes_later_system: bool = False
    takes_turns: bool = True


def read_templates(folder: Path, settings: Mapping[str, Any]) -> Templates:
    """The chat templates in a folder: in its files, and without a default one there, in the tokenizer's settings.

    Args:
        settings: the content of `tokenizer_config.json`.

    Returns:
        A template; several by their names, where there are more than one; None if there is none.

    Raises:
        ValueError: a file does not hold a template.
        LookupError, TypeError: the entry of the settings has another form.
    """
    named = {path.stem: path.read_text(encoding="utf-8") for path in sorted((folder / MORE_TEMPLATES).glob("*.jinja"))}
    if (folder / TEMPLATE_FILE).is_file():
        named[DEFAULT] = (folder / TEMPLATE_FILE).read_text(encoding="utf-8")
    if DEFAULT in named:
        return only_one(named)
    found: Any = settings.get("chat_template")
    if found is None and (folder / OLD_TEMPLATE_FILE).is_file():
        found = json_object(folder / OLD_TEMPLATE_FILE).get("chat_template")
    if isinstance(found, list):
        found = {each["name"]: each["template"] for each in found}
    if named and found:
        found = {**(found if isinstance(found, dict) else {DEFAULT: found}), **named}
    return only_one(found or named)


def only_one(templates: Any) -> Templates:
    """The templates, with a lone one in place of a dictionary, and a default among several.

    Raises:
        TypeError: they are not templates.
    """
    if not isinstance(templates, dict):
        if not isinstance(templates, str | None):
            raise TypeError("a chat template is a text")
        return templates
    if not all(isinstance(text, str) for pair in templates.items() for text in pair):
        raise TypeError("a chat template is a text")
    if len(templates) < 2:
        return next(iter(templates.values()), None)
    return {DEFAULT: templates.get(TOOL_USE) or next(iter(templates.values())), **templates}


def template_for(templates: Templates, tools: bool) -> str | None:
    """The template of a conversation with or without tools."""
    if not isinstance(templates, dict):
        return templates
    return templates.get(TOOL_USE if tools else DEFAULT, templates[DEFAULT])


def form_of(render: Render) -> TemplateForm:
    """The form of messages that a template expects."""
    asked = _said("user", SAID)
    rendered = [render(in_parts([asked], roles), {}) for roles in ((), ("user",))]
    parts = _roles_with_parts(render)
    like_user = parts | ({"tool"} if "user" in parts else set())
    probes = [
        _Probe(render, roles, call_ids, text_arguments)
        for roles in (like_user, like_user ^ {"tool"})
        for text_arguments, call_ids in product((False, True), TRIED_IDS)
    ]
    shows_arguments = (probe for probe in probes if probe.shows_arguments())
    fitting = (probe for probe in probes if probe.shows_arguments() and probe.shows_result())
    probe = next(fitting, None) or next(shows_arguments, probes[0])
    is_shown = any(map(partial(_arrives, SAID), rendered))

    def arrive(*conversation: tuple[str, str]) -> bool:
        text = render(in_parts([_said(role, said) for role, said in conversation], parts), {})
        return all(_arrives(said, text) for _, said in conversation)

    return TemplateForm(
        shows_messages=is_shown or not any(each is not None for each in rendered),
        content_parts=probe.content_parts,
        call_ids=probe.call_ids,
        text_arguments=probe.text_arguments,
        shows_names=NAMED in (render(in_parts([{**asked, "name": NAMED}], parts), {}) or ""),
        takes_system=arrive(("system", RULE), ("user", SAID)),
        takes_later_system=arrive(*TURNS, ("system", RULE), ("user", SAID)),
        takes_turns=not is_shown or arrive(*TURNS, ("user", SAID)),
    )


def in_parts(messages: Sequence[Mapping[str, Any]], roles: Collection[str]) -> list[dict[str, Any]]:
    """The messages, with what those of these roles say as the only part of their content."""
    return [
        {**message, "content": [{"type": "text", "text": message["content"]}]}
        if message["role"] in roles and isinstance(message.get("content"), str)
        else dict(message)
        for message in messages
    ]


def _said(role: str, text: str) -> dict[str, Any]:
    return {"role": role, "content": text}


def _arrives(text: str, rendered: str | None) -> bool:
    """Whether a text is in a prompt, and not as Python writes a part of a message."""
    return text in (rendered or "") and f"'text': '{text}'" not in (rendered or "")


def _roles_with_parts(render: Render) -> frozenset[str]:
    """The roles of which a text arrives in the prompt as a part, and not as it is."""
    asked, roles = _said("user", SAID), frozenset[str]()
    conversations = {
        "user": [asked],
        "system": [_said("system", RULE), asked],
        "assistant": [asked, _said("assistant", RULE), asked],
    }
    for role, conversation in conversations.items():
        text = SAID if role == "user" else RULE
        as_text, as_part = (render(in_parts(conversation, tried), {}) for tried in (roles, roles | {role}))
        if _arrives(text, as_part) and not _arrives(text, as_text):
            roles |= {role}
    return roles


@dataclass(frozen=True)
class _Probe:
    """A conversation with a call, in a form that a template may expect."""

    render: Render
    content_parts: frozenset[str]
    call_ids: CallIds
    text_arguments: bool

    def shows_arguments(self) -> bool:
        """Whether the arguments arrive in the prompt, and neither as JSON in a text nor as Python writes them."""
        wrong = (rf"\"{KEY}\": \"{GIVEN}\"", f"'{KEY}': '{GIVEN}'")
        is_part = CALL_ID not in self._rendered[0] and any(part in self._rendered[0] for part in PARTS_OF_ID)
        return not is_part and all(
            GIVEN in rendered and not any(spelling in rendered for spelling in wrong) for rendered in self._rendered
        )

    def shows_result(self) -> bool:
        return all(_arrives(RESULT, rendered) for rendered in self._rendered)

    @cached_property
    def _rendered(self) -> list[str]:
        return [self._with_id(id) for id in TRIED_IDS[self.call_ids]]

    def _with_id(self, id: str | None) -> str:
        arguments = {KEY: GIVEN}
        function = {"name": CALLED, "arguments": json.dumps(arguments) if self.text_arguments else arguments}
        named, answers = ({}, {}) if id is None else ({"id": id}, {"tool_call_id": id})
        messages = [
            _said("user", SAID),
            {**_said("assistant", ""), "tool_calls": [{**named, "type": "function", "function": function}]},
            {**_said("tool", RESULT), **answers, "name": CALLED},
        ]
        return self.render(in_parts(messages, self.content_parts), {"tools": [PROBE_TOOL]}) or ""
