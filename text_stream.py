"""Token ids → text that is right at every moment."""

from collections.abc import Sequence

from tokenizers.decoders import DecodeStream
from transformers import PreTrainedTokenizerFast


class TextStream:
    """The text of an answer while its tokens arrive.

    It only ever grows: characters whose bytes are not all there, and what may turn out to be the beginning of a stop
    string, are held back. Special tokens are not shown.

    Attributes:
        text: what can be shown.
        ids: the tokens so far.
        stopped: a stop string has come; the text ends before it.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, stop_strings: Sequence[str] = ()) -> None:
        self.text = ""
        self.stopped = False
        self._tokenizer = tokenizer
        self._stop_strings = stop_strings
        self.ids: list[int] = []
        self._decoded = ""
        self._decoder = DecodeStream(skip_special_tokens=True)

    def push(self, token: int) -> None:
        self.ids.append(token)
        self._decoded += self._decoder.step(self._tokenizer.backend_tokenizer, token) or ""
        self._show(self._decoded)
        if not self.stopped:
            held_back = max((_overlap(self._decoded, stop) for stop in self._stop_strings), default=0)
            self.text = self._decoded[: len(self._decoded) - held_back]

    def finish(self) -> None:
        """No more tokens: nothing has to be held back any longer."""
        self._show(self._tokenizer.decode(self.ids, skip_special_tokens=True))

    def _show(self, text: str) -> None:
        """Shows a text up to the first stop string in it."""
        ends = [end for stop in self._stop_strings if (end := text.find(stop)) >= 0]
        self.stopped = bool(ends)
        self.text = text[: min(ends, default=len(text))]


def _overlap(text: str, stop: str) -> int:
    """How many of a stop string's first characters the text ends with."""
    return next((size for size in range(min(len(stop), len(text)), 0, -1) if text.endswith(stop[:size])), 0)
