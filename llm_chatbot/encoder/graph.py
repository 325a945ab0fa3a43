"""The graph of an encoder: BERT (Devlin et al. 2019, arXiv:1810.04805) and those of its form.

Activations are float32 [batch, tokens, hidden] unless said otherwise. Weights have Transformers' names.
"""

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from llm_chatbot.decoder.attention import LOWEST, attend, split_heads
from llm_chatbot.decoder.blocks import layer_norm
from llm_chatbot.decoder.constants import constant, number
from llm_chatbot.decoder.sizes import Heads
from llm_chatbot.encoder.settings import EncoderSettings
from llm_chatbot.encoder.tensors import EncoderTensors


def build_encoder(settings: EncoderSettings) -> ov.Model:
    """Builds the graph of a checkpoint.

    Returns:
        A graph with the inputs `input_ids`, `attention_mask` (1 for a token, 0 for padding behind it) and
        `token_type_ids`, i64 [batch, tokens]. Its output is `embeddings`, float32 [batch, hidden] of length 1, or of a
        classifier `scores`, float32 [batch, 1].

    Raises:
        UserError: a tensor is missing, has another shape, or belongs to a part that is not supported.
    """
    tensors = EncoderTensors(settings)
    graph = EncoderGraph(settings, tensors)
    if settings.is_classifier:
        name, result = "scores", graph.scores()
    else:
        name, result = "embeddings", graph.embeddings()
    tensors.check_all_used()
    result.output(0).set_names({name})
    return ov.Model([result], graph.inputs, "encoder")


class EncoderGraph:
    """The parts of the graph, in the order of the data."""

    def __init__(self, settings: EncoderSettings, tensors: EncoderTensors) -> None:
        self.settings, self.tensors = settings, tensors
        self.input_ids, self.mask, self.types = self.inputs = [
            ops.parameter([-1, -1], ov.Type.i64, name=name)
            for name in ("input_ids", "attention_mask", "token_type_ids")
        ]
        for node in self.inputs:
            node.output(0).set_names({node.get_friendly_name()})

    def embeddings(self) -> ov.Node:
        """One vector for each text, of length 1."""
        pooled = self._pooled(self._states())
        return ops.normalize_l2(pooled, constant([1]), 1e-12, "max")

    def scores(self) -> ov.Node:
        """The score of a classifier with one class, of the first token, before a sigmoid."""
        hidden = self.settings.hidden
        first = self._first(self._states())
        if "classifier.weight" in self.tensors:  # BERT
            dense, head = "pooler.dense", "classifier"
        else:
            dense, head = "classifier.dense", "classifier.out_proj"
        return self._linear(ops.tanh(self._linear(first, dense, hidden, hidden)), head, 1, hidden)

    def _states(self) -> ov.Node:
        x = self._embedded()
        heads, size = self.settings.heads, self.settings.hidden // self.settings.heads
        shape = Heads(heads, heads, size, size, 0, self.settings.scale)
        # 0 for a token, the lowest number for padding, [batch, 1, 1, tokens]
        is_token = ops.reshape(ops.convert(self.mask, "boolean"), constant([0, 1, 1, -1]), True)
        scores = ops.select(is_token, number(0), number(LOWEST))
        for index in range(self.settings.layers):
            x = self._layer(x, f"encoder.layer.{index}", shape, scores)
        return x

    def _embedded(self) -> ov.Node:
        hidden, first = self.settings.hidden, self.settings.first_position
        words = self.tensors.get("embeddings.word_embeddings.weight", self.settings.vocabulary, hidden)
        places = self.tensors.get("embeddings.position_embeddings.weight", first + self.settings.max_tokens, hidden)
        types = self.tensors.get("embeddings.token_type_embeddings.weight", self.settings.types, hidden)
        length = ops.gather(ops.shape_of(self.input_ids), constant(1), constant(0))
        positions = ops.range(constant(first), ops.add(length, constant(first)), constant(1), "i64")
        x = ops.add(_rows(words, self.input_ids), _rows(types, self.types))
        return self._norm(ops.add(x, _rows(places, positions)), "embeddings.LayerNorm")

    def _layer(self, x: ov.Node, name: str, heads: Heads, mask: ov.Node) -> ov.Node:
        """Attention and the MLP, each added to what it reads and then normalised."""
        hidden, count, size = self.settings.hidden, heads.queries, heads.key_size
        queries, keys, values = (
            split_heads(self._linear(x, f"{name}.attention.self.{part}", hidden, hidden), count, size)
            for part in ("query", "key", "value")
        )
        mixed = attend(queries, keys, values, heads, mask)
        mixed = self._linear(mixed, f"{name}.attention.output.dense", hidden, hidden)
        x = self._norm(ops.add(x, mixed), f"{name}.attention.output.LayerNorm")
        inner = _activate(self._linear(x, f"{name}.intermediate.dense", -1, hidden), self.settings.activation)
        outer = self._linear(inner, f"{name}.output.dense", hidden, -1)
        return self._norm(ops.add(x, outer), f"{name}.output.LayerNorm")

    def _pooled(self, states: ov.Node) -> ov.Node:
        """[batch, tokens, hidden] → [batch, hidden]."""
        if self.settings.pooling == "cls":
            return self._first(states)
        is_token = ops.unsqueeze(self.mask, constant(2))  # [batch, tokens, 1]
        if self.settings.pooling == "max":
            states = ops.select(ops.convert(is_token, "boolean"), states, number(LOWEST))
            return ops.reduce_max(states, constant([1]), False)
        weights = ops.convert(is_token, "f32")
        sums = ops.reduce_sum(ops.multiply(states, weights), constant([1]), False)
        return ops.divide(sums, ops.reduce_sum(weights, constant([1]), False))

    def _first(self, states: ov.Node) -> ov.Node:
        return ops.gather(states, constant(0), constant(1))

    def _linear(self, x: ov.Node, name: str, outputs: int, inputs: int) -> ov.Node:
        weight = self.tensors.get(f"{name}.weight", outputs, inputs)
        bias = self.tensors.get(f"{name}.bias", outputs)
        return ops.add(ops.matmul(x, constant(weight), False, True), constant(bias))

    def _norm(self, x: ov.Node, name: str) -> ov.Node:
        hidden = self.settings.hidden
        x = ops.multiply(layer_norm(x, self.settings.epsilon), constant(self.tensors.get(f"{name}.weight", hidden)))
        return ops.add(x, constant(self.tensors.get(f"{name}.bias", hidden)))


def _rows(table: np.ndarray, indices: ov.Node) -> ov.Node:
    return ops.gather(constant(table), indices, constant(0))


def _activate(x: ov.Node, kind: str) -> ov.Node:
    if kind == "relu":
        return ops.relu(x)
    if kind == "silu":
        return ops.swish(x)
    return ops.gelu(x, "erf" if kind == "gelu" else "tanh")
