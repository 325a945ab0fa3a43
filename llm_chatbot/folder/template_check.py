"""Checks a checkpoint's chat templates, untrusted programs, by rendering them in a child process.

Templates are rendered in Jinja's sandbox. That blocks access to Python's internals, but not endless loops or output
that fills the memory.
"""

import contextlib
import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError

from llm_chatbot.errors import UserError
from llm_chatbot.folder.chat_templates import Templates, form_of, in_parts
from llm_chatbot.folder.template_sandbox import compiled
from llm_chatbot.texts import Text

TEMPLATE_TIMEOUT = 30
MAX_MEMORY = 4_000_000_000  # bytes of address space, most of which the libraries only reserve
CHARACTERS = 100_000  # the maximum length of a rendered conversation

# What the child renders, beside the probes.
CONVERSATIONS = [
    [{"role": "user", "content": "Hello"}],
    [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Bye"},
    ],
]

# An answer, and how much of what follows it is of interest.
ANSWERED, AFTER = "Probe6answer", 200

# What a template raises that refuses a conversation, or that doesn't expect it.
REFUSALS = (TemplateError, ValueError, TypeError, LookupError, AttributeError)


@dataclass(frozen=True)
class CheckedTemplates:
    """The findings about the chat templates of a checkpoint.

    Attributes:
        shows_messages: whether what is said arrives in the prompt.
        after_answers: what the templates write after an answer.
    """

    shows_messages: bool = True
    after_answers: tuple[str, ...] = ()


def check_chat_template(templates: Templates, special_tokens: Mapping[str, Any], name: str) -> CheckedTemplates:
    """Renders chat templates for short conversations.

    A template may refuse a conversation with an error; that is reported when a user has such a conversation.

    Args:
        templates: the checkpoint's; None if there is none to check.
        special_tokens: the special tokens by names such as `bos_token`.
        name: the model's name, for the message.

    Raises:
        UserError: a template does not terminate, produces too much text, or tries to escape from the sandbox.
    """
    if not templates:
        return CheckedTemplates()
    texts = list(templates.values()) if isinstance(templates, dict) else [templates]
    command = [
        sys.executable,
        "-c",
        "from llm_chatbot.folder.template_check import render_in_child; render_in_child()",
    ]
    try:
        done = subprocess.run(
            command,
            input=json.dumps([texts, dict(special_tokens)], default=str),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=TEMPLATE_TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused_template(name, Text("template.endless", seconds=TEMPLATE_TIMEOUT)) from error
    if done.returncode or not done.stdout.startswith("["):
        raise _refused_template(name, Text(done.stdout.strip() or "template.too_much_memory"))
    shows, after = json.loads(done.stdout)
    return CheckedTemplates(shows, tuple(after))


def render_in_child() -> None:
    """Reads templates from standard input, and prints what they do as JSON, or what is wrong: a key of its text."""
    with contextlib.suppress(ImportError):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    templates, special_tokens = json.loads(sys.stdin.buffer.read())
    try:
        found = [_tried(template, special_tokens) for template in templates]
    except SecurityError:
        print("template.escapes")
    except (MemoryError, OverflowError, RecursionError):
        print("template.too_much_memory")
    except _TooLongError:
        print("template.too_much_text")
    else:
        print(json.dumps([all(shows for shows, _ in found), [after for _, after in found]]))


class _TooLongError(Exception):
    pass


def _tried(template: str, special_tokens: dict[str, str]) -> tuple[bool, str]:
    """Whether a template shows what is said, and what it writes after an answer.

    Raises:
        SecurityError, MemoryError, OverflowError, RecursionError, _TooLongError: it does harm.
    """

    def render(messages: Sequence[Mapping[str, Any]], options: Mapping[str, Any]) -> str | None:
        variables = {"tools": None, "documents": None, **special_tokens, **options}
        try:
            rendered = compiled(template).render(messages=messages, add_generation_prompt=True, **variables)
        except (SecurityError, OverflowError):
            raise
        except REFUSALS:
            return None
        if len(rendered) > CHARACTERS:
            raise _TooLongError
        return rendered

    for conversation in CONVERSATIONS:
        render(conversation, {})
    form = form_of(render)
    said = [("user", "Hello"), ("assistant", ANSWERED), ("user", "Bye")]
    messages = in_parts([{"role": role, "content": text} for role, text in said], form.content_parts)
    after = (render(messages, {}) or "").partition(ANSWERED)[2]
    return form.shows_messages, after[:AFTER]


def _refused_template(name: str, fault: Text) -> UserError:
    return UserError("template.refused", name=name, fault=fault)
