"""The change that an adapter makes to a weight."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

VALUES_AT_A_TIME = 1 << 22


@dataclass(frozen=True)
class LowRank:
    """A product of two thin matrices, which is added to a weight: W + scale * left · right (arXiv:2106.09685).

    Attributes:
        left, right: float32 [rows, rank] and [rank, columns], as the weight [rows, columns] is stored.
        magnitude: of each output, float32 [outputs]; None without DoRA (Liu et al. 2024, arXiv:2402.09353), which
            divides what comes out by its norm over the inputs and multiplies it by this.
        outputs_first: whether the rows are the outputs.
    """

    left: np.ndarray
    right: np.ndarray
    scale: float
    magnitude: np.ndarray | None = None
    outputs_first: bool = True

    @property
    def shape(self) -> tuple[int, int]:
        """Of the weight that it belongs to."""
        return len(self.left), self.right.shape[1]

    def with_rows(self, order: np.ndarray) -> "LowRank":
        """For a weight whose rows are sorted in this order."""
        magnitude = self.magnitude if self.magnitude is None else self.magnitude[order]
        return replace(self, left=self.left[order], magnitude=magnitude)

    def add_to(self, weight: np.ndarray) -> None:
        """Changes a weight in place, float32 [rows, columns]."""
        step = max(1, VALUES_AT_A_TIME // weight.shape[1])
        for first in range(0, len(weight), step):
            weight[first : first + step] += self.scale * (self.left[first : first + step] @ self.right)
        if self.magnitude is not None:
            norms = np.linalg.norm(weight, axis=1 if self.outputs_first else 0)
            factors = self.magnitude / norms
            weight *= factors[:, None] if self.outputs_first else factors


@dataclass(frozen=True)
class Adapter:
    """An adapter.

    Attributes:
        name: for messages.
        low_rank: by the layer that it changes.
        replaced: weights that it brings whole, float32, by their names in the model.
        is_gguf: whether layers and weights have the names that GGUF files have for them, and their order of rows.
        architecture: what a GGUF adapter says that it belongs to.
    """

    name: str
    low_rank: Mapping[str, LowRank]
    replaced: Mapping[str, np.ndarray] = field(default_factory=dict)
    is_gguf: bool = False
    architecture: str | None = None
