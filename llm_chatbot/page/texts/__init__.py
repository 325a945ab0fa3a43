"""Sentences of parts whose errors have no key yet, as the page says them in its own language."""

import re
from functools import cache

from llm_chatbot.errors import UserError
from llm_chatbot.texts import texts


@cache
def patterns() -> dict[str, re.Pattern[str]]:
    return {
        key: re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(forms["other"])), re.DOTALL)
        for key, forms in texts("en").items()
        if key.startswith("error_") or key == "too_long"
    }


def recognised(sentence: str) -> dict[str, object]:
    """An English sentence as `{"key": …, "values": …}`, or as `{"text": sentence}`."""
    for key, pattern in patterns().items():
        if match := pattern.fullmatch(sentence):
            return {"key": key, "values": match.groupdict()}
    return {"text": sentence}


def described(error: UserError) -> dict[str, object]:
    return recognised(str(error)) if error.key == "verbatim" else error.as_json()
