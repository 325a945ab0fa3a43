"""Messages → token ids of a prompt that fits, in which nothing that somebody typed is read as a control token."""

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

# What a model writes between these is for itself: https://qwen.readthedocs.io/en/latest/getting_started/concepts.html
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
    """The prompt that asks for the next answer, with as much of the conversation as fits.

    Where all of it does not fit, whole turns are left out, the oldest first. System messages at the beginning and the
    last turn always stay.

    Args:
        tokenizer: with the model's chat template.
        messages: the last one is the user's.
        limit: of the prompt, in tokens; None: no limit.

    Returns:
        ids, and how many turns were left out.

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

    A message may hold the very text of a control token, like `<|im_end|>`. It is tokenized as the characters that it
    is, while the chat template's own control tokens stay what they are. The reasoning before earlier answers is left
    out.
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
        raise UserError("This model has no chat template, so it was not made to chat; choose one whose name says so.")
    try:
        return str(tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False))
    except TemplateError as error:  # Gemma's, for one, where there is a system message
        raise UserError(f"The model's chat template says: {_reason(error)}; try without a system prompt.") from error
    except TEMPLATE_FAILURES as error:
        raise UserError(f"The model's chat template fails ({_reason(error)}); choose another model.") from error


def _reason(error: BaseException) -> str:
    """What an error says, on one line."""
    return " ".join(str(error).split()) or type(error).__name__


def without_reasoning(message: Message) -> str:
    """What a message says, without the reasoning that an answer may begin with."""
    content = message["content"]
    if message["role"] != "assistant" or not content.lstrip().startswith(REASONING_START):
        return content
    return content.partition(REASONING_END)[2].lstrip()


def begun_answer(tokenizer: ChatTokenizer, ids: Sequence[int]) -> str:
    """What a prompt has already written of the answer: the start of its reasoning, or nothing."""
    end = tokenizer.decode(ids[-8:])
    start = end.rfind(REASONING_START)
    return end[start:] if start >= 0 and not end[start + len(REASONING_START) :].strip() else ""


class _ControlTokens:
    """Tells the control tokens of a chat template from the same characters in a message.

    Messages go into the template with a mark inside each control token, so that what matches one in the result is the
    template's own. Those are respelled with a nonce that nobody can know and type, and then tokenized by a copy of
    the tokenizer that knows control tokens by this spelling only.
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
    """A copy of a tokenizer with other texts for its added tokens, and the same ids."""
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
    description["post_processor"] = None  # adds the tokens around a text, which a chat template does itself
    return Tokenizer.from_str(json.dumps(description))
