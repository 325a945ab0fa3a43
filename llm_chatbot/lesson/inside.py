"""The inside of a model while it reads: the stream between its layers, and what each head looks at.

A decoder's layers each add something to a stream of vectors, one for each token. The graph is found to be made so by
its operations alone, and so this works for graphs that were traced and for those built from a GGUF file.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from llm_chatbot.engine.decode.sampling import log_softmax
from llm_chatbot.engine.graph.logits import output_layer
from llm_chatbot.errors import UserError
from llm_chatbot.evaluation.comparison import EXACT

ATTENTION = "ScaledDotProductAttention"


@dataclass(frozen=True)
class LayerReading:
    """The values computed for a text of T tokens.

    Attributes:
        ids: the tokens.
        stream: the vectors after the embedding and after each layer, float32 [layers + 1, T, hidden size].
        attention: how much each token takes from each token before it, float32 [layers, heads, T, T]: rows sum to 1,
            or to less where a head has a sink.
        logits: the model's own, float32 [T, vocabulary].
    """

    ids: list[int]
    stream: np.ndarray
    attention: np.ndarray
    logits: np.ndarray


class OpenedGraph:
    """A decoder's graph with its inner values as outputs.

    Args:
        graph: stateful, as `ChatModel.read_graph` gives it. It is changed.

    Raises:
        UserError: it is not made of layers that add to a stream, or computes attention in another form.
    """

    def __init__(self, graph: ov.Model) -> None:
        self._stream = stream_nodes(graph)
        self._attention = [node for node in graph.get_ordered_ops() if node.get_type_name() == ATTENTION]
        if len(self._attention) != len(self._stream) // 2:
            raise UserError("inside.other_form", name=graph.get_friendly_name())
        self._graph = graph

    @property
    def num_layers(self) -> int:
        return len(self._attention)

    def read(self, ids: Sequence[int]) -> LayerReading:
        """Reads a text from its first token on.

        Args:
            ids: its tokens.
        """
        values = self._compiled(stateful_inputs(self._compiled, ids))
        results = iter(values[port] for port in self._compiled.outputs)
        logits = next(results)[0]
        stream = np.stack([next(results)[0] for _ in self._layer_ends])
        attention = np.stack([_weights(*(next(results) for _ in self._operands(node))) for node in self._attention])
        return LayerReading(list(ids), stream, attention, logits)

    def next_tokens(self, stream: np.ndarray) -> np.ndarray:
        """The model's next words after each vector of the stream (nostalgebraist 2020, "logit lens").

        Args:
            stream: float32 [layers, T, hidden size]; each is read as if it came from the last layer.

        Returns:
            The logarithms of the probabilities, float32 [layers, T, vocabulary].
        """
        return np.stack([log_softmax(self._head({0: each[None]})[0][0]) for each in stream])

    @property
    def _layer_ends(self) -> list[ov.Node]:
        """The stream after the embedding, and after each layer, which adds to it twice: attention, then the MLP."""
        return self._stream[::2]

    def _operands(self, node: ov.Node) -> list[ov.Output]:
        """Queries, keys, mask, scale, and sinks if there are any. The values are of no interest."""
        return [value for place, value in enumerate(node.input_values()) if place != 2]

    @cached_property
    def _compiled(self) -> ov.CompiledModel:
        self._head  # noqa: B018, cut off first: it needs the graph as it was
        shown = [node.output(0) for node in self._layer_ends]
        shown += [value for node in self._attention for value in self._operands(node)]
        self._graph.add_results([ops.result(value) for value in shown])
        return ov.Core().compile_model(self._graph, "CPU", EXACT)

    @cached_property
    def _head(self) -> ov.CompiledModel:
        """The operations after the last layer, on a stream of their own: float32 [1, T, hidden] → logits."""
        graph = self._graph.clone()
        last = stream_nodes(graph)[-1]
        stream = ops.parameter(last.get_output_partial_shape(0), ov.Type.f32)
        for reader in last.output(0).get_target_inputs():
            reader.replace_source_output(stream.output(0))
        return ov.Core().compile_model(ov.Model([graph.output("logits").node], [stream]), "CPU", EXACT)


def stream_nodes(graph: ov.Model) -> list[ov.Node]:
    """The operations that give the stream: the embedding, and then two additions for each layer.

    Raises:
        UserError: the graph is not made so.
    """
    order = {node.get_friendly_name(): place for place, node in enumerate(graph.get_ordered_ops())}
    node = _last_addition(output_layer(graph).input_value(0).node)
    found = [node]
    while _adds(node):
        # What is added depends on the stream, so the stream comes first.
        node = min((value.node for value in node.input_values()), key=lambda each: order[each.get_friendly_name()])
        found.append(node)
    layers = len({name.partition(".key")[0] for name in _state_names(graph) if ".key" in name})
    if layers == 0 or len(found) < 2 * layers + 1:
        raise UserError("inside.other_form", name=graph.get_friendly_name())
    return found[::-1][-(2 * layers + 1) :]


def _state_names(graph: ov.Model) -> list[str]:
    return [variable.info.variable_id for variable in graph.get_variables()]


def _last_addition(node: ov.Node) -> ov.Node:
    """The nearest addition to the stream before the final norm, breadth first."""
    waiting = [node]
    while waiting:
        node = waiting.pop(0)
        if _adds(node):
            return node
        waiting += [value.node for value in node.input_values()]
    raise UserError("inside.other_form", name=node.get_friendly_name())


def _adds(node: ov.Node) -> bool:
    """Whether two vectors of the hidden size are added, and not a bias or an epsilon to one of them."""
    return node.get_type_name() == "Add" and all(
        value.partial_shape == node.get_output_partial_shape(0) and value.node.get_type_name() != "Constant"
        for value in node.input_values()
    )


def stateful_inputs(compiled: ov.CompiledModel, ids: Sequence[int]) -> dict[str, np.ndarray]:
    """The inputs with which a stateful graph reads a text from its first token on."""
    values: dict[str, np.ndarray] = {
        "input_ids": np.array([ids], dtype=np.int64),
        "attention_mask": np.ones((1, len(ids)), dtype=np.int64),
        "position_ids": np.arange(len(ids), dtype=np.int64)[None],
        "beam_idx": np.zeros(1, dtype=np.int32),
    }
    names = {port.get_any_name() for port in compiled.inputs}
    return {name: value for name, value in values.items() if name in names}


def _weights(
    queries: np.ndarray,
    keys: np.ndarray,
    mask: np.ndarray,
    scale: np.ndarray | None = None,
    sinks: np.ndarray | None = None,
) -> np.ndarray:
    """softmax(queries · keys * scale + mask), float32 [heads, T, T], from [1, heads, T, size]."""
    factor = 1 / np.sqrt(queries.shape[-1]) if scale is None else scale.reshape(())
    scores = queries[0] @ keys[0].swapaxes(-1, -2) * factor + mask[0]
    if sinks is not None:
        scores = np.concatenate([scores, np.broadcast_to(sinks[0], (*scores.shape[:2], 1))], -1)
    return np.exp(log_softmax(scores))[..., : keys.shape[-2]]
