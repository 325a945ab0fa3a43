"""The keys and values of one conversation, which a compiled model's infer request holds as its state."""

from collections.abc import Sequence
from itertools import takewhile

# Before the libraries below: importing it keeps them from reporting usage.
import config  # noqa: F401

# isort: split
import numpy as np
import openvino as ov
from optimum.intel import OVModelForCausalLM

# The name that Transformers has for it, as an argument of `forward` and here of the graph too.
LOGITS_TO_KEEP = "logits_to_keep"


class KVCache:
    """The keys and values of one sequence of tokens, in an infer request of their own.

    Attributes:
        ids: the tokens whose keys and values are held, in order.
    """

    def __init__(self, model: OVModelForCausalLM) -> None:
        self.ids: list[int] = []
        self._compiled = model.request.get_compiled_model()
        self._request: ov.InferRequest | None = None
        self._input_names = set(model.input_names)
        self._sequence_axes = {
            variable.info.variable_id: _sequence_axis(variable) for variable in model.model.get_variables()
        }

    def reset(self) -> None:
        """Forgets the tokens."""
        self.ids = []
        if self._request is not None:
            self._request.reset_state()

    def release(self) -> None:
        """Forgets the tokens and gives the memory back."""
        self.ids = []
        self._request = None

    def keep_prefix(self, ids: Sequence[int]) -> int:
        """Cuts the cache back to the tokens that it has in common with `ids`, and returns how many that are."""
        common = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(self.ids, ids, strict=False)))
        if common == 0:
            self.reset()
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
        inputs = {
            "input_ids": np.array([ids], dtype=np.int64),
            "attention_mask": np.ones((1, total), dtype=np.int64),
            "position_ids": np.arange(past, total, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
            LOGITS_TO_KEEP: np.ones(1, dtype=np.int64),
        }
        held, self.ids = self.ids, []  # should the runtime fail, what it holds is unknown
        fed = {name: inputs[name] for name in self._input_names}
        self._request.start_async(fed, share_inputs=True)  # on the runtime's own thread: faster here than `infer`
        self._request.wait()
        held.extend(ids)
        self.ids = held
        return self._request.get_tensor("logits").data[0, -1]


def _sequence_axis(variable: ov.op.util.Variable) -> int:
    """The axis of a state variable that grows with the sequence: the dynamic one that is not the batch."""
    return next(axis for axis, size in enumerate(variable.info.data_shape) if axis > 0 and size.is_dynamic)
