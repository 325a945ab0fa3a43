"""Messages → token ids of a prompt that fits the context. Typed text never becomes a control token."""

import json
import re
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from itertools import product, takewhile
from types import MappingProxyType
from typing import Any

from jinja2 import TemplateError

from llm_chatbot.engine.text.channels import MESSAGE, channel_marks, on_channels
from llm_chatbot.engine.text.control_tokens import ControlTokens, control_tokens, plain_ids
from llm_chatbot.engine.text.generic_tools import told_of_tools
from llm_chatbot.engine.text.history import Message, shaped, with_objects
from llm_chatbot.engine.text.pictures import (
    pictures_in,
    with_image_parts,
    with_marks,
    with_picture_ids,
    with_picture_texts,
)
from llm_chatbot.engine.text.reasoning import (
    REASONING_END,
    REASONING_START,
    begun_answer,
    reasoning_marks,
    without_reasoning,
)
from llm_chatbot.engine.text.tokenizer import SPECIAL_TOKENS, ChatTokenizer
from llm_chatbot.errors import UserError
from llm_chatbot.folder.chat_templates import PROBE_TOOL, TemplateForm, form_of, template_for
from llm_chatbot.folder.template_sandbox import JSONText, variables_of
from llm_chatbot.machine.json_value import json_value
from llm_chatbot.texts import Text

# The roles that chat templates know. Others reach the template too, but may not contain a control token.
ROLES = ("system", "user", "assistant", "tool")

# Shows how the chat template begins an answer.
NOTHING_ASKED: Sequence[Message] = ({"role": "user", "content": ""},)

# Variables of a chat template that a caller may set, such as `enable_thinking` and `tools`.
TemplateOptions = Mapping[str, Any]
NO_OPTIONS: TemplateOptions = MappingProxyType({})

# What a template can raise beside Jinja's own errors: it is a program, of whoever made the checkpoint.
TEMPLATE_FAILURES = (
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    SyntaxError,
    TypeError,
    ValueError,
)


def fitting_prompt(
    tokenizer: ChatTokenizer, messages: Sequence[Message], limit: int | None, options: TemplateOptions = NO_OPTIONS
) -> tuple[list[int], int]:
    """The prompt for the next answer, with as much of the conversation as fits.

    If it is too long, whole turns are left out, the oldest first. System messages at the beginning and the last turn
    are always kept.

    Args:
        tokenizer: the model's, with its chat template.
        messages: the conversation, ending with the user's message or a tool's.
        limit: the maximum length of the prompt, in tokens; None for no limit.
        options: see `prompt_ids`.

    Returns:
        The prompt's ids, and the number of turns left out.

    Raises:
        UserError: the last message alone is too long.
    """
    system = list(takewhile(lambda message: message["role"] == "system", messages))
    turns = [index for index, message in enumerate(messages) if message["role"] == "user"]

    def without(left_out: int) -> list[int]:
        kept = [*system, *messages[turns[left_out] :]] if left_out else messages
        return prompt_ids(tokenizer, kept, options)

    ids = without(0)
    if limit is None or len(ids) <= limit:
        return ids, 0
    left_out = 1 + bisect_left(range(1, len(turns)), True, key=lambda count: len(without(count)) <= limit)
    if left_out < len(turns):
        return without(left_out), left_out
    raise too_long(len(without(len(turns) - 1)) if turns else len(ids), limit)


def too_long(length: int, limit: int) -> UserError:
    return UserError("prompt.too_long", length=length, limit=limit)


def prompt_ids(
    tokenizer: ChatTokenizer, messages: Sequence[Message], options: TemplateOptions = NO_OPTIONS
) -> list[int]:
    """Ids of all messages in the model's chat format, up to where the next answer begins.

    If a text in the messages or options contains that of a control token, such as `<|im_end|>`, it is tokenized as
    plain characters; only the chat template can write control tokens.

    The reasoning in earlier answers is left out. That of the present turn, which led to tool calls, is given to the
    template as `reasoning_content`.

    Where the template refuses a conversation in which user and assistant don't take turns, it gets one in which they
    do, see `shaped`.

    Args:
        tokenizer: the model's, with its chat template.
        messages: the conversation; a content may be a list of parts, of which some are pictures, see `pictures_in`.
        options: variables for the chat template; those that it does not read are ignored, but for `tools`: of those the
            model is told in the generic format.

    Raises:
        UserError: there is no chat template, it does not allow such a conversation, leaves out what is said, or fails;
            or a role contains a control token, or the arguments of a call are no object.
    """
    pictures, messages = pictures_in(messages), with_objects(with_marks(messages))
    asked = max((index for index, message in enumerate(messages) if message["role"] == "user"), default=0)
    messages = [without_reasoning(message, keep=index > asked) for index, message in enumerate(messages)]
    messages = [_with_json_result(message) for message in messages]
    read = template_variables(tokenizer)
    has_tools = bool("tools" in read and options.get("tools"))
    form = _form(tokenizer, has_tools)
    if "tools" not in variables_of(template_for(tokenizer.chat_template, has_tools) or ""):
        messages = told_of_tools(messages, options.get("tools") or (), form.takes_system)
    options = {name: options[name] for name in read & options.keys()}
    if not form.takes_turns and sum(message["role"] == "user" for message in messages) > 1:
        raise UserError("prompt.one_turn")
    codec = control_tokens(tokenizer)
    as_parts = not pictures or _takes_parts(tokenizer, str(tokenizer.chat_template), pictures[0].token)
    marked = (
        [
            (with_image_parts if as_parts else dict)(
                {**codec.mark(message), "role": _checked_role(message["role"], codec)}
            )
            for message in conversation
        ]
        for conversation in shaped(messages, form)
    )
    rendered = with_picture_texts(tokenizer, _rendered(tokenizer, marked, codec.mark(options)), pictures)
    return with_picture_ids(tokenizer, _with_one_bos(tokenizer, codec.encode(rendered)), pictures)


def _checked_role(role: str, codec: ControlTokens) -> str:
    """The role, unmarked: templates compare it, and in some vocabularies a word such as "user" is an added token."""
    if role not in ROLES and codec.mark(role) != role:
        raise UserError("prompt.role", role=repr(role), roles=", ".join(ROLES))
    return role


def completion_ids(tokenizer: ChatTokenizer, text: str) -> list[int]:
    """`plain_ids` of a text that is to be continued, after the tokens that begin every text, such as BOS."""
    encoded = tokenizer.backend_tokenizer.encode("a", add_special_tokens=True)  # an empty text may get BOS and EOS
    added = takewhile(lambda pair: pair[1], zip(encoded.ids, encoded.special_tokens_mask, strict=True))
    return [*(id for id, _ in added), *plain_ids(tokenizer, text)]


def check_ids(tokenizer: ChatTokenizer, ids: Iterable[int]) -> None:
    """
    Raises:
        UserError: an id that a caller gave is none of the vocabulary.
    """
    for id in ids:
        if tokenizer.backend_tokenizer.id_to_token(id) is None:
            raise UserError("prompt.no_token", id=id)


def answer_ids(tokenizer: ChatTokenizer, text: str) -> list[int]:
    """Ids of an answer that is to be continued. Of all control tokens it can only contain those of its reasoning."""
    codec = control_tokens(tokenizer)
    if channel_marks(tokenizer):
        written = [(mark, codec.mark(said) if mark == MESSAGE else said) for mark, said in on_channels(text)]
        return codec.encode("".join(map("".join, written)))
    parts, marks = re.split(f"({REASONING_START}|{REASONING_END})", text), reasoning_marks(tokenizer)
    said = [marks.written(part) if index % 2 else codec.mark(part) for index, part in enumerate(parts)]
    return codec.encode("".join(said))


def template_variables(tokenizer: ChatTokenizer) -> set[str]:
    """The variables that callers may set for the chat template, such as `enable_thinking`, `tools` or `documents`.

    Raises:
        UserError: there is no chat template, or it is not valid.
    """
    template = _chat_template(tokenizer)
    texts = template.values() if isinstance(template, dict) else [template]
    with _template_errors():
        names = set().union(*map(variables_of, texts))
    return names - {"messages", "add_generation_prompt", *SPECIAL_TOKENS}


def _form(tokenizer: ChatTokenizer, tools: bool) -> TemplateForm:
    """The form of messages that the template expects.

    Raises:
        UserError: what is said does not arrive in the prompt.
    """
    form = _form_of(tokenizer, str(tokenizer.chat_template), tools)
    if not form.shows_messages:
        raise UserError("prompt.no_messages")
    return form


@lru_cache(maxsize=16)
def _form_of(tokenizer: ChatTokenizer, template: str, tools: bool) -> TemplateForm:
    """As `_form`. `template` is a part of the key only: it may be replaced while the tokenizer stays the same."""
    offered = {"tools": [PROBE_TOOL]} if tools else {}

    def render(messages: Sequence[Mapping[str, Any]], options: TemplateOptions) -> str | None:
        try:
            return _applied(tokenizer, messages, {**offered, **options})
        except (TemplateError, *TEMPLATE_FAILURES):
            return None

    return form_of(render)


@lru_cache(maxsize=16)
def _takes_parts(tokenizer: ChatTokenizer, template: str, token: str) -> bool:
    """Whether the template writes this token for a picture among the parts of a message; others take a text alone.

    `template` is a part of the key only, see `_form_of`.
    """
    parts = [{"type": "image"}, {"type": "text", "text": "a"}]
    try:
        return _applied(tokenizer, [{"role": "user", "content": parts}], {}).count(token) == 1
    except (TemplateError, *TEMPLATE_FAILURES):
        return False


def _applied(tokenizer: ChatTokenizer, messages: Sequence[Any], options: TemplateOptions) -> str:
    return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False, **options))


def _rendered(tokenizer: ChatTokenizer, forms: Iterator[Sequence[Message]], options: TemplateOptions) -> str:
    """The text of a conversation in the model's chat format, of the first of its forms that the template takes."""
    tried = [next(forms)]
    with _template_errors(lambda: _remedy(tokenizer, tried, options)):
        while True:
            try:
                return _applied(tokenizer, tried[-1], options)
            except TemplateError:
                following = next(forms, None)
                if following is None:
                    raise
                tried.append(following)


def _remedy(tokenizer: ChatTokenizer, forms: Sequence[Sequence[Message]], options: TemplateOptions) -> Text:
    """The remedy for a conversation that the template takes in none of its forms, found by trying what it takes."""
    without_tools = {name: value for name, value in options.items() if name != "tools"}
    attempts: Sequence[tuple[str, Callable[[Message], bool], TemplateOptions]] = (
        ("prompt.without_system", lambda message: message["role"] != "system", options),
        ("prompt.without_tools", lambda message: True, without_tools),
        (
            "prompt.without_calls",
            lambda message: message["role"] != "tool" and not message.get("tool_calls"),
            without_tools,
        ),
    )
    for (remedy, is_kept, other_options), messages in product(attempts, forms):
        others = list(filter(is_kept, messages))
        if (len(others), other_options) == (len(messages), options):
            continue
        with suppress(TemplateError, *TEMPLATE_FAILURES):
            _applied(tokenizer, others, other_options)
            return Text(remedy)
    return Text("prompt.new_conversation")


def _chat_template(tokenizer: ChatTokenizer) -> Any:
    if not tokenizer.chat_template:
        raise UserError("prompt.no_template")
    return tokenizer.chat_template


@contextmanager
def _template_errors(remedy: Callable[[], Text] = lambda: Text("prompt.another_model")) -> Iterator[None]:
    """Turns what a chat template raises into a UserError."""
    try:
        yield
    except TemplateError as error:  # Gemma's, for example, if there is a system message
        raise UserError("prompt.template_refuses", reason=_reason(error), remedy=remedy()) from error
    except TEMPLATE_FAILURES as error:
        raise UserError("prompt.template_fails", reason=_reason(error), remedy=remedy()) from error


def _with_one_bos(tokenizer: ChatTokenizer, ids: list[int]) -> list[int]:
    """The prompt without a second BOS at its start, which a template may write beside its own."""
    bos = tokenizer.special_tokens_map.get("bos_token")
    twice = [tokenizer.backend_tokenizer.token_to_id(str(bos))] * 2 if bos else []
    return ids[1:] if twice and ids[:2] == twice else ids


def _reason(error: BaseException) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def _with_json_result(message: Message) -> Message:
    """A message of a tool whose text is known to be JSON: gpt-oss's template would encode it a second time."""
    content = message.get("content")
    if message["role"] != "tool" or not isinstance(content, str):
        return message
    try:
        json_value(content)
    except json.JSONDecodeError:
        return message
    return {**message, "content": JSONText(content)}


def conversation_ids(
    tokenizer: ChatTokenizer, messages: Sequence[Message], options: TemplateOptions = NO_OPTIONS
) -> list[int]:
    """`prompt_ids` of a conversation, and those of the answer that is to be continued where it ends with one."""
    if messages[-1]["role"] != "assistant":
        return prompt_ids(tokenizer, messages, options)
    begun = begun_answer(tokenizer, prompt_ids(tokenizer, NOTHING_ASKED, options))
    answer = (messages[-1]["content"] or "").removeprefix(begun)
    return [*prompt_ids(tokenizer, messages[:-1], options), *answer_ids(tokenizer, answer)]
