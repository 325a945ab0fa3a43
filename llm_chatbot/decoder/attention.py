"""Attention with its cache of keys and values, in the form that OpenVINO's plugins and its paged form recognise."""

from functools import cached_property

import numpy as np
import openvino as ov
from openvino import opset13 as ops
from openvino.op.util import Variable, VariableInfo
from openvino.utils.node_factory import NodeFactory

from llm_chatbot.decoder.blocks import scaled, soft_cap
from llm_chatbot.decoder.constants import constant, number
from llm_chatbot.decoder.sizes import Heads

LOWEST = float(np.finfo(np.float32).min)  # a score that counts nothing


class Inputs:
    """The inputs of a stateful graph, and what is computed from them once for all layers.

    Args:
        on_axes: whether a token has a position each in time, height and width.
        marks_pictures: whether tokens are told from pictures, whose vectors look at each other.
    """

    def __init__(self, on_axes: bool = False, marks_pictures: bool = False) -> None:
        self.on_axes = on_axes
        self.input_ids = _parameter("input_ids", ov.Type.i64, [-1, -1])
        self.attention_mask = _parameter("attention_mask", ov.Type.i64, [-1, -1])
        self.position_ids = _parameter("position_ids", ov.Type.i64, [3, -1, -1] if on_axes else [-1, -1])
        # No operation of the stateful graph reads it: the transformation to paged attention finds it by its name.
        self._token_type_ids = [_parameter("token_type_ids", ov.Type.i64, [-1, -1])] if marks_pictures else []
        self.beam_idx = _parameter("beam_idx", ov.Type.i32, [-1])
        self._masks: dict[tuple[int | None, bytes], ov.Node] = {}

    @property
    def parameters(self) -> list[ov.op.Parameter]:
        return [self.input_ids, self.attention_mask, self.position_ids, self.beam_idx, *self._token_type_ids]

    @cached_property
    def batch(self) -> ov.Node:
        """The number of sequences, i64 [1]."""
        return _dimension(self.input_ids, 0)

    def mask(self, window: int | None, slopes: np.ndarray | None = None) -> ov.Node:
        """The numbers added to the scores: 0 where a token sees another, else the lowest number.

        Args:
            window: how many tokens a token sees, itself included; None for all before it.
            slopes: how much closer tokens count more in each head (ALiBi, Press et al. 2022, arXiv:2108.12409).

        Returns:
            float32 [batch, 1 or heads, tokens, cached and new tokens].
        """
        key = window, b"" if slopes is None else slopes.tobytes()
        if key not in self._masks:
            self._masks[key] = self._make_mask(window, slopes)
        return self._masks[key]

    def _make_mask(self, window: int | None, slopes: np.ndarray | None) -> ov.Node:
        new, total = _dimension(self.input_ids, 1), _dimension(self.attention_mask, 1)
        columns = _range(constant([0]), total, [1, 1, 1, -1])
        rows = _range(ops.subtract(total, new), total, [1, 1, -1, 1])
        seen = ops.less_equal(columns, rows)
        padding = ops.reshape(ops.convert(self.attention_mask, "boolean"), constant([0, 1, 1, -1]), True)
        if window is not None:
            # The transformation to paged attention looks for just these operations to find the window.
            yes = constant(np.array(True))
            near = ops.greater(columns, ops.add(rows, constant(np.int64(-window))))
            seen = ops.bitwise_and(yes, ops.bitwise_and(ops.bitwise_and(yes, near), seen))
        seen = ops.bitwise_and(seen, padding)
        shape = ops.concat([self.batch, constant([1]), new, total], 0)
        seen = ops.broadcast(seen, shape, broadcast_spec="BIDIRECTIONAL")
        if slopes is not None:
            biases = _alibi(slopes, ops.convert(ops.subtract(columns, rows), "f32"), total)
            return ops.select(ops.logical_not(seen), number(LOWEST), biases)
        mask = ops.select(seen, number(0), number(LOWEST))
        return ops.slice(mask, constant([0]), total, constant([1]), constant([3]))


def _alibi(slopes: np.ndarray, distances: ov.Node, total: ov.Node) -> ov.Node:
    """Biases for distances [1, 1, tokens, all tokens]: float32 [1, heads, tokens, all tokens].

    The transformation to paged attention finds the slopes as the first factor of a product that is reshaped twice.
    """
    heads = slopes.size
    biases = ops.multiply(constant(slopes.reshape(1, -1, 1, 1)), distances)
    biases = ops.reshape(biases, ops.concat([constant([heads, -1]), total], 0), False)
    return ops.reshape(biases, ops.concat([constant([1, heads, -1]), total], 0), False)


def _parameter(name: str, type: ov.Type, shape: list[int]) -> ov.op.Parameter:
    parameter = ops.parameter(shape, type, name=name)
    parameter.output(0).set_names({name})
    return parameter


def _dimension(node: ov.Node, axis: int) -> ov.Node:
    """The size of an axis, i64 [1]."""
    return ops.gather(ops.shape_of(node), constant([axis]), constant(0))


def _range(start: ov.Node, end: ov.Node, shape: list[int]) -> ov.Node:
    values = ops.range(ops.squeeze(start, constant([0])), ops.squeeze(end, constant([0])), constant(1), "i64")
    return ops.reshape(values, constant(shape), False)


class LayerCache:
    """The graph's state: keys and values of its layers, which grow with each call, and states that are replaced."""

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        self.sinks: list[ov.Node] = []
        self.variables: list[Variable] = []
        self._replaced: dict[str, Variable] = {}

    def append(self, name: str, new: ov.Node) -> ov.Node:
        """All keys (or values) up to the new ones: float32 [batch, heads, cached and new tokens, size].

        Args:
            name: of the state, "0.key" for the keys of the first layer.
            new: float32 [batch, heads, new tokens, size].
        """
        shape = new.get_output_partial_shape(0)
        heads, size = shape[1].get_length(), shape[3].get_length()
        info = VariableInfo()
        info.data_shape = ov.PartialShape([-1, heads, -1, size])
        info.data_type = ov.Type.f32
        info.variable_id = f"past_key_values.{name}present.{name}"
        variable = Variable(info)
        empty = ops.concat([self._inputs.batch, constant([heads, 0, size])], 0)
        past = ov.op.read_value(ops.broadcast(number(0), empty), variable)
        past = ops.gather(past, self._inputs.beam_idx, constant(0))
        whole = ops.concat([past, new], 2)
        self.sinks.append(ov.op.assign(whole, variable))
        self.variables.append(variable)
        return whole

    def past(self, name: str, shape: list[int]) -> ov.Node:
        """A state from the last call, zeros before the first: float32 [batch, *shape]. `keep` sets the next one."""
        info = VariableInfo()
        info.data_shape = ov.PartialShape([-1, *shape])
        info.data_type = ov.Type.f32
        info.variable_id = f"cache_params.past.{name}cache_params.present.{name}"
        self._replaced[name] = Variable(info)
        empty = ops.concat([self._inputs.batch, constant(shape)], 0)
        past = ov.op.read_value(ops.broadcast(number(0), empty), self._replaced[name])
        return ops.gather(past, self._inputs.beam_idx, constant(0))

    def keep(self, name: str, state: ov.Node) -> None:
        """Sets a state for the next call."""
        variable = self._replaced[name]
        self.sinks.append(ov.op.assign(state, variable))
        self.variables.append(variable)


def split_heads(x: ov.Node, heads: int, size: int) -> ov.Node:
    """[batch, tokens, heads * size] → [batch, heads, tokens, size]."""
    return ops.transpose(ops.reshape(x, constant([0, 0, heads, size]), True), constant([0, 2, 1, 3]))


def join_heads(x: ov.Node) -> ov.Node:
    """[batch, heads, tokens, size] → [batch, tokens, heads * size]."""
    _, heads, _, size = x.get_output_partial_shape(0)
    x = ops.transpose(x, constant([0, 2, 1, 3]))
    return ops.reshape(x, constant([0, 0, heads.get_length() * size.get_length()]), True)


def repeat_heads(x: ov.Node, times: int) -> ov.Node:
    """Repeats each head of keys or values for the queries that share it (Ainslie et al. 2023, arXiv:2305.13245)."""
    if times == 1:
        return x
    _, heads, _, size = x.get_output_partial_shape(0)
    repeated = ops.broadcast(
        ops.unsqueeze(x, constant(2)), constant([1, 1, times, 1, 1]), broadcast_spec="BIDIRECTIONAL"
    )
    return ops.reshape(repeated, constant([0, heads.get_length() * times, -1, size.get_length()]), True)


def attend(
    queries: ov.Node, keys: ov.Node, values: ov.Node, heads: Heads, mask: ov.Node, sinks: np.ndarray | None = None
) -> ov.Node:
    """softmax(queries · keys * scale + mask) · values, [batch, heads, tokens, size] → [batch, tokens, heads * size].

    Args:
        sinks: a further score of each head that takes attention and gives nothing (gpt-oss).
    """
    keys, values = (repeat_heads(x, heads.queries // heads.keys) for x in (keys, values))
    if heads.cap is None:
        arguments = [mask, number(heads.scale)]
        if sinks is not None:
            arguments.append(constant(sinks.reshape(1, -1, 1, 1)))
        # The function of the opset has no argument for sinks.
        create = NodeFactory("opset13").create
        mixed = create("ScaledDotProductAttention", [queries, keys, values, *arguments], {"causal": False})
    else:
        scores = soft_cap(scaled(ops.matmul(queries, keys, False, True), heads.scale), heads.cap)
        mixed = ops.matmul(ops.softmax(ops.add(scores, mask), -1), values, False, False)
    return join_heads(mixed)
