"""How many tokens texts have: by an encoder's tokenizer, or about so many where there is none."""

import math
import re
from collections.abc import Callable, Sequence

CountTokens = Callable[[Sequence[str]], list[int]]

WIDE_CHARACTERS = re.compile("[\u2e80-\uffef\U00010000-\U0010ffff]")
CHARACTERS_PER_TOKEN = 3.8  # of texts in other scripts, as the page estimates (web/composer/attachments.js)


def estimate_tokens(texts: Sequence[str]) -> list[int]:
    """About how many tokens texts have: one for each wide character, and for about four others."""
    wide = [len(WIDE_CHARACTERS.findall(text)) for text in texts]
    return [math.ceil((len(text) - n) / CHARACTERS_PER_TOKEN + n) for text, n in zip(texts, wide, strict=True)]
