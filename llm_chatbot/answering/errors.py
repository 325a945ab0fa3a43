"""The errors of the service. Cheap to import."""

from llm_chatbot.errors import UserError


class QueueFullError(UserError):
    """No more questions may wait.

    Attributes:
        unfinished: how many answers are being generated or wait.
        seconds: after which it may be tried again.
    """

    def __init__(self, unfinished: int, seconds: int) -> None:
        super().__init__("answering.busy", unfinished=unfinished, seconds=seconds)
        self.unfinished, self.seconds = unfinished, seconds


class ClosedError(UserError):
    """The service ends, and its answers with it."""

    def __init__(self) -> None:
        super().__init__("answering.closed")


class GrammarError(UserError):
    """A grammar that can't be compiled."""


class NoRoomError(UserError):
    """A model can't be loaded now, because those that answer have the memory."""

    def __init__(self, name: str, needed: int, available: int) -> None:
        super().__init__("model.no_room", name=name, needed=f"{needed / 1e9:.1f}", available=f"{available / 1e9:.1f}")
