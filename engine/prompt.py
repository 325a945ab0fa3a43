"""Messages → token ids of a prompt that fits the context. Typed text never becomes a control token."""

import json
import re
import secrets
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from itertools import takewhile

from config import UserError
from engine.tokenizer import ChatTokenizer

from jinja2 import TemplateError
from tokenizers import Tokenizer

Message = dict[str, str]

# Delimiters of a model's reasoning: https://qwen.readthedocs.io/en/latest/getting_started/concepts.html
REASONING_START, REASONING_END = "<think>", "</think>"

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


def fitting_prompt(tokenizer: ChatTokenizer, messages: Sequence[Message], limit: int | None) -> tuple[list[int], int]:
    """The prompt for the next answer, with as much of the conversation as fits.

    If it is too long, whole turns are left out, the oldest first. System messages at the beginning and the last turn
    are always kept.

    Args:
        tokenizer: the model's, with its chat template.
        messages: the conversation, ending with the user's message.
        limit: the maximum length of the prompt, in tokens; None for no limit.

    Returns:
        The prompt's ids, and the number of turns left out.

    Raises:
        UserError: the last message alone is too long.
    """
    system = list(takewhile(lambda message: message["role"] == "system", messages))
    turns = [index for index, message in enumerate(messages) if message["role"] == "user"]

    def without(left_out: int) -> list[int]:
        kept = [*system, *messages[turns[left_out] :]] if left_out else messages
        return prompt_ids(tokenizer, kept)

    ids = without(0)
    if limit is None or len(ids) <= limit:
        return ids, 0
    left_out = 1 + bisect_left(range(1, len(turns)), True, key=lambda count: len(without(count)) <= limit)
    if left_out < len(turns):
        return without(left_out), left_out
    length = len(without(len(turns) - 1))
    raise UserError(f"The message is too long: {length} tokens, and the model can read {limit}; please shorten it.")


def prompt_ids(tokenizer: ChatTokenizer, messages: Sequence[Message]) -> list[int]:
    """Ids of all messages in the model's chat format, up to where the next answer begins.

    If a message contains the text of a control token, such as `<|im_end|>`, it is tokenized as plain characters; only
    the chat template can write control tokens. The reasoning in earlier answers is left out.
    """
    messages = [{**message, "content": without_reasoning(message)} for message in messages]
    codec = _control_tokens(tokenizer)
    if not any(codec.pattern.search(message["content"]) for message in messages):
        text = _rendered(tokenizer, messages)
        return tokenizer(text, add_special_tokens=False)["input_ids"]
    marked = [{**message, "content": codec.mark(message["content"])} for message in messages]
    return codec.encode(_rendered(tokenizer, marked))


def _rendered(tokenizer: ChatTokenizer, messages: Sequence[Message]) -> str:
    """The text of a conversation in the model's chat format.

    Raises:
        UserError: there is no chat format, it does not allow such a conversation, or it fails.
    """
    if not tokenizer.chat_template:
        raise UserError("This model has no chat template; choose one made for chat, often named Chat, Instruct or it.")
    try:
        return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))
    except TemplateError as error:  # Gemma's, for example, if there is a system message
        raise UserError(f"The model's chat template refuses: {_reason(error)}; try without a system prompt.") from error
    except TEMPLATE_FAILURES as error:
        raise UserError(f"The model's chat template fails ({_reason(error)}); choose another model.") from error


def _reason(error: BaseException) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def without_reasoning(message: Message) -> str:
    """A message's content, without the reasoning that an answer may begin with."""
    content = message["content"]
    if message["role"] != "assistant" or not content.lstrip().startswith(REASONING_START):
        return content
    return content.partition(REASONING_END)[2].lstrip()


def begun_answer(tokenizer: ChatTokenizer, ids: Sequence[int]) -> str:
    """The part of the answer that the prompt already contains: the start of its reasoning, or nothing."""
    end = tokenizer.decode(ids[-8:])
    start = end.rfind(REASONING_START)
    return end[start:] if start >= 0 and not end[start + len(REASONING_START) :].strip() else ""


class _ControlTokens:
    """Distinguishes the control tokens of a chat template from the same characters in a message.

    Before rendering, a mark is inserted into each control token in a message, so that the control tokens left in the
    rendered text are the template's own. Those are respelled with an unguessable nonce, and tokenized
    by a copy of the tokenizer that knows control tokens only by this spelling.
    """

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        nonce = secrets.token_hex(8)
        self._mark = f"\ue000{nonce}\ue001"
        self._spelling = {
            token.content: f"\ue002{nonce}:{id}\ue003" for id, token in tokenizer.added_tokens_decoder.items()
        }
        longest_first = sorted(self._spelling, key=len, reverse=True)
        self.pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._tokenizer = _respelled(tokenizer.backend_tokenizer, self._spelling)

    def mark(self, text: str) -> str:
        return self.pattern.sub(lambda match: match[0][0] + self._mark + match[0][1:], text)

    def encode(self, text: str) -> list[int]:
        respelled = self.pattern.sub(lambda match: self._spelling[match[0]], text)
        return self._tokenizer.encode(respelled.replace(self._mark, ""), add_special_tokens=False).ids


@lru_cache(maxsize=8)
def _control_tokens(tokenizer: ChatTokenizer) -> _ControlTokens:
    return _ControlTokens(tokenizer)


def _respelled(tokenizer: Tokenizer, spelling: dict[str, str]) -> Tokenizer:
    """A copy of a tokenizer whose added tokens have other texts and the same ids."""
    description = json.loads(tokenizer.to_str())
    for token in description["added_tokens"]:
        token["content"] = spelling[token["content"]]
    vocabulary = description["model"]["vocab"]
    if isinstance(vocabulary, dict):
        description["model"]["vocab"] = {spelling.get(token, token): id for token, id in vocabulary.items()}
    else:  # Unigram's: pairs of a token and its score
        description["model"]["vocab"] = [[spelling.get(token, token), score] for token, score in vocabulary]
    if (unknown := description["model"].get("unk_token")) in spelling:
        description["model"]["unk_token"] = spelling[unknown]
    description["post_processor"] = None  # the chat template adds BOS and EOS itself
    return Tokenizer.from_str(json.dumps(description))
