"""The KV cache of one conversation, held as the state of an infer request."""

import time
from collections.abc import Mapping, Sequence

import numpy as np
import openvino as ov

from llm_chatbot.engine.cache.block_pool import common_length
from llm_chatbot.engine.cache.pace import Pace
from llm_chatbot.engine.graph.logits import LOGITS_TO_KEEP
from llm_chatbot.errors import UserError


class KVCache:
    """The KV cache of one sequence, in its own infer request.

    Args:
        compiled: a stateful model.
        sequence_axes: the axis of each state that grows with the sequence, by the state's name.
        max_length: the maximum length of the sequence, in tokens; None for no limit.
        pace: learns how long prompts take.

    Attributes:
        ids: the cached tokens, in order.
    """

    def __init__(
        self,
        compiled: ov.CompiledModel,
        sequence_axes: Mapping[str, int],
        max_length: int | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.ids: list[int] = []
        self._compiled = compiled
        self._request: ov.InferRequest | None = None
        self._input_names = {port.get_any_name() for port in compiled.inputs}
        self._sequence_axes = sequence_axes
        self._max_length = max_length
        self._pace = pace or Pace()

    def reset(self) -> None:
        """Empties the cache."""
        self.ids = []
        if self._request is not None:
            self._request.reset_state()

    def release(self) -> None:
        """Empties the cache and frees its memory."""
        self.ids = []
        self._request = None

    def trim_to_prefix(self, ids: Sequence[int]) -> int:
        """Truncates the cache to its longest common prefix with `ids`, and returns the prefix's length.

        Args:
            ids: the next prompt without its last token, which is always fed, for its logits.
        """
        common = common_length(self.ids, ids)
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

        The array is a view of the runtime's memory, valid until the next call.

        Raises:
            UserError: the sequence would exceed what the model can hold.
        """
        return self._infer(ids, logits_to_keep=1)[-1]

    def truncate(self, length: int) -> None:
        """Truncates the sequence to its first `length` tokens."""
        self.trim_to_prefix(self.ids[:length])

    def feed_all(self, ids: Sequence[int]) -> np.ndarray:
        """Like `feed`, but returns the logits after each of the tokens, float32 [tokens, vocabulary]: much memory."""
        return self._infer(ids, logits_to_keep=0)

    def _infer(self, ids: Sequence[int], logits_to_keep: int) -> np.ndarray:
        """Runs the model on `ids` and returns its logits: after the last tokens, as many as said, or after all for 0.

        A graph without the input `logits_to_keep` gives those of all tokens in any case.
        """
        check_length(len(self.ids) + len(ids), self._max_length)
        if self._request is None:
            self._request = self._compiled.create_infer_request()
        inputs = {**self._inputs(ids), LOGITS_TO_KEEP: np.array([logits_to_keep], dtype=np.int64)}
        held, self.ids = self.ids, []  # if the runtime fails, its state is undefined
        fed = {name: inputs[name] for name in self._input_names}
        started = time.perf_counter()
        try:
            self._request.start_async(fed, share_inputs=True)  # faster than `infer`: runs on the runtime's own thread
        finally:
            self._request.wait()  # Ctrl+C may come between the two, and the thread reads memory that is freed then
        self._pace.note(len(ids), time.perf_counter() - started)
        held.extend(ids)
        self.ids = held
        return self._request.get_tensor("logits").data[0]

    def _inputs(self, ids: Sequence[int]) -> dict[str, np.ndarray]:
        """All inputs a graph may have but `logits_to_keep`, for `ids` after the cached tokens."""
        past, total = len(self.ids), len(self.ids) + len(ids)
        return {
            "input_ids": np.array([ids], dtype=np.int64),
            "attention_mask": np.ones((1, total), dtype=np.int64),
            "position_ids": np.arange(past, total, dtype=np.int64)[None],
            "beam_idx": np.zeros(1, dtype=np.int32),
        }


def check_length(tokens: int, max_length: int | None) -> None:
    """
    Raises:
        UserError: the sequence is too long for the model.
    """
    if max_length is not None and tokens > max_length:
        raise UserError("engine.too_long", tokens=tokens, limit=max_length)
