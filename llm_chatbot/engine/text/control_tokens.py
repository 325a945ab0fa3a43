"""Text → token ids in which the control tokens are those of a chat template, and none that somebody typed."""

import json
import re
import secrets
from collections.abc import Mapping
from functools import cached_property, lru_cache
from typing import Any

from tokenizers import Tokenizer
from tokenizers.models import BPE, Model

from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.folder.template_sandbox import JSONText


class ControlTokens:
    """Distinguishes the control tokens of a chat template from the same characters in a message.

    A control token is an added token that is special, or that no merges lead to: Gemma's line breaks are text.

    Before rendering, marks are inserted into each control token in a message, so that the control tokens left in the
    rendered text are the template's own. If there are marks, those are respelled with an unguessable nonce, and
    tokenized by a copy of the tokenizer that knows control tokens only by this spelling.
    """

    def __init__(self, tokenizer: ChatTokenizer) -> None:
        nonce = secrets.token_hex(8)
        mark = f"\ue000{nonce}\ue001"
        self._mark = mark
        # Templates may write tool calls as JSON, with all but ASCII escaped.
        self._marks = re.compile(f"{mark}|{re.escape(json.dumps(mark)[1:-1])}")
        model = tokenizer.backend_tokenizer.model
        self._spelling = {
            token.content: f"\ue002{nonce}:{id}\ue003"
            for id, token in tokenizer.added_tokens_decoder.items()
            if token.special or not _made_by_merges(model, token.content)
        }
        longest_first = sorted(self._spelling, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._tokenizer = tokenizer

    @cached_property
    def _respelled(self) -> Tokenizer:  # needed only if there are marks, and takes seconds with a large vocabulary
        return _respelled_tokenizer(json.loads(self._tokenizer.backend_tokenizer.to_str()), self._spelling)

    def mark(self, value: Any) -> Any:
        """Marks the control tokens in a text, or in all texts of dictionaries and lists."""
        if isinstance(value, str):
            # After each character: one control token's text may contain another's.
            marked = self._pattern.sub(lambda match: self._mark.join((*match[0], "")), value)
            return JSONText(marked) if isinstance(value, JSONText) else marked
        if isinstance(value, Mapping):
            return {self.mark(name): self.mark(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.mark(item) for item in value]
        return value

    def encode(self, text: str) -> list[int]:
        """Ids of a text whose control tokens are those without a mark."""
        text = well_formed(text)
        if not self._marks.search(text):
            return self._tokenizer(text, add_special_tokens=False)["input_ids"]
        respelled = self._pattern.sub(lambda match: self._spelling[match[0]], text)
        return self._respelled.encode(self._marks.sub("", respelled), add_special_tokens=False).ids


@lru_cache(maxsize=8)
def control_tokens(tokenizer: ChatTokenizer) -> ControlTokens:
    """Those of a tokenizer, found once."""
    return ControlTokens(tokenizer)


def plain_ids(tokenizer: ChatTokenizer, text: str) -> list[int]:
    """Ids of a text in which nothing is a control token."""
    codec = control_tokens(tokenizer)
    return codec.encode(codec.mark(text))


def well_formed(text: str) -> str:
    """The text with U+FFFD for lone surrogates, which JSON allows and UTF-8 does not."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _made_by_merges(model: Model, token: str) -> bool:
    """Whether ordinary text becomes this token. A BPE model that ignores its merges may take any token as a whole."""
    if not isinstance(model, BPE) or model.ignore_merges:
        return False
    return [piece.value for piece in model.tokenize(token)] == [token]


def _respelled_tokenizer(description: dict[str, Any], spelling: dict[str, str]) -> Tokenizer:
    """A tokenizer in which some added tokens have other texts and the same ids, and no merges lead to them.

    Args:
        description: the original, as in `tokenizer.json`; it is changed.
        spelling: the other texts.
    """
    model = description["model"]
    for token in description["added_tokens"]:
        token["content"] = spelling.get(token["content"], token["content"])
    if isinstance(model["vocab"], dict):
        model["vocab"] = {spelling.get(token, token): id for token, id in model["vocab"].items()}
    else:  # Unigram's: pairs of a token and its score
        model["vocab"] = [[spelling.get(token, token), score] for token, score in model["vocab"]]
    if "merges" in model:
        model["merges"] = [pair for pair in model["merges"] if not spelling.keys() & {*pair, "".join(pair)}]
    if (unknown := model.get("unk_token")) in spelling:
        model["unk_token"] = spelling[unknown]
    description["post_processor"] = None  # the chat template adds BOS and EOS itself
    return Tokenizer.from_str(json.dumps(description))
