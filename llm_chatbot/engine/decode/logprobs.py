"""How likely the tokens of an answer were to the model, and which others it considered."""

import math
import re
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from tokenizers import Tokenizer

from llm_chatbot.engine.decode.sampling import log_softmax
from llm_chatbot.gguf.tokenizer import REPEATED

# Stands for a probability of none, because JSON has no infinities. As OpenAI has it:
# https://platform.openai.com/docs/api-reference/chat/object
UNLIKELY = -9999.0

# A byte that the vocabulary has as a token of its own, in tokenizers that fall back to bytes.
_BYTE = re.compile("<0x([0-9A-F]{2})>")


class TopToken(NamedTuple):
    """A token that was likely at a place; the attributes are those of `TokenChoice`."""

    id: int
    text: str
    logprob: float
    bytes: bytes


@dataclass(frozen=True)
class TokenChoice:
    """One token of an answer.

    Attributes:
        id: the token.
        text: what it adds to the text; U+FFFD stands for a piece of a character.
        logprob: its log-probability in the model's own distribution, at temperature 1 without penalty or constraint, at
            least `UNLIKELY`; NaN for the first token of all, which follows nothing.
        bytes: what it adds to the text in UTF-8; those of several tokens may make one character.
        top: the most likely tokens at this place, the most likely first.
        offset: where it begins in the text, in characters. One that goes on with a character begins there.
    """

    id: int
    text: str
    logprob: float
    bytes: bytes
    top: tuple[TopToken, ...]
    offset: int = 0


def token_choice(tokenizer: Tokenizer, token: int, logits: np.ndarray, count: int, offset: int = 0) -> TokenChoice:
    """A token and the `count` most likely ones at its place, for the model's own logits float32 [vocabulary]."""
    logprobs = np.maximum(log_softmax(logits), UNLIKELY)
    likely = np.argpartition(-logprobs, min(count, logprobs.size - 1))[:count]
    likely = likely[np.argsort(-logprobs[likely], kind="stable")]

    def described(id: int) -> TopToken:
        written = token_bytes(tokenizer, id)
        return TopToken(id, written.decode("utf-8", "replace"), float(logprobs[id]), written)

    return TokenChoice(*described(token), tuple(described(int(id)) for id in likely), offset)


def first_choice(tokenizer: Tokenizer, token: int) -> TokenChoice:
    """The first token of a prompt. One that begins every text, such as BOS, adds nothing to the text."""
    added = tokenizer.get_added_tokens_decoder().get(token)
    written = b"" if added is not None and added.special else token_bytes(tokenizer, token)
    return TokenChoice(token, written.decode("utf-8", "replace"), math.nan, written, ())


def token_bytes(tokenizer: Tokenizer, id: int) -> bytes:
    """The bytes that a token adds to the UTF-8 text of others; none for an id without a token."""
    token = (tokenizer.id_to_token(id) or "").rstrip(REPEATED)
    decoder = tokenizer.decoder
    if decoder is None:
        return token.encode()
    if decoder.decode(["Ġ"]) == " ":  # byte-level: each character stands for a byte, but in added tokens
        is_bytes = all(character in BYTES_OF_CHARACTERS for character in token)
        return bytes(BYTES_OF_CHARACTERS[character] for character in token) if is_bytes else token.encode()
    if (byte := _BYTE.fullmatch(token)) and decoder.decode(["<0x41>"]) == "A":
        return bytes([int(byte[1], 16)])
    # After another token, because decoders strip the space at a text's beginning.
    return decoder.decode(["a", token]).removeprefix("a").encode()


def bytes_of_characters() -> dict[str, int]:
    """The bytes that the characters of a byte-level vocabulary stand for: printable Latin-1 for itself, others moved.

    From https://github.com/openai/gpt-2/blob/master/src/encoder.py.
    """
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(0x100) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + place): byte for place, byte in enumerate(others)}


BYTES_OF_CHARACTERS = bytes_of_characters()
