"""How fast an encoder makes vectors, of short texts and of long ones.

python -m benchmarks.encoders [NAME]
"""

import sys
import time
from collections.abc import Sequence

from llm_chatbot.catalogue.encoders import DEFAULT_ENCODER
from llm_chatbot.encoder.encoder import Encoder
from llm_chatbot.encoder.loading import load_encoder

SECONDS = 10
WORDS = ["the", "weather", "in", "town", "was", "mild", "and", "people", "went", "out", "to", "buy", "bread"]
TEXTS = 64  # in a request


def texts(encoder: Encoder, tokens: int) -> list[str]:
    """Texts that differ, each with so many tokens, those included that begin and end it."""
    words = [WORDS[place % len(WORDS)] for place in range(tokens + len(WORDS) + TEXTS)]
    made = [" ".join(words[first : first + tokens - 2]) for first in range(TEXTS)]
    assert {encoder.num_tokens(text) for text in made} == {tokens}
    return made


def vectors_per_second(encoder: Encoder, made: Sequence[str]) -> float:
    encoder.embed(made)
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < SECONDS:
        count += len(encoder.embed(made))
    return count / (time.perf_counter() - started)


def main() -> None:
    encoder = load_encoder(sys.argv[1] if len(sys.argv) > 1 else DEFAULT_ENCODER)
    for tokens in (14, 200):
        speed = vectors_per_second(encoder, texts(encoder, tokens))
        print(f"{tokens} tokens: {speed:.0f} vectors, {speed * tokens:.0f} tokens a second", flush=True)


if __name__ == "__main__":
    main()
