"""Calls of a paged graph: tokens of several sequences in one, with keys and values in the blocks of a pool."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from engine.paged_graph import (
    BLOCK_INDICES,
    BLOCK_INDICES_BEGINS,
    CACHE_INPUTS,
    INPUT_IDS,
    LOGITS_INDICES,
    MAX_CONTEXT_LEN,
    PAST_LENS,
    POSITION_IDS,
    SUBSEQUENCE_BEGINS,
)

import numpy as np
import openvino as ov

# How many tokens a block holds on a CPU.
BLOCK_SIZE = 32

# What a paged graph is compiled with unless the user says otherwise. What the runtime keeps of each number of tokens
# that a call ever had would grow for a long time; keeping less makes no call slower. The precision of keys and values
# is the runtime's own choice: 8 bits halve their memory, but change the most likely token at one position in a
# hundred.
PAGED_PROPERTIES = {"CPU_RUNTIME_CACHE_CAPACITY": 100}


@dataclass(frozen=True)
class Part:
    """What a call does for one sequence.

    Attributes:
        ids: its new tokens, at least one.
        past: how many it has before them.
        blocks: indices of those that hold its past and will hold its new tokens.
        logits: for how many of the last of `ids` logits are wanted.
    """

    ids: Sequence[int]
    past: int
    blocks: Sequence[int]
    logits: int


class PagedRunner:
    """A compiled paged graph with the tensors of its keys and values.

    The tensors take no memory before something is written to them.

    Args:
        compiled: see `engine.paged_graph.make_paged`.
        blocks: how many blocks there are, see `block_bytes`.
    """

    def __init__(self, compiled: ov.CompiledModel, blocks: int) -> None:
        self.compiled = compiled
        self._names = {port.any_name for port in compiled.inputs}
        self._request = compiled.create_infer_request()
        self._tensors = []
        for port in cache_ports(compiled):
            shape = [blocks, *(size.get_length() for size in list(port.partial_shape)[1:])]
            self._tensors.append(ov.Tensor(port.element_type, ov.Shape(shape)))
            self._request.set_tensor(port, self._tensors[-1])

    def copy_block(self, source: int, target: int) -> None:
        for tensor in self._tensors:
            block_of(tensor, source).copy_to(block_of(tensor, target))

    def run(self, parts: Sequence[Part], extra: Mapping[str, float]) -> list[np.ndarray]:
        """Reads the tokens of all parts.

        Args:
            parts: of different sequences.
            extra: values of inputs that were added to the graph.

        Returns:
            for each part float32 [logits, vocabulary].

        Raises:
            RuntimeError: the runtime failed; what the blocks of the new tokens hold is unknown.
        """
        inputs = {name: np.array([value], dtype=np.float32) for name, value in extra.items()} | inputs_of(parts)
        fed = {name: array for name, array in inputs.items() if name in self._names}
        self._request.start_async(fed, share_inputs=True)  # on the runtime's own thread: faster here than `infer`
        self._request.wait()
        logits = self._request.get_tensor("logits").data[:, 0]
        ends = np.cumsum([part.logits for part in parts])
        return [logits[end - part.logits : end].copy() for part, end in zip(parts, ends, strict=True)]


def inputs_of(parts: Sequence[Part]) -> dict[str, np.ndarray]:
    """What a call is given, see `engine.paged_graph`."""
    begins = offsets([len(part.ids) for part in parts])
    wanted = [range(end - part.logits, end) for part, end in zip(parts, begins[1:], strict=True)]
    positions = [np.arange(part.past, part.past + len(part.ids)) for part in parts]
    return {
        INPUT_IDS: np.concatenate([part.ids for part in parts]).astype(np.int64),
        POSITION_IDS: np.concatenate(positions).astype(np.int64),
        PAST_LENS: np.array([part.past for part in parts], dtype=np.int32),
        SUBSEQUENCE_BEGINS: begins,
        BLOCK_INDICES: np.concatenate([part.blocks for part in parts]).astype(np.int32),
        BLOCK_INDICES_BEGINS: offsets([len(part.blocks) for part in parts]),
        MAX_CONTEXT_LEN: np.array(max(part.past + len(part.ids) for part in parts), dtype=np.int32),
        # The output layer is not made for no rows at all.
        LOGITS_INDICES: np.array([i for indices in wanted for i in indices] or [0], dtype=np.int32),
    }


def offsets(lengths: Sequence[int]) -> np.ndarray:
    """Where each of several stretches begins that lie one after another, and where the last ends."""
    return np.cumsum([0, *lengths]).astype(np.int32)


def cache_ports(compiled: ov.CompiledModel) -> list[ov.ConstOutput]:
    """The inputs that take keys and values: [blocks, heads, tokens, size], with the scales of 8-bit ones inside."""
    return [port for port in compiled.inputs if port.any_name.startswith(CACHE_INPUTS)]


def block_bytes(compiled: ov.CompiledModel) -> int:
    """How much memory one block takes in all layers."""
    shapes = [(port, [size.get_length() for size in list(port.partial_shape)[1:]]) for port in cache_ports(compiled)]
    return sum(prod(shape) * port.element_type.bitwidth // 8 for port, shape in shapes)


def tokens_in_a_block(compiled: ov.CompiledModel) -> int:
    """How many tokens a block holds: keys of 8 bits have their scales as further rows, values in their own."""
    return next(list(port.partial_shape)[2].get_length() for port in compiled.inputs if "value" in port.any_name)


def block_of(tensor: ov.Tensor, index: int) -> ov.Tensor:
    """A view of one block of a tensor."""
    shape = list(tensor.shape)
    return ov.Tensor(tensor, ov.Coordinate([index, 0, 0, 0]), ov.Coordinate([index + 1, *shape[1:]]))
