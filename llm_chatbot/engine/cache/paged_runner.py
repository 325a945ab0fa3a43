"""Runs a paged graph: one call reads tokens of several sequences, whose keys and values lie in blocks of one pool."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import openvino as ov

from llm_chatbot.engine.cache.output_layers import OutputLayers
from llm_chatbot.engine.graph.paged_graph import (
    ADAPTER_WEIGHTS,
    BLOCK_INDICES,
    BLOCK_INDICES_BEGINS,
    CACHE_INPUTS,
    INPUT_IDS,
    LOGITS_INDICES,
    MAX_CONTEXT_LEN,
    PAST_LENS,
    PICTURE_ROWS,
    POSITION_IDS,
    STATE_BLOCK_INDICES,
    STATE_BLOCK_INDICES_BEGINS,
    STATE_CACHE_INTERVAL,
    STATE_INPUTS,
    STATE_PAST_LENS,
    SUBSEQUENCE_BEGINS,
    TOKEN_TYPE_IDS,
)

# Tokens per block on a CPU.
BLOCK_SIZE = 32

# Tokens after which a call writes a recurrent state into a further slot: none has so many. With 0, OpenVINO 2026.4.1
# writes the states of convolutions and not those of Mamba.
ONLY_AT_THE_END = 1 << 30

# Default properties for compiling a paged graph. The runtime caches kernels for each number of tokens that a call ever
# had, which takes more and more memory; the limit makes no call slower. The precision of the KV cache is left to the
# runtime, which takes 16 bits: 8 bits decode at 0.96 of the speed after 128 tokens, and at 0.82 after 4,000.
PAGED_PROPERTIES = {"CPU_RUNTIME_CACHE_CAPACITY": 100}


@dataclass(frozen=True)
class Part:
    """One sequence's part of a call.

    Attributes:
        ids: its new tokens, at least one. Negative ones are of pictures.
        past: the number of cached tokens before them.
        blocks: indices of the blocks for its cached and new tokens.
        logits: the number of last tokens of `ids` to compute logits for.
        exact: whether all of these have to be exact, and not only the best tokens'.
        state: the slots with the recurrent state after the cached tokens, and for that after the new ones.
        rows: the vectors of those of `ids` that are negative, float32 [n, hidden]; None if none is.
        adapter_weights: how much of each of the model's adapters is added; empty: nothing.
        positions: of `ids`, for models in which time, height and width have one each, int64 [3, n]; None: those of a
            text.
    """

    ids: Sequence[int]
    past: int
    blocks: Sequence[int]
    logits: int
    state: tuple[int, int] = (0, 0)
    rows: np.ndarray | None = None
    positions: np.ndarray | None = None
    exact: bool = True
    adapter_weights: Sequence[float] = ()


class PagedRunner:
    """A compiled paged graph with its KV cache tensors.

    Memory for a block is only committed once it is written to.

    Args:
        compiled: see `llm_chatbot.engine.graph.paged_graph.make_paged`.
        blocks: the number of blocks; see `block_bytes` for their size.
        weights: what the compiled model reads its constants from; only kept alive.
        slots: the number of recurrent states. The first one stays empty.
        output: what follows, if the graph ends in hidden states.
    """

    def __init__(
        self,
        compiled: ov.CompiledModel,
        blocks: int,
        weights: object = None,
        slots: int = 0,
        output: OutputLayers | None = None,
    ) -> None:
        self.compiled = compiled
        self._weights = weights
        self._ports = {port.any_name: port for port in compiled.inputs}
        self._output = output
        self._request = compiled.create_infer_request()
        self._inputs: dict[str, np.ndarray] = {}  # the memory of the request's inputs
        self._tensors = []
        for port in cache_ports(compiled):
            shape = [blocks, *(size.get_length() for size in list(port.partial_shape)[1:])]
            self._tensors.append(ov.Tensor(port.element_type, ov.Shape(shape)))
            self._request.set_tensor(port, self._tensors[-1])
        for port in state_ports(compiled):
            shape = [slots, *(size.get_length() for size in list(port.partial_shape)[1:])]
            table = ov.Tensor(port.element_type, ov.Shape(shape))
            table.data[0] = 0
            self._request.set_tensor(port, table)

    @property
    def vocabulary(self) -> int:
        """The number of logits after a token."""
        if self._output is not None:
            return self._output.vocabulary
        return self.compiled.output().partial_shape[-1].get_length()

    @cached_property
    def num_adapters(self) -> int:
        """How many adapters were attached to the graph."""
        port = self._ports.get(ADAPTER_WEIGHTS)
        return 0 if port is None else port.partial_shape[-1].get_length()

    def prepare(self, check: Callable[[], None], alone: Callable[[Callable[[], bool]], bool]) -> None:
        """Builds what makes later calls faster; see `OutputLayers.prepare`."""
        if self._output is not None:
            self._output.prepare(check, alone)

    def copy_block(self, source: int, target: int) -> None:
        for tensor in self._tensors:
            block_of(tensor, source).copy_to(block_of(tensor, target))

    @cached_property
    def _bytes(self) -> list[np.ndarray]:
        """Views of the tensors, uint8 [blocks, bytes of a block]."""
        return [tensor.data.reshape(tensor.shape[0], -1).view(np.uint8) for tensor in self._tensors]

    def read_block(self, index: int) -> np.ndarray:
        """The contents of a block over all layers, uint8 [`block_bytes`]."""
        return np.concatenate([view[index] for view in self._bytes])

    def write_block(self, index: int, content: np.ndarray) -> None:
        """Sets what `read_block` returns."""
        start = 0
        for view in self._bytes:
            view[index] = content[start : start + view.shape[1]]
            start += view.shape[1]

    def run(self, parts: Sequence[Part], extra: Mapping[str, float]) -> list[np.ndarray]:
        """Reads the new tokens of several sequences in one call.

        Args:
            parts: one for each sequence.
            extra: values of the inputs that were added to the graph.

        Returns:
            The logits of each part, float32 [logits, vocabulary].

        Raises:
            RuntimeError: the runtime failed; the contents of the new tokens' blocks are undefined.
        """
        inputs = {name: np.array([value], dtype=np.float32) for name, value in extra.items()} | inputs_of(parts)
        if (rows := self._ports.get(PICTURE_ROWS)) is not None:
            inputs[PICTURE_ROWS] = rows_of_parts(parts, rows.partial_shape[-1].get_length())
        if self.num_adapters:
            inputs[ADAPTER_WEIGHTS] = weights_of_parts(parts, self.num_adapters)
        if (ids := self._ports.get(POSITION_IDS)) is not None and len(ids.partial_shape) > 1:
            inputs[POSITION_IDS] = np.concatenate([positions_of_part(part) for part in parts], axis=1)
        for name, array in inputs.items():
            if name in self._ports:
                self._set_input(name, array)
        try:
            self._request.start_async()  # faster than `infer`: runs on the runtime's own thread
        finally:
            self._request.wait()  # Ctrl+C may come between the two, and the thread reads memory that is freed then
        ends = np.cumsum([part.logits for part in parts])
        logits = self._logits(ends[-1], any(part.exact for part in parts if part.logits))
        return [logits[end - part.logits : end].copy() for part, end in zip(parts, ends, strict=True)]

    def _logits(self, count: int, exact: bool) -> np.ndarray:
        """The logits of the last call, float32 [count, vocabulary], valid until the next one."""
        result = self._request.get_output_tensor()
        if self._output is None:
            return result.data[:, 0]
        return self._output.logits(result, exact)[:, 0] if count else np.empty((0, self.vocabulary), np.float32)

    def _set_input(self, name: str, array: np.ndarray) -> None:
        """Sets an input. If the last call had the same shape, as while an answer is decoded, only its values."""
        if name in self._inputs and self._inputs[name].shape == array.shape:
            self._inputs[name][...] = array
        else:
            self._inputs[name] = array
            self._request.set_tensor(self._ports[name], ov.Tensor(array, shared_memory=True))


def inputs_of(parts: Sequence[Part]) -> dict[str, np.ndarray]:
    """The inputs of a call by name; `llm_chatbot.engine.graph.paged_graph` describes them."""
    begins = offsets([len(part.ids) for part in parts])
    ids = np.concatenate([np.array(part.ids, dtype=np.int64) for part in parts])
    wanted = [range(end - part.logits, end) for part, end in zip(parts, begins[1:], strict=True)]
    positions = [np.arange(part.past, part.past + len(part.ids)) for part in parts]
    return {
        TOKEN_TYPE_IDS: (ids < 0).astype(np.int64)[:, None],
        INPUT_IDS: _numbered(ids),
        POSITION_IDS: np.concatenate(positions).astype(np.int64),
        PAST_LENS: np.array([part.past for part in parts], dtype=np.int32),
        SUBSEQUENCE_BEGINS: begins,
        BLOCK_INDICES: np.concatenate([part.blocks for part in parts]).astype(np.int32),
        BLOCK_INDICES_BEGINS: offsets([len(part.blocks) for part in parts]),
        STATE_BLOCK_INDICES: np.array([slot for part in parts for slot in part.state], dtype=np.int32),
        STATE_BLOCK_INDICES_BEGINS: offsets([2] * len(parts)),
        STATE_PAST_LENS: np.array([part.past for part in parts], dtype=np.int32),
        STATE_CACHE_INTERVAL: np.full(len(parts), ONLY_AT_THE_END, dtype=np.int32),
        MAX_CONTEXT_LEN: np.array(max(part.past + len(part.ids) for part in parts), dtype=np.int32),
        # The output layer does not support zero rows.
        LOGITS_INDICES: np.array([i for indices in wanted for i in indices] or [0], dtype=np.int32),
    }


def _numbered(ids: np.ndarray) -> np.ndarray:
    """The ids of a call, with -1, -2, … for those that are negative."""
    is_row = ids < 0
    ids[is_row] = -1 - np.arange(is_row.sum())
    return ids


def positions_of_part(part: Part) -> np.ndarray:
    """The positions of its tokens in time, height and width, int64 [3, n]."""
    if part.positions is not None:
        return part.positions
    return np.tile(np.arange(part.past, part.past + len(part.ids), dtype=np.int64), (3, 1))


def rows_of_parts(parts: Sequence[Part], hidden: int) -> np.ndarray:
    """The vectors of all parts, float32 [rows, hidden]; one of zeros if there is none: the graph wants a row."""
    rows = [part.rows for part in parts if part.rows is not None]
    return np.concatenate(rows) if rows else np.zeros((1, hidden), np.float32)


def weights_of_parts(parts: Sequence[Part], count: int) -> np.ndarray:
    """The weights of `count` adapters for each token of a call, float32 [tokens, count]."""
    weights = np.array([part.adapter_weights or [0.0] * count for part in parts], np.float32)
    return weights.repeat([len(part.ids) for part in parts], axis=0)


def offsets(lengths: Sequence[int]) -> np.ndarray:
    """Start offsets of consecutive ranges, followed by the end of the last one."""
    return np.cumsum([0, *lengths]).astype(np.int32)


def cache_ports(compiled: ov.CompiledModel) -> list[ov.ConstOutput]:
    """The KV cache inputs, [blocks, heads, tokens, size]; 8-bit caches store their scales in the same tensors."""
    return [port for port in compiled.inputs if port.any_name.startswith(CACHE_INPUTS)]


def state_ports(compiled: ov.CompiledModel) -> list[ov.ConstOutput]:
    """The inputs with recurrent states, [slots, ...]; none for most models."""
    return [port for port in compiled.inputs if port.any_name.startswith(STATE_INPUTS)]


def state_bytes(compiled: ov.CompiledModel) -> int:
    """The size of one sequence's recurrent state over all layers, in bytes."""
    shapes = [(port, [size.get_length() for size in list(port.partial_shape)[1:]]) for port in state_ports(compiled)]
    return sum(prod(shape) * port.element_type.bitwidth // 8 for port, shape in shapes)


def block_bytes(compiled: ov.CompiledModel) -> int:
    """The size of one block over all layers, in bytes."""
    shapes = [(port, [size.get_length() for size in list(port.partial_shape)[1:]]) for port in cache_ports(compiled)]
    return sum(prod(shape) * port.element_type.bitwidth // 8 for port, shape in shapes)


def tokens_in_a_block(compiled: ov.CompiledModel) -> int:
    """Tokens per block, from a value tensor: 8-bit keys store their scales as additional rows, values within theirs."""
    return next(list(port.partial_shape)[2].get_length() for port in compiled.inputs if "value" in port.any_name)


def block_of(tensor: ov.Tensor, index: int) -> ov.Tensor:
    """A view of one block of a tensor."""
    shape = list(tensor.shape)
    return ov.Tensor(tensor, ov.Coordinate([index, 0, 0, 0]), ov.Coordinate([index + 1, *shape[1:]]))
