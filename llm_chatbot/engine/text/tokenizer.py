"""A folder's tokenizer and chat template, read without Transformers, whose import is slow and loads PyTorch.

The methods have the names and results of Transformers' tokenizers, so a conversation can use either.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Template, meta, nodes
from jinja2.exceptions import TemplateError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import AddedToken, Tokenizer

from llm_chatbot.errors import UserError
from llm_chatbot.folder.json_files import damaged, read_json

SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class JSONText(str):
    """A text that is JSON already: a template's `tojson` writes it as it is, where it would write a text in quotes."""


class ChatTokenizer(Protocol):
    """The tokenizer that a conversation needs; Transformers' fast tokenizers have it too."""

    chat_template: Any

    @property
    def backend_tokenizer(self) -> Tokenizer: ...

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]: ...

    def __hash__(self) -> int: ...

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any: ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def apply_chat_template(
        self, messages: Sequence[Any], *, add_generation_prompt: bool, tokenize: bool, **options: Any
    ) -> Any: ...


class FolderTokenizer:
    """The tokenizer in a converted folder.

    Attributes:
        backend_tokenizer: converts between text and ids.
        chat_template: a Jinja template; None if the model has none.
        special_tokens_map: the tokens that a template may write, by names such as "bos_token".
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            UserError: a file is missing or damaged.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise UserError("engine.no_tokenizer", folder=folder)
        self.backend_tokenizer = _read_tokenizer(path)
        settings = {**read_json(folder / "special_tokens_map.json"), **read_json(folder / "tokenizer_config.json")}
        try:
            self.chat_template = _chat_template(folder, settings)
            self.special_tokens_map = {name: _content(settings[name]) for name in SPECIAL_TOKENS if settings.get(name)}
        except (LookupError, TypeError) as error:
            raise damaged(folder / "tokenizer_config.json") from error

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]:
        """The added tokens by their ids."""
        return self.backend_tokenizer.get_added_tokens_decoder()

    def __call__(self, text: str, *, add_special_tokens: bool = True) -> dict[str, list[int]]:
        """The text's ids, as `["input_ids"]`."""
        return {"input_ids": self.backend_tokenizer.encode(text, add_special_tokens=add_special_tokens).ids}

    def decode(self, ids: Sequence[int]) -> str:
        """The text of all ids, special tokens included."""
        return self.backend_tokenizer.decode(list(ids), skip_special_tokens=False)

    def apply_chat_template(
        self,
        messages: Sequence[dict[str, Any]],
        *,
        add_generation_prompt: bool = False,
        tokenize: bool = False,
        **options: Any,
    ) -> Any:
        """The conversation in the model's chat format: its text, or its ids as `["input_ids"]`.

        Args:
            options: further variables of the template, such as `tools`.

        Raises:
            jinja2.TemplateError: the template refuses the conversation, or is not valid.
        """
        variables = {"tools": None, "documents": None, **self.special_tokens_map, **options}
        template = _compiled(self.chat_template or "")
        text = template.render(messages=messages, add_generation_prompt=add_generation_prompt, **variables)
        return self(text, add_special_tokens=False) if tokenize else text


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
def _compiled(template: str) -> Template:
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


def _read_tokenizer(path: Path) -> Tokenizer:
    content = path.read_bytes()
    try:
        return Tokenizer.from_buffer(content)
    except Exception as error:  # tokenizers has no class for it: what it can't read is a bare `Exception`
        raise damaged(path) from error


def _chat_template(folder: Path, settings: dict[str, Any]) -> str | None:
    """The template in its own file, or in the settings; of several, the one called "default"."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise damaged(path) from error
    template = settings.get("chat_template")
    if isinstance(template, list):
        template = next((named["template"] for named in template if named["name"] == "default"), None)
    if not isinstance(template, str | None):
        raise TypeError
    return template


def _content(token: str | dict[str, Any]) -> str:
    return token["content"] if isinstance(token, dict) else token
