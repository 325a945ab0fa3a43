"""Constants of a graph."""

from typing import Any

import numpy as np
import openvino as ov


def constant(values: Any) -> ov.Node:
    """A constant with a copy of an array, or of integers. The opset's function takes ten times as long."""
    return ov.op.Constant(np.ascontiguousarray(values).reshape(np.shape(values)))


def number(value: float) -> ov.Node:
    """A scalar, float32."""
    return constant(np.float32(value))


def over_tensor(tensor: ov.Tensor, name: str) -> ov.Node:
    """A constant whose values lie in a tensor's memory."""
    node = ov.op.Constant(tensor, shared_memory=True)
    node.set_friendly_name(name)
    return node
