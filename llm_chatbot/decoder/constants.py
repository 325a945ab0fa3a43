"""Constants of a graph."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import openvino as ov

MOST_SHARED = 8  # values of a constant that is made only once: numbers, axes and shapes

_shared: ContextVar[dict[tuple[str, tuple[int, ...], bytes], ov.Node] | None] = ContextVar("shared", default=None)


@contextmanager
def shared_constants() -> Iterator[None]:
    """Equal small constants that are made meanwhile are the same node, which spares a graph a third of its nodes.

    They belong to one graph.
    """
    token = _shared.set({})
    try:
        yield
    finally:
        _shared.reset(token)


def constant(values: Any) -> ov.Node:
    """A constant with a copy of an array, or of integers. The opset's function takes ten times as long."""
    array = np.ascontiguousarray(values).reshape(np.shape(values))
    made = _shared.get()
    if made is None or array.size > MOST_SHARED:
        return ov.op.Constant(array)
    key = array.dtype.str, array.shape, array.tobytes()
    if key not in made:
        made[key] = ov.op.Constant(array)
    return made[key]


def number(value: float) -> ov.Node:
    """A scalar, float32."""
    return constant(np.float32(value))


def over_tensor(tensor: ov.Tensor, name: str) -> ov.Node:
    """A constant whose values lie in a tensor's memory."""
    node = ov.op.Constant(tensor, shared_memory=True)
    node.set_friendly_name(name)
    return node
