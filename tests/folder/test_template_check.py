import time

import pytest

from llm_chatbot.errors import UserError
from llm_chatbot.folder import template_check
from llm_chatbot.folder.template_check import check_chat_template

GOOD = "{% for m in messages %}{{ bos_token + m['role'] + m['content'] }}{% endfor %}"


@pytest.mark.parametrize(
    "template",
    [
        None,
        GOOD,
        "{{ raise_exception('Only two turns') }}",  # told when somebody chats
        "{{ messages[0]['content'].no_such_method() }}",
        "{% if %}",
    ],
)
def test_a_template_that_ends_is_taken(template: str | None):
    check_chat_template(template, {"bos_token": "<s>"}, "some model")


@pytest.mark.parametrize(
    ("template", "what"),
    [
        ("{{ ''.__class__.__mro__[1].__subclasses__() }}", "escape from its sandbox"),
        ("{{ messages.__class__.__base__ }}{{ ''.__class__.mro() }}", "escape from its sandbox"),
        ("{{ messages.append(1) }}", "escape from its sandbox"),
        ("{% for i in range(10**9) %}x{% endfor %}", "too much memory"),
        ("{{ 'x' * 10**11 }}", "too much memory"),
        ("{{ 'x' * 10**6 }}", "produces too much text"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "too much memory"),
    ],
)
def test_a_template_that_does_harm_is_refused(template: str, what: str):
    with pytest.raises(UserError, match=rf"The chat template of some model .*{what}.* choose another model\."):
        check_chat_template(template, {}, "some model")


def test_a_template_without_end_is_refused(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(template_check, "TEMPLATE_TIMEOUT", 8)
    loops = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
    started = time.monotonic()
    with pytest.raises(UserError, match="does not finish within 8 seconds"):
        check_chat_template(loops, {}, "some model")
    assert time.monotonic() - started < 30
