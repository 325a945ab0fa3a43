"""A conversation as the page sends it and shows it.

A message is `{"role": …, "content": …}`.
"""

from typing import Any

from llm_chatbot.engine.session import Answer
from llm_chatbot.engine.text.prompt import Message
from llm_chatbot.errors import UserError

FIGURES = ("completion_tokens", "tokens_per_second", "time_to_first_token", "cached_tokens", "prompt_tokens")
DRAFT_FIGURES = ("drafted_tokens", "accepted_tokens", "draft_gain")  # where there is a draft model


def user_message(text: str) -> Message:
    return {"role": "user", "content": text}


def figures_of(answer: Answer) -> dict[str, float]:
    """The numbers of an answer that the page shows below it."""
    names = (*FIGURES, *DRAFT_FIGURES) if answer.drafted_tokens else FIGURES
    return {name: getattr(answer, name) for name in names}


def validate_messages(messages: Any) -> list[Message]:
    """Returns the roles and contents of a conversation that came from a browser or a script.

    Raises:
        UserError: it has another form.
    """
    if not isinstance(messages, list) or not all(map(_is_message, messages)):
        raise UserError("page.conversation_form")
    return [{"role": message["role"], "content": message["content"]} for message in messages]


def joined(messages: list[Message]) -> list[Message]:
    """The messages that a model reads; neighbours with the same role are joined, and empty answers left out.

    There are such neighbours where a question was never answered; many chat templates refuse them.
    """
    joined: list[Message] = []
    for message in messages:
        role, content = message["role"], message["content"]
        if joined and joined[-1]["role"] == role:
            joined[-1] = {"role": role, "content": f"{joined[-1]['content']}\n\n{content}"}
        elif content or role == "user":
            joined.append({"role": role, "content": content})
    return joined


def _is_message(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") in ("user", "assistant")
        and isinstance(message.get("content"), str)
    )
