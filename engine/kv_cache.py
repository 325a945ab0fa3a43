"""The keys and values of one conversation, which a compiled model's infer request holds as its state."""

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

from config import UserError
from engine.graph import LOGITS_TO_KEEP, NTK_ALPHA, ntk_alpha

import numpy as np
import openvino as ov

if TYPE_CHECKING:
    from ov_llm_model import OVChatModel


class KVCache:
    """The keys and values of one sequence of tokens, in an infer request of their own.

    Attributes:
        ids: the tokens whose keys and values are held, in order.
    """

    def __init__(self, model: "OVChatModel") -> None:
        self.ids: list[int] = []
        self._compiled = model.request.get_compiled_model()
        self._request: ov.InferRequest | None = None
        self._input_names = set(model.input_names)
        self._longest, self._scaled_beyond = model.longest, model.scaled_beyond
        self._alpha: float | None = None  # all keys depend on it
        self._sequence_axes = {
            variable.info.variable_id: model.sequence_axis(variable) for variable in model.model.get_variables()
        }

    def reset(self) -> None:
        """Forgets the tokens."""
        self.ids = []
        self._alpha = None
        if self._request is not None:
            self._request.reset_state()

    def release(self) -> None:
        """Forgets the tokens and gives the memory back."""
        self.ids = []
        self._request = self._alpha = None

    def keep_prefix(self, ids: Sequence[int], prompt_length: int | None = None) -> int:
        """Cuts the cache back to the tokens that it has in common with `ids`, and returns how many that are.

        Args:
            ids: what will be the beginning of the sequence.
            prompt_length: of all that will be fed before the answer, where that is more than `ids`.
        """
        alpha = ntk_alpha(prompt_length or len(ids), self._scaled_beyond)
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self.ids, ids, strict=False)))
        if common == 0 or alpha != self._alpha:
            common = 0
            self.reset()
            self._alpha = alpha
        elif common < len(self.ids) and self._request is not None:
            for state in self._request.query_state():
                kept = np.take(state.state.data, range(common), self._sequence_axes[state.name])
                state.state = ov.Tensor(kept)
            self.ids = self.ids[:common]
        return common

    def feed(self, ids: Sequence[int]) -> np.ndarray:
        """Appends tokens to the sequence and returns the logits after the last one, float32 [vocabulary].

        The array is the runtime's own: it holds until the next call.
        """
        if self._request is None:
            self._request = self._compiled.create_infer_request()
        past, total = len(self.ids), len(self.ids) + len(ids)
        check_length(total, self._longest)
        if self._alpha is None:
            self._alpha = ntk_alpha(total, self._scaled_beyond)
        inputs = {
            "input_ids": np.array([ids], dtype=np.int64),
            "attention_mask": np.ones((1, total), dtype=np.int64),
            "position_ids": np.arange(past, total, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
            LOGITS_TO_KEEP: np.ones(1, dtype=np.int64),
            NTK_ALPHA: np.array([self._alpha], dtype=np.float32),
        }
        held, self.ids = self.ids, []  # should the runtime fail, what it holds is unknown
        fed = {name: inputs[name] for name in self._input_names}
        self._request.start_async(fed, share_inputs=True)  # on the runtime's own thread: faster here than `infer`
        self._request.wait()
        held.extend(ids)
        self.ids = held
        return self._request.get_tensor("logits").data[0, -1]


def check_length(tokens: int, longest: int) -> None:
    """Refuses a sequence that the model would fail on or read wrongly.

    Raises:
        UserError: it is too long.
    """
    if tokens > longest:
        raise UserError(
            f"{tokens} tokens are more than the {longest} that this model reads; "
            f"shorten the text or ask for a shorter answer."
        )
