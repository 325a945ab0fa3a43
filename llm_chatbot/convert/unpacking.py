"""How weights become 16-bit numbers on their way into a graph, and which are refused."""

from collections.abc import Callable

import numpy as np

from llm_chatbot.decoder.tensors import Unpacking
from llm_chatbot.errors import UserError
from llm_chatbot.folder.variant import Variant


def unpacking_of(variant: Variant) -> Unpacking:
    """Refuses weights that are NaN or infinite with a `UserError`, unless the variant allows them."""
    return Unpacking(_any_number if variant.allow_non_finite else _finite(variant.config.model_id))


def _any_number(tensor: str, values: np.ndarray) -> None:
    pass


def _finite(name: str) -> Callable[[str, np.ndarray], None]:
    """Refuses weights that are NaN or infinite: NNCF would silently make ordinary ones of them.

    Args:
        name: the model's, for the message.
    """

    def check(tensor: str, values: np.ndarray) -> None:
        if not np.isfinite(values).all():
            raise UserError("checkpoint.not_finite", name=name, tensor=tensor, count=1)

    return check
