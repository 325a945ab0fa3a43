"""Where chat templates run: Jinja's sandbox, with what Transformers adds to the language."""

import json
from datetime import datetime
from functools import lru_cache
from typing import Any

from jinja2 import Template, meta, nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class JSONText(str):
    """A text that is JSON already: a template's `tojson` writes it as it is, where it would write a text in quotes.

    It stays one where a template takes the white space off its ends, by a method or by `trim`.
    """

    def strip(self, characters: str | None = None, /) -> "JSONText":
        return JSONText(super().strip(characters))

    def lstrip(self, characters: str | None = None, /) -> "JSONText":
        return JSONText(super().lstrip(characters))

    def rstrip(self, characters: str | None = None, /) -> "JSONText":
        return JSONText(super().rstrip(characters))


class _Generation(Extension):
    """`{% generation %}`, which marks answers for training. Here its body is rendered unchanged."""

    tags = {"generation"}  # noqa: RUF012, Jinja's own declaration

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


@lru_cache(maxsize=8)
def variables_of(template: str) -> frozenset[str]:
    """The names that a chat template reads and does not define.

    Raises:
        jinja2.TemplateError: it is not valid.
    """
    environment = _environment()
    return frozenset(meta.find_undeclared_variables(environment.parse(template)) - environment.globals.keys())


@lru_cache(maxsize=8)
def compiled(template: str) -> Template:
    """A template that can be rendered.

    Raises:
        jinja2.TemplateError: it is not valid.
    """
    return _environment().from_string(template)


@lru_cache(maxsize=1)
def _environment() -> ImmutableSandboxedEnvironment:
    """A sandbox with what chat templates may use.

    See https://huggingface.co/docs/transformers/chat_templating_writing.
    """

    def raise_exception(message: str) -> None:
        raise TemplateError(message)

    def tojson(value: Any, ensure_ascii: bool = False, **options: Any) -> str:
        if isinstance(value, JSONText):
            return str(value)
        return json.dumps(value, ensure_ascii=ensure_ascii, **options)  # Jinja's own would write HTML entities

    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = lambda format: datetime.now().strftime(format)
    return environment
