"""Runs an encoder's graph: texts → vectors, and a question with texts → how well they fit."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import openvino as ov
from tokenizers import Encoding, Tokenizer

from llm_chatbot.encoder.settings import EncoderSettings
from llm_chatbot.engine.errors import NonFiniteError
from llm_chatbot.engine.text.control_tokens import well_formed
from llm_chatbot.errors import UserError

# The most tokens of one call of the runtime, padding included: longer calls are no faster, and others wait for them.
CALL_TOKENS = 2048


class TextTooLongError(UserError):
    """A text has more tokens than an encoder reads.

    Attributes:
        place: of the text among those that were given.
    """

    def __init__(self, name: str, place: int, tokens: int, most: int) -> None:
        super().__init__("encoder.too_long", name=name, number=place + 1, tokens=tokens, most=most)
        self.place = place


@dataclass(frozen=True)
class Tokens:
    """A text as an encoder reads it, or two.

    Attributes:
        ids: of the tokens, those included that begin, part and end texts.
        types: 0 for the first text, 1 for the second where the model tells them apart.
    """

    ids: Sequence[int]
    types: Sequence[int]


class EncoderModel:
    """An encoder's tokenizer and its compiled graph. Safe to use from several threads.

    Args:
        name: for messages.
        settings: of the checkpoint.
        tokenizer: puts its tokens around a text; it neither cuts nor pads.
        compiled: the graph of `llm_chatbot.encoder.graph.build_encoder`.

    Attributes:
        size: of its weights' files, in bytes.
    """

    def __init__(self, name: str, settings: EncoderSettings, tokenizer: Tokenizer, compiled: ov.CompiledModel) -> None:
        self.name, self.settings = name, settings
        self._tokenizer, self._request = tokenizer, compiled.create_infer_request()
        self.size = sum(file.stat().st_size for file in settings.folder.glob("*.safetensors"))
        self._lock = threading.Lock()

    @property
    def max_tokens(self) -> int:
        """How many tokens a text may have, those included that the tokenizer puts around it."""
        return self.settings.max_tokens

    def ids(self, text: str, around: bool) -> list[int]:
        """The ids of a text's tokens; `around`: with those that begin and end every text."""
        return self._tokenizer.encode(well_formed(text), add_special_tokens=around).ids

    def text(self, ids: Sequence[int]) -> str:
        """The text of tokens, those included that begin and end a text; ids without a token have none."""
        return self._tokenizer.decode(ids, skip_special_tokens=False)

    def calls(self, texts: Sequence[Tokens]) -> Iterator[tuple[list[int], np.ndarray]]:
        """Runs the graph for texts of about the same length at a time.

        Yields:
            The places of some texts, and what the graph says of them, float32 [texts, ...].

        Raises:
            TextTooLongError: a text is too long; before anything is computed.
            NonFiniteError: the model computed NaN or infinities.
        """
        for place, text in enumerate(texts):
            if len(text.ids) > self.max_tokens:
                raise TextTooLongError(self.name, place, len(text.ids), self.max_tokens)
        for places in _batches([len(text.ids) for text in texts]):
            yield places, self._run([texts[place] for place in places])

    def _all(self, texts: Sequence[Tokens], width: int) -> np.ndarray:
        results = np.empty((len(texts), width), np.float32)
        for places, values in self.calls(texts):
            results[places] = values
        return results

    def _run(self, texts: Sequence[Tokens]) -> np.ndarray:
        shape = len(texts), max(len(text.ids) for text in texts)
        ids, mask, types = (np.zeros(shape, np.int64) for _ in range(3))
        for row, text in enumerate(texts):
            count = len(text.ids)
            ids[row, :count], mask[row, :count], types[row, :count] = text.ids, 1, text.types
        with self._lock:
            results = self._request.infer({"input_ids": ids, "attention_mask": mask, "token_type_ids": types})
            values = next(iter(results.values())).copy()
        if not np.isfinite(values).all():
            raise NonFiniteError("encoder.not_finite", name=self.name)
        return values

    def _tokens(self, encoding: Encoding) -> Tokens:
        last = self.settings.types - 1
        return Tokens(encoding.ids, [min(type, last) for type in encoding.type_ids])


class Encoder(EncoderModel):
    """Turns a text into a vector. Two texts are the closer in meaning, the larger the product of their vectors is."""

    @property
    def dimensions(self) -> int:
        """How many values a vector has."""
        return self.settings.hidden

    def tokenize(self, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of texts. What is written in them never becomes a control token."""
        return [self._tokens(encoding) for encoding in self._tokenizer.encode_batch([*map(well_formed, texts)])]

    def tokens_of(self, ids: Sequence[int]) -> Tokens:
        """A text whose ids are given, those included that begin and end it.

        Raises:
            UserError: one is no token's.
        """
        unknown = next((id for id in ids if not 0 <= id < self.settings.vocabulary), None)
        if unknown is not None:
            raise UserError("encoder.unknown_id", id=unknown, name=self.name, count=self.settings.vocabulary)
        return Tokens(ids, [0] * len(ids))

    def shortened(self, text: Tokens) -> Tokens:
        """A text with as many tokens as can be read; its last token, which ends every text, is kept."""
        if len(text.ids) <= self.max_tokens:
            return text
        return Tokens(*([*values[: self.max_tokens - 1], values[-1]] for values in (text.ids, text.types)))

    def num_tokens(self, text: str) -> int:
        """How many tokens a text has, those included that the tokenizer puts around it."""
        return len(self.tokenize([text])[0].ids)

    def embed(self, texts: Sequence[str], shorten: bool = False) -> np.ndarray:
        """The vectors of texts, each of length 1, float32 [texts, dimensions].

        Args:
            shorten: whether as much is read of each text as can be.

        Raises:
            TextTooLongError: a text has more than `max_tokens`.
        """
        tokens = self.tokenize(texts)
        return self._all([self.shortened(text) for text in tokens] if shorten else tokens, self.dimensions)


class CrossEncoder(EncoderModel):
    """Reads a question and a text together, and says how well they fit."""

    def tokenize_pairs(self, question: str, texts: Sequence[str]) -> list[Tokens]:
        """The tokens of the question with each of the texts."""
        pairs = [(well_formed(question), well_formed(text)) for text in texts]
        return [self._tokens(encoding) for encoding in self._tokenizer.encode_batch(pairs)]

    def scores(self, question: str, texts: Sequence[str]) -> np.ndarray:
        """How well texts fit a question, from 0 to 1, float32 [texts].

        Raises:
            TextTooLongError: the question with a text has more than `max_tokens`.
        """
        return probabilities(self._all(self.tokenize_pairs(question, texts), 1)[:, 0])


def probabilities(scores: np.ndarray) -> np.ndarray:
    """The logistic function of what a classifier says; it keeps float32 from running over."""
    return (0.5 * (1 + np.tanh(0.5 * scores))).astype(np.float32)


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """The places of texts, so that a batch has at most `CALL_TOKENS` tokens with its padding, or one text."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lengths.__getitem__):  # the last is the longest
        if batch and (len(batch) + 1) * lengths[place] > CALL_TOKENS:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch
