"""Turns a conversation into what `gr.Chatbot` shows."""

import html
import re
from typing import Any

from engine.prompt import REASONING_END, REASONING_START
from page.messages import FIGURES, Message
from page.texts import translate

# How "<" is written outside of code, so that HTML is shown as text. Nobody types this spelling of the entity, so it
# can be turned back into "<": by `page.js` where a message is copied, and by `unescape_html` where one is edited.
LESS_THAN = "&#x0003C;"
_CODE_OR_LESS_THAN = re.compile(
    r"^[ \t>]*(?P<fence>`{3,}|~{3,}).*?(?:^[ \t>]*(?P=fence)[`~]*[ \t]*$|\Z)"  # still open while it streams
    r"|(?<!`)(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)"
    r"|<",
    re.DOTALL | re.MULTILINE,
)
_FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,})", re.MULTILINE)
_REASONING = re.compile(
    rf"\s*{re.escape(REASONING_START)}(?P<reasoning>.*?)(?P<end>{re.escape(REASONING_END)}\s*|\Z)", re.DOTALL
)

# "stopped" is what "cancelled" was called in conversations that browsers may have saved.
_FINISH_TEXTS = {"length": "ended_by_length", "cancelled": "ended_by_stop", "stopped": "ended_by_stop"}


def escape_html(text: str) -> str:
    """Markdown in which HTML is text: neither rendered, nor run, nor dropped."""
    return _CODE_OR_LESS_THAN.sub(lambda match: LESS_THAN if match[0] == "<" else match[0], text)


def unescape_html(text: str) -> str:
    """The text that `escape_html` was given."""
    return text.replace(LESS_THAN, "<")


def close_fences(text: str) -> str:
    """Markdown in which no code block is left open, so that more text can follow."""
    fence = ""
    for mark in _FENCE.findall(text):
        fence = mark if not fence else "" if mark.startswith(fence) else fence
    return f"{text}\n{fence}" if fence else text


def bubbles(message: Message, language: str) -> list[Message]:
    """What the page shows for one message: folded reasoning first, figures below a finished answer."""
    text, before = message["content"], []
    if message["role"] == "assistant" and (match := _REASONING.match(text)):
        text = text[match.end() :]
        reasoning = {"title": translate(language, "reasoning"), "status": "done" if match["end"] else "pending"}
        if match["reasoning"].strip():
            before = [{"role": "assistant", "content": escape_html(match["reasoning"].strip()), "metadata": reasoning}]
    if not text and before:
        return before
    bubble: Message = {"role": message["role"], "content": escape_html(text)}
    figures = message.get("figures")
    if figures and figures.get("finish_reason", "stop") is not None:
        bubble["content"] = f"{close_fences(bubble['content'])}\n\n<small>{figures_line(figures, language)}</small>"
        if figures.get("finish_reason") == "length":
            bubble["options"] = [{"value": "continue", "label": translate(language, "continue")}]
    return [*before, bubble]


def figures_line(figures: dict[str, Any], language: str) -> str:
    """The small print below a finished answer."""
    values = {name: figures.get(name, 0) for name in FIGURES}
    tokens = translate(language, "tokens", count=values["completion_tokens"])
    line = translate(language, "figures", tokens=tokens, **values)
    if text := _FINISH_TEXTS.get(figures.get("finish_reason", "")):
        line += " · " + translate(language, text)
    return line


def conversation(messages: list[Message], language: str) -> list[Message]:
    """What the page shows for a conversation."""
    return [bubble for message in messages for bubble in bubbles(message, language)]


def message_index(messages: list[Message], bubble: int) -> int:
    """The index of the message that the `bubble`-th item of `conversation` belongs to."""
    owners = [index for index, message in enumerate(messages) for _ in bubbles(message, "en")]
    return owners[bubble]


def header(title: str, used: int, length: int | None, language: str) -> str:
    """The head of the page as HTML: the model, and how full its context is.

    Args:
        title: of the model.
        used: tokens of the context that are in use.
        length: of the context, in tokens; None if the model has no limit.
        language: of the page.
    """
    heading = f"<h1>{html.escape(title)}</h1>"
    if length is None:
        return heading
    label = html.escape(translate(language, "context", used=f"{used:,}", length=f"{length:,}"))
    share = min(100, 100 * used / length)
    return (
        f'{heading}<div class="context" title="{label}"><div class="context-bar" role="meter" aria-label="{label}" '
        f'aria-valuemin="0" aria-valuemax="{length}" aria-valuenow="{used}"><span style="width: {share:.1f}%"></span>'
        f'</div><span class="context-label">{used:,} / {length:,}</span></div>'
    )
