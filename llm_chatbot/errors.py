"""The error that every part of the program raises for what a user can cause."""

from functools import partial
from typing import Any

from llm_chatbot.texts import Text, texts


class UserError(Text, ValueError):
    """An error that a user can cause: one sentence, which also names the remedy, in each language; see `Text`."""

    def __init__(self, key: str, /, **values: Any) -> None:
        if key not in texts("en"):  # a sentence of a part that has no keys yet
            key, values = "verbatim", {"text": key}
        super().__init__(key, **values)

    def __reduce__(self) -> Any:  # an exception is pickled by its positional arguments alone
        return partial(type(self), **self.values), (self.key,)
