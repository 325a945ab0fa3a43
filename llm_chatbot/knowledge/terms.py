"""The terms that full text is searched by, for FTS5's tokenizers, which split at spaces.

Chinese and Japanese have none between words: of a run of their characters each pair of neighbours is a term, as in
Lucene's CJKBigramFilter, and the last character. So a question's pairs meet a text's without a dictionary, and a single
character is found as the beginning of a term.
"""

import re
from collections.abc import Iterator

from llm_chatbot.knowledge.stop_words import STOP_WORDS

MAX_TERMS = 64  # of a question

# Chinese characters, kana and the marks between them; Korean has spaces, but joins words with particles.
CJK = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uac00-\ud7af\U00020000-\U0003ffff"
RUN = re.compile(f"[{CJK}]+|[^\\W_{CJK}]+")
IS_CJK = re.compile(f"[{CJK}]")
HIRAGANA = re.compile("[\u3040-\u309f]")
CAMEL = re.compile("(?<=[a-z0-9])(?=[A-Z])")  # names in code


def terms_of(text: str) -> str:
    """The terms of a text, with spaces between them."""
    return " ".join(_terms(text))


def _terms(text: str) -> Iterator[str]:
    for match in RUN.finditer(text):
        run = match[0]
        if IS_CJK.match(run):
            yield from _pairs(run)
            yield run[-1]
            continue
        yield run
        if len(words := CAMEL.split(run)) > 1:
            yield from words


def _pairs(run: str) -> Iterator[str]:
    return (run[place : place + 2] for place in range(len(run) - 1))


def query_terms(question: str) -> list[str]:
    """The terms of a question that tell what it is about, at most `MAX_TERMS`; all of them, if none does.

    A term is FTS5's expression for it. Of Chinese and Japanese, pairs with a hiragana in them are left out, most of
    which are endings and particles.
    """
    terms = list(dict.fromkeys(term for match in RUN.finditer(question) for term in _query_terms(match[0])))
    telling = [term for term in terms if term.strip('"*').lower() not in STOP_WORDS and not HIRAGANA.search(term)]
    return (telling or terms)[:MAX_TERMS]


def _query_terms(run: str) -> Iterator[str]:
    if not IS_CJK.match(run):
        yield f'"{run}"'
    elif len(run) == 1:
        yield f'"{run}"*'
    else:
        yield from (f'"{pair}"' for pair in _pairs(run))


def is_pair(term: str) -> bool:
    """Whether a term of `query_terms` is two neighbours of a run without spaces, and perhaps no word."""
    return len(term) == 4 and IS_CJK.match(term[1]) is not None
