"""One layer of a model as it stands in its graph: the operations that matter, and what flows between them."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import openvino as ov

from llm_chatbot.errors import UserError
from llm_chatbot.lesson.inside import ATTENTION, stream_nodes

ACTIVATIONS = ("Swish", "Gelu", "Relu", "Sigmoid", "Tanh", "HSwish")
# How far cosines and sines may be from the operations that rotate with them.
BEFORE_ROTATION = ("Unsqueeze", "Convert", "Reshape", "Transpose", "Gather", "Slice", "Multiply", "Concat", "Broadcast")


@dataclass(frozen=True)
class Step:
    """An operation of a layer.

    Attributes:
        name: for people: "q_proj", "norm", "rotary".
        kind: "input", "product", "norm", "rotary", "cache", "attention", "activation", "gate", "router" or "add".
        shape: of what it gives, "?" for a size that depends on the text.
        weights: the shape of its matrix; () without one.
        bits: of one of its weights, without scales; 0 without any.
        size: of its weights with scales and zero points, in bytes.
        sources: the places in the layer's list of the steps that it reads.
    """

    name: str
    kind: str
    shape: tuple[int | str, ...]
    weights: tuple[int, ...]
    bits: int
    size: int
    sources: tuple[int, ...]


def layer_steps(graph: ov.Model, index: int) -> list[Step]:
    """The steps of a layer, each after those that it reads; the first is the stream before it.

    Args:
        graph: stateful; it is not changed.
        index: from 0 on.

    Raises:
        UserError: there is no such layer, or the graph is not made of layers that add to a stream.
    """
    stream = stream_nodes(graph)
    if not 0 <= index < len(stream) // 2:
        raise UserError("inside.no_layer", index=index, last=len(stream) // 2 - 1)
    return _Layer(graph, stream[2 * index : 2 * index + 3]).steps()


class _Layer:
    """A layer between three nodes of the stream: before it, after its first addition, after its second."""

    def __init__(self, graph: ov.Model, stream: list[ov.Node]) -> None:
        self._order = {node.get_friendly_name(): place for place, node in enumerate(graph.get_ordered_ops())}
        self._stream = [_name(node) for node in stream]
        self._end = stream[-1]
        self._kinds: dict[str, str] = {}

    def steps(self) -> list[Step]:
        nodes = {_name(node): node for node in self._walk(self._end)}
        ordered = sorted(nodes.values(), key=lambda node: self._order[_name(node)])
        places = {_name(node): place for place, node in enumerate(ordered)}
        read = {name: {_name(source) for source in self._sources(node)} for name, node in nodes.items()}
        for name, sources in read.items():
            kept = {name for name in map(_name, _operands(nodes[name])) if name in self._stream}
            # What is read through another step is not read beside it; but the stream itself is.
            read[name] = kept | sources - {far for near in sources for far in _ancestors(near, read)}
        return [self._step(node, tuple(sorted(places[name] for name in read[_name(node)]))) for node in ordered]

    def _walk(self, end: ov.Node) -> Iterator[ov.Node]:
        """The steps from which the last one is made, in any order, some of them several times."""
        waiting, seen = [end], set()
        while waiting:
            node = waiting.pop()
            if _name(node) not in seen:
                seen.add(_name(node))
                yield node
                waiting += self._sources(node)

    def _sources(self, node: ov.Node) -> list[ov.Node]:
        """The nearest steps before a step; none before the layer's input."""
        if _name(node) == self._stream[0]:
            return []
        found, waiting, seen = [], _operands(node), set()
        while waiting:
            each = waiting.pop()
            if _name(each) in seen:
                continue
            seen.add(_name(each))
            if self._kind(each):
                found.append(each)
            elif self._order[_name(each)] > self._order[self._stream[0]]:
                waiting += _operands(each)
        return found

    def _kind(self, node: ov.Node) -> str:
        name = _name(node)
        if name not in self._kinds:
            self._kinds[name] = self._find_kind(node)
        return self._kinds[name]

    def _find_kind(self, node: ov.Node) -> str:
        type = node.get_type_name()
        if _name(node) in self._stream:
            return "input" if _name(node) == self._stream[0] else "add"
        if type in ACTIVATIONS:
            return "activation"
        if type == "MatMul":
            return "product" if _constants(node.input_value(1).node) else ""
        if type == "Concat" and any(map(_is_past, _operands(node))):
            return "cache"
        if type == "Add" and all(map(_turns, _operands(node))):
            return "rotary"
        if type == "Multiply" and self._is_gate(node):
            return "gate"
        if type == "Softmax" and node.get_output_partial_shape(0).rank.get_length() == 4:  # of scores that are capped
            return "attention"
        return {ATTENTION: "attention", "ReduceMean": "norm", "MVN": "norm", "TopK": "router"}.get(type, "")

    def _is_gate(self, node: ov.Node) -> bool:
        """Whether two results of products meet: gate and up of an MLP."""
        kinds = [self._kind(operand) for operand in _operands(node)]
        return all(kind in ("product", "activation") for kind in kinds)

    def _step(self, node: ov.Node, sources: tuple[int, ...]) -> Step:
        kind = self._kind(node)
        constants = _constants(node.input_value(1).node) if kind == "product" else []
        matrix = constants[0] if constants else None
        return Step(
            name=_matrix_name(node, constants) if matrix else kind,
            kind=kind,
            shape=_sizes(node.input_value(0) if kind == "norm" else node.output(0)),
            weights=tuple(node.input_value(1).get_shape()) if matrix else (),
            bits=matrix.get_element_type().bitwidth if matrix else 0,
            size=sum(constant.get_byte_size() for constant in constants),
            sources=sources,
        )


def _operands(node: ov.Node) -> list[ov.Node]:
    return [value.node for value in node.input_values()]


def _name(node: ov.Node) -> str:
    return str(node.get_friendly_name())


def _ancestors(name: str, read: dict[str, set[str]]) -> set[str]:
    """All steps before a step."""
    found: set[str] = set()
    waiting = list(read[name])
    while waiting:
        each = waiting.pop()
        if each not in found:
            found.add(each)
            waiting += read[each]
    return found


def _constants(node: ov.Node) -> list[ov.Node]:
    """The constants that a weight is made of, codes first; none if it depends on an input."""
    if node.get_type_name() == "Constant":
        return [node] if node.get_element_type().is_real() or len(node.get_output_shape(0)) > 1 else []
    if node.get_input_size() == 0 or node.get_type_name() == "ReadValue":
        return []
    parts = list(map(_constants, _operands(node)))
    return [constant for part in parts for constant in part] if parts[0] else []


def _is_past(node: ov.Node) -> bool:
    while node.get_type_name() == "Gather":
        node = node.input_value(0).node
    return node.get_type_name() == "ReadValue"


def _turns(node: ov.Node) -> bool:
    """Whether a node multiplies by cosines or sines."""
    return node.get_type_name() == "Multiply" and any(map(_is_angle, _operands(node)))


def _is_angle(node: ov.Node) -> bool:
    if node.get_type_name() in ("Cos", "Sin"):
        return True
    return node.get_type_name() in BEFORE_ROTATION and _is_angle(node.input_value(0).node)


def _matrix_name(node: ov.Node, constants: list[ov.Node]) -> str:
    """The matrix's own name in a GGUF file, "attn_q" of "blk.3.attn_q.weight", or that of the traced module."""
    if match := re.search(r"blk\.\d+\.(\w+)\.weight", " ".join(map(_name, constants))):
        return match[1]
    module = _name(node).partition("/")[0].rpartition(".")[2]
    return "matrix" if module.startswith("MatMul") else module  # one that OpenVINO has named


def _sizes(output: ov.Output) -> tuple[int | str, ...]:
    return tuple(size.get_length() if size.is_static else "?" for size in output.partial_shape)
