"""How likely the tokens of an answer were to the model, and which others it considered."""

import re
from dataclasses import dataclass

import numpy as np
from tokenizers import Tokenizer

from llm_chatbot.engine.decode.sampling import log_softmax
from llm_chatbot.gguf.tokenizer import REPEATED

TopToken = tuple[int, str, float]  # id, text, log-probability

# A byte that the vocabulary has as a token of its own, in tokenizers that fall back to bytes.
_BYTE = re.compile("<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class TokenChoice:
    """One token of an answer.

    Attributes:
        id: the token.
        text: what it adds to the text; U+FFFD stands for a piece of a character.
        logprob: its log-probability in the model's own distribution, at temperature 1 without penalty or constraint.
        top: the most likely tokens at this place, the most likely first: ids, texts and log-probabilities.
    """

    id: int
    text: str
    logprob: float
    top: tuple[TopToken, ...]


def token_choice(tokenizer: Tokenizer, token: int, logits: np.ndarray, count: int) -> TokenChoice:
    """A token and the `count` most likely ones at its place, for the model's own logits float32 [vocabulary]."""
    logprobs = log_softmax(logits)
    likely = np.argpartition(-logprobs, min(count, logprobs.size - 1))[:count]
    likely = likely[np.argsort(-logprobs[likely], kind="stable")]
    top = tuple((int(id), token_text(tokenizer, int(id)), float(logprobs[id])) for id in likely)
    return TokenChoice(token, token_text(tokenizer, token), float(logprobs[token]), top)


def token_text(tokenizer: Tokenizer, id: int) -> str:
    """The text that a token adds to others; U+FFFD stands for a piece of a character."""
    return token_bytes(tokenizer, id).decode("utf-8", "replace")


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
