"""Limits on the choice of the next token besides sampling: a grammar, and the end of the reasoning."""

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np


class TokenConstraint(Protocol):
    """Limits an answer's tokens, for example to those of a grammar."""

    def mask(self, logits: np.ndarray) -> None:
        """Sets the logits of forbidden tokens to -inf, in place; float32 [vocabulary]. Called before each choice.

        If none is left, the answer ends.
        """

    def accept(self, token: int) -> None:
        """Records the token that was chosen, even if it is a stop token."""


class AfterReasoning:
    """A constraint that holds for the answer, but not for the reasoning that it may begin with.

    Args:
        constraint: holds outside of the reasoning.
        is_reasoning: returns whether the answer has begun its reasoning, and not ended it.
        opening: the ids that the model begins its reasoning with, where the prompt does not contain them. The answer
            may begin with the first of them, and the others follow. Empty, or the first of several is one that the
            constraint allows: it may not.
    """

    def __init__(
        self, constraint: TokenConstraint, is_reasoning: Callable[[], bool], opening: Sequence[int] = ()
    ) -> None:
        self._constraint = constraint
        self._is_reasoning = is_reasoning
        self._opening = list(opening)  # what may be written, or has to be once it is begun
        self._opened = False

    def mask(self, logits: np.ndarray) -> None:
        if self._opening:
            first = self._opening[0]
            wanted = logits[first]
            if self._opened:
                logits[:] = -np.inf
            else:
                self._constraint.mask(logits)
                if len(self._opening) > 1 and logits[first] > -np.inf:  # the answer itself may begin so: `<b>`
                    self._opening = []
                    return
            logits[first] = wanted
        elif not self._is_reasoning():
            self._constraint.mask(logits)

    def accept(self, token: int) -> None:
        if self._opening and token == self._opening[0]:
            del self._opening[0]
            self._opened = True
            return
        self._opening = []
        if not self._is_reasoning():
            self._constraint.accept(token)


class ThinkingBudget:
    """Ends the reasoning after a number of tokens, by forcing those that close it.

    Args:
        budget: the maximum number of tokens of the reasoning.
        spent: how many of them the answer already has.
        closing: the ids of what ends it, such as `</think>` and the newlines around it.
        is_reasoning: returns whether the answer has begun its reasoning, and not ended it.
    """

    def __init__(self, budget: int, spent: int, closing: Sequence[int], is_reasoning: Callable[[], bool]) -> None:
        self._left = budget - spent
        self._closing = list(closing)  # what is still to be forced
        self._forcing = False
        self._is_reasoning = is_reasoning

    @property
    def is_closing(self) -> bool:
        """Whether the end of the reasoning has begun, and is not complete."""
        return self._forcing and bool(self._closing)

    def mask(self, logits: np.ndarray) -> None:
        self._forcing = bool(self._closing) and (self._forcing or (self._left <= 0 and self._is_reasoning()))
        if self._forcing:
            logits[:] = -np.inf
            logits[self._closing[0]] = 0

    def accept(self, token: int) -> None:
        if self._forcing:
            del self._closing[0]
        elif self._is_reasoning():
            self._left -= 1
