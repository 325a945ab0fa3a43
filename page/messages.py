"""A conversation as the page shows it and the browser saves it.

A message is `{"role": …, "content": …}`. An answer also has "figures", the numbers of its `Answer`.
"""

from dataclasses import asdict
from typing import Any

from engine.session import Answer

import gradio as gr

Message = dict[str, Any]

FIGURES = ("completion_tokens", "tokens_per_second", "time_to_first_token", "cached_tokens", "prompt_tokens")


def user_message(text: str) -> Message:
    return {"role": "user", "content": text}


def answer_message(answer: Answer) -> Message:
    """An answer as the conversation keeps it. Its "finish_reason" is None while it is being generated."""
    values = asdict(answer)
    figures = {name: values[name] for name in (*FIGURES, "finish_reason")}
    return {"role": "assistant", "content": answer.text, "figures": figures}


def context_used(messages: list[Message]) -> int:
    """How many tokens of the context the conversation used for its latest answer; 0 if it has none with figures."""
    figures: dict[str, Any] = next((message["figures"] for message in reversed(messages) if "figures" in message), {})
    return figures.get("prompt_tokens", 0) + figures.get("completion_tokens", 0)


def validate_messages(messages: Any) -> list[Message]:
    """Returns a copy of a conversation that came from a browser or a script.

    Raises:
        gr.Error: it has another form.
    """
    if not isinstance(messages, list) or not all(map(_is_message, messages)):
        raise gr.Error("A conversation is a list of messages, each with a role (user or assistant) and a content.")
    return list(messages)


def _is_message(message: Any) -> bool:
    return (
        isinstance(message, dict)
        and message.get("role") in ("user", "assistant")
        and isinstance(message.get("content"), str)
        and _are_figures(message.get("figures", {}))
    )


def _are_figures(figures: Any) -> bool:
    """Figures saved by an earlier version may lack some names."""
    return isinstance(figures, dict) and all(isinstance(figures.get(name, 0), int | float) for name in FIGURES)
