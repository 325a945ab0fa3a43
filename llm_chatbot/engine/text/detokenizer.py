"""Token ids → text, streamed so that what has been shown never changes."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import groupby

from llm_chatbot.catalogue.chat_formats import CHECKPOINTS_OWN, ChatFormat
from llm_chatbot.catalogue.tool_formats import CALL_MARKS
from llm_chatbot.engine.text.channels import ChannelReader, channel_marks
from llm_chatbot.engine.text.reasoning import ReasoningMarks, added_ids, is_reasoning, reasoning_marks
from llm_chatbot.engine.text.tokenizer import ChatTokenizer

# Marks in an answer that are read later: the reasoning's, and those of tool calls. They are shown also where a
# checkpoint has them as special tokens.
MARKS = ("<think>", "</think>", *CALL_MARKS)

# Characters that no text has: lone surrogates. In an answer's text they stand for special tokens that are not shown.
STAND_INS = range(0xDC00, 0xE000)
NOT_SHOWN = dict.fromkeys(STAND_INS)


class StreamingDetokenizer:
    """Decodes an answer while its tokens arrive, and applies stop strings and replacements.

    The text only grows: incomplete characters, and what may be the beginning of a stop string or of a replaced string,
    are held back. Special tokens are not shown, but for `MARKS`. Reasoning between other marks, and an answer on
    channels, are read into the form of others, see `llm_chatbot.engine.text.reasoning` and `.channels`.

    Attributes:
        text: the text that can be shown.
        ids: the tokens so far.
        stopped: whether a stop string has occurred; the text ends before it.
        stopped_by: that string; empty before.
        start: the part of the answer that the prompt already contains.

    Args:
        chat_format: its stop strings and replacements apply to the whole answer; None: what is written is no answer,
            and has no channels.
        given: the tokens of an answer that is being continued.
        stop: further strings that end the answer, in what follows those tokens; special tokens may be in them.
        after: the last tokens before, of a text that is continued and not shown. Without them the first token begins
            a text, and SentencePiece takes its space away.
    """

    def __init__(
        self,
        tokenizer: ChatTokenizer,
        chat_format: ChatFormat | None = CHECKPOINTS_OWN,
        start: str = "",
        given: Sequence[int] = (),
        stop: Sequence[str] = (),
        after: Sequence[int] = (),
    ) -> None:
        self.text = self.start = start
        self.stopped, self.stopped_by = False, ""
        self._tokenizer = tokenizer
        self._format = chat_format or CHECKPOINTS_OWN
        # Each as it is searched for, and where from.
        self._stops = [(string, string, 0) for string in self._format.stop_strings]
        self._replaced = [(written, 0) for written, _ in self._format.replacements]
        special = {token.content: id for id, token in tokenizer.added_tokens_decoder.items() if token.special}
        self._written_tokens = {special[token]: token for token in MARKS if token in special}
        self._channel_marks = channel_marks(tokenizer) if chat_format else {}
        self._channels = ChannelReader() if self._channel_marks else None
        self._reasoning = self._with_stand_ins(reasoning_marks(tokenizer)) if chat_format else ReasoningMarks()
        self._replaced += [(mark, 0) for mark in self._reasoning.own]
        self._stop_tokens: dict[int, str] = {}
        self.ids: list[int] = []
        self._after = tuple(after)
        self._decoded = "\n"  # so that a string that begins with a newline also matches at the answer's start
        self._context = self._done = 0  # ids[_context:_done] are the last piece that was decoded
        for token in given:
            self.add_token(token)
        stand_ins = self._stand_ins(stop)
        self._stop_tokens = {special[string]: string for string in stop if string in special}
        for string in stop:
            searched = {string, replaced_each(string, stand_ins)}
            self._stops += [(string, each, len(self._decoded)) for each in searched]

    def _stand_ins(self, texts: Sequence[str]) -> dict[str, str]:
        """The character that stands for each special token in some texts, in what is decoded from now on.

        Those in `MARKS` stand for themselves.
        """
        ids = added_ids(self._tokenizer, texts)
        for id in ids.values():
            self._written_tokens.setdefault(id, chr(STAND_INS[len(self._written_tokens)]))
        return {token: self._written_tokens[id] for token, id in ids.items()}

    def _with_stand_ins(self, marks: ReasoningMarks) -> ReasoningMarks:
        stand_ins = self._stand_ins(marks.own)
        return replace(marks, **{name: replaced_each(mark, stand_ins) for name, mark in vars(marks).items()})

    def add_token(self, token: int) -> None:
        """Appends a token; `text` grows by what can be shown of it."""
        if token in self._stop_tokens:
            self.finalize()
            self.stopped, self.stopped_by = True, self._stop_tokens[token]
            return
        self._read(token)
        awaited = [*((searched, begin) for _, searched, begin in self._stops), *self._replaced]
        self._show(self._decoded, max((overlap(self._decoded[begin:], string) for string, begin in awaited), default=0))

    def finalize(self) -> None:
        """Shows the text that was held back; no more tokens follow. A stop string ends it for good."""
        if self.stopped_by:
            return
        self._append(self._next_piece(is_last=True))
        if self._channels:
            self._decoded += self._channels.finish()
        self._show(self._decoded, 0)

    @property
    def num_characters(self) -> int:
        """How many characters the tokens so far have made, without one that is not complete."""
        before, now = self._last_and_new()
        return len(visible(self._decoded)) - 1 + len(visible(now[len(before) :]).rstrip("\ufffd"))

    @property
    def has_channels(self) -> bool:
        """Whether the answer is one on channels."""
        return self._channels is not None

    @property
    def is_reasoning(self) -> bool:
        """Whether the answer has begun its reasoning, and not ended it."""
        return self._channels.is_reasoning if self._channels else is_reasoning(self.text)

    @property
    def later_reasoning(self) -> str:
        """The reasoning after the first words of `text` outside of it."""
        return visible(self._channels.later_reasoning) if self._channels else ""

    def _read(self, token: int) -> None:
        mark = self._channel_marks.get(token)
        if mark is None or self._channels is None:
            self.ids.append(token)
            self._append(self._next_piece())
            return
        self._append(self._next_piece(is_last=True))
        self.ids.append(token)
        self._context = self._done = len(self.ids)
        self._decoded += self._written_tokens.get(token, "") + self._channels.mark(mark)

    def _append(self, piece: str) -> None:
        self._decoded += self._channels.text(piece) if self._channels and piece else piece

    def _next_piece(self, is_last: bool = False) -> str:
        """The text of the tokens since the last piece; empty while it ends in an incomplete character.

        A piece is decoded together with the one before it, because a token's text can depend on the previous token.
        The library's own `DecodeStream` does the same, but raises on invalid UTF-8.
        """
        before, now = self._last_and_new()
        if not now.startswith(before):  # with invalid UTF-8, some decoders change the text before it
            before, now = "", self._decode(self.ids[self._done :])
        if len(now) == len(before) or (now.endswith("\ufffd") and not is_last):  # nothing new, or part of a character
            return ""
        self._context, self._done = self._done, len(self.ids)
        return now[len(before) :]

    def _last_and_new(self) -> tuple[str, str]:
        """The last piece that was decoded, and the text from its beginning to the last token."""
        lead = () if self._context else self._after
        known = [*lead, *self.ids[self._context : self._done]]
        return self._decode(known), self._decode([*known, *self.ids[self._done :]])

    def _decode(self, ids: Sequence[int]) -> str:
        decode = self._tokenizer.backend_tokenizer.decode
        text, others = "", list[int]()
        for written, run in groupby(ids, key=self._written_tokens.get):  # runs of other tokens have the key None
            if written:
                text += written * len(list(run))
                continue
            tokens = list(run)
            before = decode(others, skip_special_tokens=True)
            others += tokens
            now = decode(others, skip_special_tokens=True)  # together, or the run's first token begins a text
            text += now[len(before) :] if now.startswith(before) else decode(tokens, skip_special_tokens=True)
        return text

    def _show(self, decoded: str, held_back: int) -> None:
        """Shows the text up to the first stop string, or without the last `held_back` characters."""
        ends = [(end, string) for string, each, begin in self._stops if (end := decoded.find(each, begin)) >= 0]
        self.stopped = bool(ends) or (self._channels is not None and self._channels.is_over)
        end, self.stopped_by = min(ends, default=(len(decoded) - held_back, ""))
        text = visible(self._reasoning.shown(self.start + decoded[:end]).removeprefix(self.start))
        for written, shown in self._format.replacements:
            text = text.replace(written, shown)
        self.text = self.start + text.removeprefix("\n").lstrip(self._format.strip_start)


def visible(text: str) -> str:
    """A text without what stands for special tokens."""
    return text if text.isascii() else text.translate(NOT_SHOWN)


def replaced_each(text: str, others: Mapping[str, str]) -> str:
    """The text with another one for each of some texts in it, of which the longest counts."""
    pattern = "|".join(map(re.escape, sorted(others, key=len, reverse=True)))
    return re.sub(pattern, lambda found: others[found[0]], text) if pattern else text


def overlap(text: str, awaited: str) -> int:
    """The length of the longest proper prefix of `awaited` that the text ends with."""
    return next((size for size in range(min(len(awaited) - 1, len(text)), 0, -1) if text.endswith(awaited[:size])), 0)
