"""A conversation → what `gr.Chatbot` shows.

A message is `{"role": …, "content": …}`, what the model reads and the browser keeps. An answer may also have
"figures", the numbers of its `Answer`.
"""

import html
import re
from dataclasses import asdict
from typing import Any

from ov_llm_model import Answer
from page.texts import say

Message = dict[str, Any]

# How "<" is written outside of code, so that HTML is seen and not rendered. Nobody types this spelling of the
# entity, so `page.js` can turn it back into "<" where a message is copied, and `plain` where one is edited.
LESS_THAN = "&#x0003C;"
_CODE_OR_LESS_THAN = re.compile(
    r"^[ \t>]*(?P<fence>`{3,}|~{3,}).*?(?:^[ \t>]*(?P=fence)[`~]*[ \t]*$|\Z)"  # not closed while it streams
    r"|(?<!`)(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`)"
    r"|<",
    re.DOTALL | re.MULTILINE,
)
_FENCE = re.compile(r"^[ \t>]*(`{3,}|~{3,})", re.MULTILINE)
_REASONING = re.compile(r"\s*<think>(?P<reasoning>.*?)(?P<end></think>\s*|\Z)", re.DOTALL)

FIGURES = ("completion_tokens", "tokens_per_second", "time_to_first_token", "cached_tokens", "prompt_tokens")


def message_of(answer: Answer) -> Message:
    """An answer as the conversation keeps it, with figures when it has ended."""
    message: Message = {"role": "assistant", "content": answer.text}
    if answer.finish_reason is not None:
        facts = asdict(answer)
        message["figures"] = {name: facts[name] for name in (*FIGURES, "finish_reason")}
    return message


def shown(text: str) -> str:
    """Markdown in which HTML is text: neither rendered, nor run, nor swallowed."""
    return _CODE_OR_LESS_THAN.sub(lambda match: LESS_THAN if match[0] == "<" else match[0], text)


def plain(text: str) -> str:
    """What `shown` was made from."""
    return text.replace(LESS_THAN, "<")


def bubbles(message: Message, language: str) -> list[Message]:
    """What the page shows for one message: reasoning folded away before the rest, figures below an answer."""
    text, before = message["content"], []
    if message["role"] == "assistant" and (match := _REASONING.match(text)):
        text = text[match.end() :]
        reasoning = {"title": say(language, "reasoning"), "status": "done" if match["end"] else "pending"}
        if match["reasoning"].strip():
            before = [{"role": "assistant", "content": shown(match["reasoning"].strip()), "metadata": reasoning}]
    if not text and before:
        return before
    bubble: Message = {"role": message["role"], "content": shown(text)}
    if "figures" in message:
        bubble["content"] = (
            f"{closed(bubble['content'])}\n\n<small>{figures_below(message['figures'], language)}</small>"
        )
    if message.get("figures", {}).get("finish_reason") == "length":
        bubble["options"] = [{"value": "continue", "label": say(language, "continue")}]
    return [*before, bubble]


def figures_below(figures: dict[str, Any], language: str) -> str:
    """The line of small print below an answer that has ended."""
    line = say(language, "figures", **{name: figures.get(name, 0) for name in FIGURES})
    reasons = {"length": "ended_by_length", "cancelled": "ended_by_stop", "stopped": "ended_by_stop"}
    if (reason := figures.get("finish_reason")) in reasons:
        line += " · " + say(language, reasons[reason])
    return line


def closed(text: str) -> str:
    """Markdown in which no code block is left open, so that more text can follow."""
    fence = ""
    for mark in _FENCE.findall(text):
        fence = mark if not fence else "" if mark.startswith(fence) else fence
    return f"{text}\n{fence}" if fence else text


def conversation(messages: list[Message], language: str) -> list[Message]:
    """What the page shows for a conversation."""
    return [bubble for message in messages for bubble in bubbles(message, language)]


def message_index(messages: list[Message], bubble: int) -> int:
    """Which message the `bubble`-th of what `conversation` gives belongs to."""
    owners = [index for index, message in enumerate(messages) for _ in bubbles(message, "en")]
    return owners[bubble]


def header(title: str, used: int, length: int | None, language: str) -> str:
    """The head of the page, as HTML: which model this is, and how full its context is."""
    heading = f"<h1>{html.escape(title)}</h1>"
    if length is None:
        return heading
    label = html.escape(say(language, "context", used=f"{used:,}", length=f"{length:,}"))
    share = min(100, 100 * used / length)
    return (
        f'{heading}<div class="context" title="{label}"><div class="context-bar" role="meter" aria-label="{label}" '
        f'aria-valuemin="0" aria-valuemax="{length}" aria-valuenow="{used}"><span style="width: {share:.1f}%"></span>'
        f'</div><span class="context-label">{used:,} / {length:,}</span></div>'
    )
