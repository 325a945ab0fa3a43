"""The error that every part of the program raises for what a user can cause."""


class UserError(ValueError):
    """An error that a user can cause. The message is one sentence that also names the remedy."""
