"""The error that every part of the program raises for what a user can cause."""

from typing import Any

from llm_chatbot.texts import Text


class UserError(Text, ValueError):
    """An error that a user can cause: one sentence, which also names the remedy, in each language; see `Text`."""

    def __reduce__(self) -> Any:  # an exception is made again of its positional arguments, which lack the values
        return _made_again, (type(self), self.__dict__)


def _made_again(kind: type[UserError], attributes: dict[str, Any]) -> UserError:
    error = kind.__new__(kind)
    error.__dict__.update(attributes)
    return error
