"""Messages in the form that a chat template expects. What clients send back differs from what models are trained on."""

import hashlib
import json
import string
from collections.abc import Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any

from llm_chatbot.errors import UserError
from llm_chatbot.folder.chat_templates import TemplateForm, in_parts
from llm_chatbot.machine.json_value import json_value

# As in Transformers: a "role" and a "content", which may be None beside "tool_calls".
Message = dict[str, Any]

# The words that stand for a part that is no text, in a conversation that goes on without it.
LEFT_OUT = "[{what} left out: it can't be read here]"

SHORT_ID_LENGTH = 9
SHORT_ID_LETTERS = string.ascii_letters + string.digits


def with_objects(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The messages with the arguments of each call as an object; no arguments are an empty one.

    Raises:
        UserError: the arguments of a call are something else; the sentence names their place.
    """
    return [
        {**message, "tool_calls": [_with_object(call, f"messages.{index}.tool_calls.{i}") for i, call in calls]}
        if (calls := list(enumerate(message.get("tool_calls") or [])))
        else dict(message)
        for index, message in enumerate(messages)
    ]


def _with_object(call: Mapping[str, Any], place: str) -> dict[str, Any]:
    function = call["function"]
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        arguments = _parsed_arguments(arguments) if arguments.strip() else {}
    if not isinstance(arguments, Mapping):
        raise UserError("prompt.arguments", place=f"{place}.function.arguments")
    return {**call, "function": {**function, "arguments": arguments}}


def _parsed_arguments(text: str) -> Any:
    """The value in a JSON text; None for a text that is no JSON."""
    try:
        return json_value(text)
    except json.JSONDecodeError:
        return None


def shaped(messages: Sequence[dict[str, Any]], form: TemplateForm) -> list[list[dict[str, Any]]]:
    """The messages in the form that a template expects, and where user and assistant don't take turns, in others.

    The first that the template takes is the prompt's: as they are, in turns, with an empty answer between a tool and
    the user, and with what the user says in the result before it.

    Args:
        messages: as `with_objects` returns them.
    """
    if form.call_ids != "any":
        messages = list(_with_ids(messages, keep=form.call_ids == "named"))
    messages = [_shaped(message, form) for message in messages]
    messages = with_system_in_turns(messages, form)
    turns = in_turns(messages)
    found: list[list[dict[str, Any]]] = []
    for each in (messages, turns, _with_answers_between(turns), _joined_to_results(turns)):
        if each not in found:
            found.append(each)
    return [in_parts(each, form.content_parts) for each in found]


def in_turns(messages: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages with those of one role that follow each other as one, and an empty one of the user before the first.

    Results of tools stay apart. The empty message is there only where a conversation begins with an answer.
    """
    turns: list[dict[str, Any]] = []
    for message in messages:
        if turns and message["role"] == turns[-1]["role"] != "tool":
            turns[-1] = _joined(turns[-1], message)
        else:
            turns.append(message)
    first = len(list(takewhile(lambda turn: turn["role"] == "system", turns)))
    if first < len(turns) and turns[first]["role"] == "assistant":
        turns.insert(first, {"role": "user", "content": ""})
    return turns


def _with_answers_between(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns with an empty answer where the user speaks after a result, or after a call that has none.

    Mistral's templates count neither calls nor results as turns.
    """
    answered: list[dict[str, Any]] = []
    for turn in turns:
        if turn["role"] == "user" and answered and (answered[-1]["role"] == "tool" or answered[-1].get("tool_calls")):
            answered.append({"role": "assistant", "content": ""})
        answered.append(turn)
    return answered


def _joined_to_results(turns: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The turns with what the user says after a result in its message: some templates take no empty answer."""
    joined: list[dict[str, Any]] = []
    for turn in turns:
        if turn["role"] == "user" and joined and joined[-1]["role"] == "tool":
            joined[-1] = _with_text(joined[-1], turn)
        else:
            joined.append(turn)
    return joined


def _joined(message: dict[str, Any], following: dict[str, Any]) -> dict[str, Any]:
    """Two messages of one role as one: their texts with an empty line between, and their calls."""
    both = (message, following)
    names = [name for name in ("content", "reasoning_content", "thinking") if any(name in each for each in both)]
    texts = {name: "\n\n".join(filter(None, (each.get(name) for each in both))) for name in names}
    calls = [call for each in both for call in each.get("tool_calls") or ()]
    return {**message, **following, **texts, **({"tool_calls": calls} if calls else {})}


def with_system_in_turns(messages: Sequence[dict[str, Any]], form: TemplateForm) -> list[dict[str, Any]]:
    """The messages, with what the system says where the template takes it.

    Those at the beginning become one message if only that is taken. Any other stands before the next words of the user
    with an empty line between, as in Gemma 3's template and llama.cpp; if another turn comes first, after those of the
    turn before.
    """
    if form.takes_system and form.takes_later_system:
        return list(messages)
    opening = list(takewhile(lambda message: message["role"] == "system", messages)) if form.takes_system else []
    turns: list[dict[str, Any]] = [_with_text(opening[0], *opening[1:])] if opening else []
    waiting: list[dict[str, Any]] = []
    for message in messages[len(opening) :]:
        if message["role"] == "system":
            waiting.append(message)
            continue
        if waiting and message["role"] == "user":
            message = {**message, "content": _with_text(*waiting, message)["content"]}
            waiting = []
        elif message["role"] == "assistant":
            _say_after(turns, waiting)
            waiting = []
        turns.append(message)
    _say_after(turns, waiting)
    return turns


def _say_after(turns: list[dict[str, Any]], waiting: Sequence[dict[str, Any]]) -> None:
    """Adds what the system says to the last turn, or as one of the user where that is an answer."""
    if not waiting:
        return
    if turns and turns[-1]["role"] in ("user", "tool"):
        turns[-1] = _with_text(turns[-1], *waiting)
    else:
        turns.append({"role": "user", "content": _with_text(*waiting)["content"]})


def _with_text(message: dict[str, Any], *others: dict[str, Any]) -> dict[str, Any]:
    """A message with the texts of others after its own."""
    texts = [each["content"] for each in (message, *others)]
    return {**message, "content": "\n\n".join(filter(None, texts))} if others else message


def _shaped(message: dict[str, Any], form: TemplateForm) -> dict[str, Any]:
    if not form.shows_names and message["role"] != "tool" and message.get("name"):
        message = _with_name_in_text(message)
    if form.text_arguments and message.get("tool_calls"):
        return {**message, "tool_calls": [_with_text_arguments(call) for call in message["tool_calls"]]}
    return message


def _with_name_in_text(message: dict[str, Any]) -> dict[str, Any]:
    """The message with its author's name before its text, where it says something."""
    content = message.get("content")
    named = {"content": f"{message['name']}: {content}"} if isinstance(content, str) and content else {}
    return {**{name: value for name, value in message.items() if name != "name"}, **named}


def _with_text_arguments(call: dict[str, Any]) -> dict[str, Any]:
    function = call["function"]
    return {**call, "function": {**function, "arguments": json.dumps(function["arguments"], ensure_ascii=False)}}


def _with_ids(messages: Sequence[dict[str, Any]], keep: bool) -> Iterator[dict[str, Any]]:
    """The messages with ids of nine letters or digits, the same for a call and its result; `keep` keeps other ids."""

    def new_id(id: str | None, otherwise: str) -> str:
        return id if id and keep else _short_id(id or otherwise)

    waiting: list[str] = []  # the ids of calls whose results have not come
    for index, message in enumerate(messages):
        if calls := message.get("tool_calls"):
            waiting = [new_id(call.get("id"), f"{index}.{i}") for i, call in enumerate(calls)]
            yield {**message, "tool_calls": [{**call, "id": id} for call, id in zip(calls, waiting, strict=True)]}
        elif message["role"] == "tool":
            named = message.get("tool_call_id")
            id = new_id(named, "") if named else next(iter(waiting), _short_id(str(index)))
            waiting = [other for other in waiting if other != id]
            yield {**message, "tool_call_id": id}
        else:
            yield message


def _short_id(id: str) -> str:
    """The id itself if it has the form, else one that is made of it, so that the prompt stays the same."""
    if len(id) == SHORT_ID_LENGTH and id.isascii() and id.isalnum():
        return id
    number = int.from_bytes(hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest())
    letters = []
    for _ in range(SHORT_ID_LENGTH):
        number, digit = divmod(number, len(SHORT_ID_LETTERS))
        letters.append(SHORT_ID_LETTERS[digit])
    return "".join(letters)
