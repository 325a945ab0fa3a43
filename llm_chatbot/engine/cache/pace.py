"""The clock of chunked prefill: how many tokens of prompts to read at once."""

import math

# Chunked prefill: a prompt is read in chunks, so that the caller can stop in between, and others decode meanwhile. Each
# is to take at most this many seconds, and the last one half as much again. Its tokens are a power of two, as many as
# whole blocks of a paged cache.
CHUNK_SECONDS = 0.2
MIN_CHUNK, MAX_CHUNK = 32, 256  # more tokens at once are read no faster, and take more memory


class Pace:
    """How many tokens of a prompt to read at once.

    Attributes:
        tokens: for the next chunk, by the speed of the last one.
    """

    def __init__(self) -> None:
        self.tokens = MIN_CHUNK

    def note(self, tokens: int, seconds: float) -> None:
        """Adapts to the time that a chunk took, unless it had too few tokens to measure a speed."""
        if tokens >= MIN_CHUNK and seconds > 0:
            wanted = CHUNK_SECONDS * tokens / seconds
            size = 2 ** math.floor(math.log2(wanted))
            self.tokens = min(max(size, MIN_CHUNK), MAX_CHUNK)
