"""Token ids → text that is right at every moment."""

from collections.abc import Sequence

from chat_formats import CHECKPOINTS_OWN, ChatFormat
from engine.tokenizer import ChatTokenizer


class StreamingDetokenizer:
    """The text of an answer while its tokens arrive: the one place where it becomes what people see.

    It only ever grows: characters whose bytes are not all there, and what may turn out to be the beginning of a stop
    string or of something that is replaced, are held back. Special tokens are not shown.

    Attributes:
        text: what can be shown.
        ids: the tokens so far.
        stopped: a stop string has come; the text ends before it.
    """

    def __init__(self, tokenizer: ChatTokenizer, chat_format: ChatFormat = CHECKPOINTS_OWN, start: str = "") -> None:
        """`start` is the text that the prompt began the answer with."""
        self.text = start
        self.stopped = False
        self._tokenizer = tokenizer
        self._format = chat_format
        self._start = start
        self._held_back_for = [*chat_format.stop_strings, *(written for written, _ in chat_format.replacements)]
        self.ids: list[int] = []
        self._decoded = "\n"  # what begins a line may begin the answer
        self._context = self._done = 0  # ids[_context:_done] are the last that were decoded

    def add_token(self, token: int) -> None:
        self.ids.append(token)
        self._decoded += self._next_piece()
        held_back = max((_overlap(self._decoded, awaited) for awaited in self._held_back_for), default=0)
        self._show(self._decoded, held_back)

    def finalize(self) -> None:
        """No more tokens: nothing has to be held back any longer."""
        self._decoded += self._next_piece(is_last=True)
        self._show(self._decoded, 0)

    def _next_piece(self, is_last: bool = False) -> str:
        """The text of the tokens since the last piece, once it is certain, or because no more will come.

        A piece is decoded after the one before it, because a token's text can depend on its neighbour's. The library's
        own `DecodeStream` does that too, but raises where a model writes bytes that make no character.
        """
        before = self._decode(self.ids[self._context : self._done])
        now = self._decode(self.ids[self._context :])
        if not now.startswith(before):  # after such bytes some decoders show their neighbours in another way too
            before, now = "", self._decode(self.ids[self._done :])
        if len(now) == len(before) or (now.endswith("\ufffd") and not is_last):  # nothing new, or part of a character
            return ""
        self._context, self._done = self._done, len(self.ids)
        return now[len(before) :]

    def _decode(self, ids: Sequence[int]) -> str:
        return self._tokenizer.backend_tokenizer.decode(ids, skip_special_tokens=True)

    def _show(self, decoded: str, held_back: int) -> None:
        """Shows a text up to the first stop string in it, or else without its last characters."""
        ends = [end for stop in self._format.stop_strings if (end := decoded.find(stop)) >= 0]
        self.stopped = bool(ends)
        text = decoded[: min(ends, default=len(decoded) - held_back)]
        for written, shown in self._format.replacements:
            text = text.replace(written, shown)
        self.text = self._start + text.removeprefix("\n").lstrip(self._format.strip_start)


def _overlap(text: str, awaited: str) -> int:
    """How many of the first characters of a string, but not all, the text ends with."""
    return next((size for size in range(min(len(awaited) - 1, len(text)), 0, -1) if text.endswith(awaited[:size])), 0)
