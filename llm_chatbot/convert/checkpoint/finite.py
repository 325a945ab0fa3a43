"""Finds weights that are no numbers: NNCF would silently make ordinary ones of them."""

import math

import torch
from transformers import PreTrainedModel

from llm_chatbot.errors import UserError

WEIGHTS_AT_A_TIME = 1 << 22  # weights that are looked at at a time, which stay in the processor's cache


def check_finite(model: PreTrainedModel, name: str) -> None:
    """Checks that no weight is NaN or infinite.

    Args:
        model: with all its weights.
        name: the model's, for the message.

    Raises:
        UserError: a tensor has such weights; the sentence names it.
    """
    wrong = [tensor for tensor, weights in model.named_parameters() if not is_finite(weights.detach())]
    if wrong:
        raise UserError("checkpoint.not_finite", name=name, tensor=wrong[0], count=len(wrong))


def is_finite(weights: torch.Tensor) -> bool:
    """Whether all weights are. A minimum or maximum is NaN where a weight is."""
    if not weights.numel():
        return True
    blocks = weights.reshape(-1).split(WEIGHTS_AT_A_TIME)
    return all(math.isfinite(limit) for block in blocks for limit in block.aminmax())
