"""The texts of the page in each of its languages."""

import re

from llm_chatbot.page.texts import en, ja, zh

# The languages in the order of the switch, each by its own name.
LANGUAGES = {"en": "English", "ja": "日本語", "zh": "中文"}

# `translate` and `web/dom.js` fill in what is in braces. If `count` is 1, they prefer the text whose name ends in
# "_one"; Japanese and Chinese have no such forms.
TEXTS: dict[str, dict[str, str]] = {"en": en.TEXTS, "ja": ja.TEXTS, "zh": zh.TEXTS}

# Sentences of other parts that the page says in its own language: in English, they are the same texts. What the
# converter says of a single checkpoint or GGUF file stays in English, as in its terminal: it is about names of tensors,
# types and files, and seldom seen.
RECOGNISED = {
    key: re.compile(re.sub(r"\\{(\w+)\\}", r"(?P<\1>.+)", re.escape(text)), re.DOTALL)
    for key, text in TEXTS["en"].items()
    if key.startswith("error_") or key == "too_long"
}


def recognised(sentence: str) -> dict[str, object]:
    """An English sentence as `{"key": …, "values": …}` of `TEXTS`, or as `{"text": sentence}`."""
    for key, pattern in RECOGNISED.items():
        if match := pattern.fullmatch(sentence):
            return {"key": key, "values": match.groupdict()}
    return {"text": sentence}


def translate(language: str, text: str, **values: object) -> str:
    """A text of `TEXTS` with its values filled in; in English if the page does not have the language."""
    texts = TEXTS.get(language, TEXTS["en"])
    singular = texts.get(f"{text}_one") if values.get("count") == 1 else None
    return (singular or texts[text]).format(**values)
