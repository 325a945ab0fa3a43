"""A conversation as the page sends it and shows it.

A message is `{"role": …, "content": …}`; see `validate_messages` for those with calls of tools.
"""

from typing import Any

from llm_chatbot.answering.pictures import WORDS
from llm_chatbot.api.pictures import file_of
from llm_chatbot.engine.session import Answer
from llm_chatbot.engine.text.prompt import Message
from llm_chatbot.errors import UserError

FIGURES = ("completion_tokens", "tokens_per_second", "time_to_first_token", "cached_tokens", "prompt_tokens")
DRAFT_FIGURES = ("drafted_tokens", "accepted_tokens", "draft_gain")  # where there is a draft model

_Content = str | list[dict[str, Any]]  # a text, or parts with pictures


def user_message(text: str) -> Message:
    return {"role": "user", "content": text}


def figures_of(answer: Answer) -> dict[str, float]:
    """The numbers of an answer that the page shows below it."""
    names = (*FIGURES, *DRAFT_FIGURES) if answer.drafted_tokens else FIGURES
    return {name: getattr(answer, name) for name in names}


def validate_messages(messages: Any) -> list[Message]:
    """Returns what a model reads of a conversation from a browser or a script: roles, contents, calls and results.

    A call is `{"id": …, "name": …, "arguments": JSON text}`, in the `tool_calls` of an answer; its result is a message
    of the role "tool" with the `tool_call_id` and the `name`. The `pictures` of a question are data URLs, or None for
    those that are not sent any more; what is returned has them before its text, as parts.

    Raises:
        UserError: it has another form.
    """
    if not isinstance(messages, list) or not all(map(_is_message, messages)):
        raise UserError("page.conversation_form")
    return [_for_template(message) for message in messages]


def joined(messages: list[Message]) -> list[Message]:
    """The messages that a model reads; neighbours with the same role are joined, and empty answers left out.

    There are such neighbours where a question was never answered; many chat templates refuse them. Calls and their
    results stay as they are.
    """
    joined: list[Message] = []
    for message in messages:
        role, content = message["role"], message["content"]
        if joined and _is_plain(message) and _is_plain(joined[-1]) and joined[-1]["role"] == role:
            joined[-1] = {"role": role, "content": _both(joined[-1]["content"], content)}
        elif content or role == "user" or not _is_plain(message):
            joined.append(message)
    return joined


def _both(first: _Content, second: _Content) -> _Content:
    """A content, a text or parts with pictures, and then another."""
    if isinstance(first, str) and isinstance(second, str):
        return f"{first}\n\n{second}"
    return [*_parts(first), {"type": "text", "text": "\n\n"}, *_parts(second)]


def _parts(content: _Content) -> list[dict[str, Any]]:
    return [{"type": "text", "text": content}] if isinstance(content, str) else content


def _is_plain(message: Message) -> bool:
    return message["role"] != "tool" and "tool_calls" not in message


def _for_template(message: dict[str, Any]) -> Message:
    role, content = message["role"], message["content"]
    if role == "tool":
        names = {"tool_call_id": message["tool_call_id"], "name": message["name"]}
        return {"role": role, "content": content, **names}
    if role == "user" and message.get("pictures"):
        return {"role": role, "content": [*map(_image, message["pictures"]), *(_parts(content) if content else [])]}
    calls = message.get("tool_calls") if role == "assistant" else None
    if not calls:
        return {"role": role, "content": content}
    return {"role": role, "content": content, "tool_calls": [_function_call(**_texts_of_call(call)) for call in calls]}


def _image(url: str | None) -> dict[str, Any]:
    if url is None:
        return WORDS
    try:
        return {"type": "image", "image": file_of(url)}
    except ValueError as error:
        raise UserError("page.conversation_form") from error


def _function_call(id: str, name: str, arguments: str) -> dict[str, Any]:
    from llm_chatbot.api.chat_messages import as_object  # for conversations with calls alone

    return {"id": id, "type": "function", "function": {"name": name, "arguments": as_object(arguments)}}


def _texts_of_call(call: Any) -> dict[str, str]:
    return {name: call[name] for name in ("id", "name", "arguments")}


def _is_message(message: Any) -> bool:
    if not isinstance(message, dict) or not isinstance(message.get("content"), str):
        return False
    role, calls, pictures = message.get("role"), message.get("tool_calls"), message.get("pictures")
    if role == "tool":
        return _has_texts(message, "tool_call_id", "name")
    if pictures is not None and not isinstance(pictures, list):
        return False
    if calls is not None and not (isinstance(calls, list) and all(map(_is_call, calls))):
        return False
    return role in ("user", "assistant")


def _is_call(call: Any) -> bool:
    return isinstance(call, dict) and _has_texts(call, "id", "name", "arguments")


def _has_texts(values: dict[str, Any], *names: str) -> bool:
    return all(isinstance(values.get(name), str) for name in names)
