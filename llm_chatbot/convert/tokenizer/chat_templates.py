"""Checks a checkpoint's chat template, an untrusted program, by rendering it in a child process.

Transformers renders templates in Jinja's sandbox. That blocks access to Python's internals, but not endless loops or
output that fills the memory.
"""

import contextlib
import json
import subprocess
import sys

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from transformers.utils.chat_template_utils import render_jinja_template

from llm_chatbot.errors import UserError
from llm_chatbot.texts import Text

SECONDS = 30
MAX_MEMORY = 4_000_000_000  # bytes of address space, most of which the libraries only reserve
CHARACTERS = 100_000  # the maximum length of a rendered conversation

CONVERSATIONS = [
    [{"role": "user", "content": "Hello"}],
    [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Bye"},
    ],
]


def check_chat_template(template: str | None, special_tokens: dict[str, str], name: str) -> None:
    """Renders a chat template for two short conversations.

    A template may refuse a conversation with an error; that is reported when a user has such a conversation.

    Args:
        template: the checkpoint's template; None if there is none to check.
        special_tokens: the special tokens by names such as `bos_token`.
        name: the model's name, for the message.

    Raises:
        UserError: the template does not terminate, produces too much text, or tries to escape from the sandbox.
    """
    if template is None:
        return
    command = [
        sys.executable,
        "-c",
        "from llm_chatbot.convert.tokenizer.chat_templates import render_in_child; render_in_child()",
    ]
    try:
        done = subprocess.run(
            command,
            input=json.dumps([template, special_tokens]),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(name, Text("template.endless", seconds=SECONDS)) from error
    if done.returncode or done.stdout:
        raise _refused(name, Text(done.stdout.strip() or "template.too_much_memory"))


def render_in_child() -> None:
    """Reads a template from standard input and prints what is wrong with it, if anything: a key of its text."""
    with contextlib.suppress(ImportError):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    template, special_tokens = json.loads(sys.stdin.buffer.read())
    try:
        rendered, _ = render_jinja_template(
            CONVERSATIONS, chat_template=template, add_generation_prompt=True, **special_tokens
        )
        if max(map(len, rendered)) > CHARACTERS:
            print("template.too_much_text")
    except SecurityError:
        print("template.escapes")
    except (MemoryError, OverflowError, RecursionError):
        print("template.too_much_memory")
    except (TemplateError, ValueError, TypeError, LookupError, AttributeError):
        pass


def _refused(name: str, fault: Text) -> UserError:
    return UserError("template.refused", name=name, fault=fault)
