"""The words of the lesson's figures, controls and tables in the notebook's language.

The three notebooks have the same code, in English; `say` looks up what a reader sees of its results.
"""

from typing import Any

from llm_chatbot.lesson.front_end import notebook_language
from llm_chatbot.texts import texts, translate


def say(text: str, **values: Any) -> str:
    """A text in the notebook's language, with its values; one that `llm_chatbot.texts` doesn't have stays as it is."""
    key = f"lesson.{text}"
    return translate(notebook_language(), key, **values) if key in texts("en") else text
