"""Two answers to the same question: what each has that the other doesn't.

The page asks for the answers as for any others, one after the other, so that each has the whole machine and their
tokens/s can be compared; see `web/compare.js`.
"""

from collections.abc import Iterator

from engine.tokenizer import ChatTokenizer
from evaluation.differences import aligned

Part = dict[str, object]  # {"text": …, "differs": whether the other answer lacks it there}


def mark_differences(left: str, right: str, tokenizer: ChatTokenizer) -> tuple[list[Part], list[Part]]:
    """Two answers in parts, of which some differ from the other answer. The unit is a token.

    Args:
        tokenizer: splits both answers, also where another model wrote the second one: the tokens of two vocabularies
            can't be compared.
    """
    columns: tuple[list[Part], list[Part]] = ([], [])
    for ours, theirs, same in aligned(list(token_texts(left, tokenizer)), list(token_texts(right, tokenizer))):
        for column, texts in zip(columns, (ours, theirs), strict=True):
            if texts:
                column.append({"text": "".join(texts), "differs": not same})
    return columns


def token_texts(text: str, tokenizer: ChatTokenizer) -> Iterator[str]:
    """The tokens of a text, as pieces of it that make it up. Tokens that share a character are one piece."""
    start = 0
    for _, end in tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).offsets:
        if end > start:
            yield text[start:end]
            start = end
    if start < len(text):
        yield text[start:]
