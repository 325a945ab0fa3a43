"""A checkpoint's chat template is a program: tried in a process of its own before a conversion relies on it.

Transformers renders it in Jinja's sandbox, which keeps it away from Python's objects, but not from loops without end
or texts that fill the memory.
"""

import contextlib
import json
import subprocess
import sys
from pathlib import Path

from config import UserError

from jinja2 import TemplateError
from jinja2.exceptions import SecurityError
from transformers.utils.chat_template_utils import render_jinja_template

SECONDS = 30
MEMORY = 4_000_000_000  # of addresses, most of which the libraries only reserve
CHARACTERS = 100_000  # of a conversation in three words

CONVERSATIONS = [
    [{"role": "user", "content": "Hello"}],
    [
        {"role": "user", "content": "Hello"},
        {"role": "assistant", "content": "Hi"},
        {"role": "user", "content": "Bye"},
    ],
]


def check_chat_template(template: str | None, special_tokens: dict[str, str], name: str) -> None:
    """Tries a chat template on two short conversations.

    What it says against a conversation is no reason to refuse it: that is told when somebody has such a conversation.

    Args:
        template: of the checkpoint; None: there is nothing to check.
        special_tokens: what it knows by names like `bos_token`.
        name: of the model, for the message.

    Raises:
        UserError: it does not end, writes without end, or tries to leave the sandbox.
    """
    if template is None:
        return
    command = [sys.executable, "-c", "from conversion.chat_templates import render_in_child; render_in_child()"]
    try:
        done = subprocess.run(
            command,
            input=json.dumps([template, special_tokens]),
            capture_output=True,
            text=True,
            encoding="utf-8",
            timeout=SECONDS,
            cwd=Path(__file__).resolve().parents[1],
        )
    except subprocess.TimeoutExpired as error:
        raise _refused(name, f"does not end within {SECONDS} seconds") from error
    if done.returncode or done.stdout:
        raise _refused(name, done.stdout.strip() or "takes more memory than it may")


def render_in_child() -> None:
    """Reads a template from standard input, and prints what is wrong with it, if anything."""
    with contextlib.suppress(ImportError):
        import resource  # not on Windows

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    template, special_tokens = json.loads(sys.stdin.buffer.read())
    try:
        rendered, _ = render_jinja_template(
            CONVERSATIONS, chat_template=template, add_generation_prompt=True, **special_tokens
        )
        if max(map(len, rendered)) > CHARACTERS:
            print("writes without end")
    except SecurityError:
        print("tries to leave its sandbox")
    except (MemoryError, OverflowError, RecursionError):
        print("takes more memory than it may")
    except (TemplateError, ValueError, TypeError, LookupError, AttributeError):
        pass


def _refused(name: str, what: str) -> UserError:
    return UserError(f"The chat template of {name} {what}, so it is not used; choose another model.")
