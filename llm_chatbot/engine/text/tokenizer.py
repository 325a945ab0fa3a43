"""A folder's tokenizer and chat template, read without Transformers, whose import is slow and loads PyTorch.

The methods have the names and results of Transformers' tokenizers, so a conversation can use either.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from tokenizers import AddedToken, Tokenizer

from llm_chatbot.errors import UserError
from llm_chatbot.folder.chat_templates import TEMPLATE_FILE, Templates, read_templates, template_for
from llm_chatbot.folder.json_files import damaged, read_json
from llm_chatbot.folder.template_sandbox import compiled

SPECIAL_TOKENS = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class ChatTokenizer(Protocol):
    """The tokenizer that a conversation needs; Transformers' fast tokenizers have it too."""

    chat_template: Any

    @property
    def backend_tokenizer(self) -> Tokenizer: ...

    @property
    def added_tokens_decoder(self) -> dict[int, AddedToken]: ...

    @property
    def special_tokens_map(self) -> Mapping[str, Any]: ...

    def __hash__(self) -> int: ...

    def __call__(self, text: str, *, add_special_tokens: bool) -> Any: ...

    def decode(self, ids: Sequence[int]) -> str: ...

    def apply_chat_template(
        self, messages: Sequence[Any], *, add_generation_prompt: bool, tokenize: bool, **options: Any
    ) -> Any: ...


class PlainTokenizer:
    """A tokenizer that needs no library but tokenizers and Jinja.

    Attributes:
        backend_tokenizer: converts between text and ids.
        chat_template: a Jinja template; several by their names, see `llm_chatbot.folder.chat_templates`; None if the
            model has none.
        special_tokens_map: the tokens that a template may write, by names such as "bos_token".
    """

    def __init__(self, backend: Tokenizer, chat_template: Templates, special_tokens_map: dict[str, str]) -> None:
        self.backend_tokenizer = backend
        self.chat_template = chat_template
        self.special_tokens_map = special_tokens_map

    @property
    def eos_token_id(self) -> int | None:
        """The id of the token that ends a text; None if none is named."""
        eos = self.special_tokens_map.get("eos_token")
        return None if eos is None else self.backend_tokenizer.token_to_id(eos)

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
        template = compiled(template_for(self.chat_template, bool(variables["tools"])) or "")
        text = template.render(messages=messages, add_generation_prompt=add_generation_prompt, **variables)
        return self(text, add_special_tokens=False) if tokenize else text


class FolderTokenizer(PlainTokenizer):
    """The tokenizer in a converted folder."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            UserError: a file is missing or damaged.
        """
        path = folder / "tokenizer.json"
        if not path.is_file():
            raise UserError("engine.no_tokenizer", folder=folder)
        backend = _read_tokenizer(path)
        settings = {**read_json(folder / "special_tokens_map.json"), **read_json(folder / "tokenizer_config.json")}
        try:
            template = _folder_templates(folder, settings)
            special_tokens = {name: _token_text(settings[name]) for name in SPECIAL_TOKENS if settings.get(name)}
        except (LookupError, TypeError) as error:
            raise damaged(folder / "tokenizer_config.json") from error
        super().__init__(backend, template, special_tokens)


def _read_tokenizer(path: Path) -> Tokenizer:
    """The tokenizer of a file, which may have been saved while its training cut and padded texts to a length."""
    content = path.read_bytes()
    try:
        tokenizer = Tokenizer.from_buffer(content)
    except Exception as error:  # tokenizers has no class for it: what it can't read is a bare `Exception`
        raise damaged(path) from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer


def _folder_templates(folder: Path, settings: dict[str, Any]) -> Templates:
    try:
        return read_templates(folder, settings)
    except ValueError as error:
        raise damaged(folder / TEMPLATE_FILE) from error


def _token_text(token: str | dict[str, Any]) -> str:
    return token["content"] if isinstance(token, dict) else token
