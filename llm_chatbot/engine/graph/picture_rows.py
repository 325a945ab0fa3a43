"""A language model that reads pictures, as one graph: vectors of pictures stand in place of those of tokens."""

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from llm_chatbot.decoder.decoder import DEEP
from llm_chatbot.engine.graph.paged_graph import INPUT_IDS, PICTURE_ROWS, POSITION_IDS, TOKEN_TYPE_IDS

# The output that holds the tokens' vectors, as Optimum Intel names it.
INPUTS_EMBEDS = "inputs_embeds"
# Inputs of Optimum Intel's graphs of Qwen3-VL: which ids are a picture's, [batch, tokens], and what is added for these
# to what the first layers make, [layers, rows, hidden].
IS_PICTURE, DEEP_ROWS = "visual_pos_masks", "deepstack_visual_embeds"
PER_LAYER = "per_layer_inputs"  # those of Gemma 4: the tokens' vectors for each layer, [batch, tokens, layers, size]


def joined_graphs(
    language: ov.Model, text_embeddings: ov.Model, deep: int = 0, per_layer: ov.Model | None = None
) -> ov.Model:
    """A language model that takes tokens' vectors, with the graph that makes them before it.

    Args:
        language: with the input `INPUTS_EMBEDS`; it is changed.
        text_embeddings: its one input are ids [batch, tokens].
        deep: of how many layers there are `DEEP_ROWS`, if that is an input.
        per_layer: what makes `PER_LAYER` of ids [batch, tokens], if that is an input.

    Returns:
        `language`, with the input `INPUT_IDS` instead.
    """
    ids = ops.parameter([-1, -1], np.int64, name=INPUT_IDS)
    ids.output(0).set_names({INPUT_IDS})
    made = _made_of(ids, text_embeddings)
    _replace_input(language, language.input(INPUTS_EMBEDS), made)
    made.set_names({INPUTS_EMBEDS})
    if per_layer is not None:
        _replace_input(language, language.input(PER_LAYER), _made_of(ids, per_layer))
    language.add_parameters([ids])
    for port in _named(language, DEEP_ROWS):
        port.node.set_partial_shape(ov.PartialShape([deep, -1, made.get_partial_shape()[-1]]))
    language.validate_nodes_and_infer_types()
    return language


def _made_of(ids: ov.Node, graph: ov.Model) -> ov.Output:
    """The output of a graph whose one input is replaced by these ids."""
    for reader in graph.inputs[0].get_target_inputs():
        reader.replace_source_output(ids.output(0))
    return graph.outputs[0].node.input_value(0)


def _named(graph: ov.Model, name: str) -> list[ov.Output]:
    """The input of this name; none if there is none."""
    return [port for port in graph.inputs if name in port.names]


def without_pictures(graph: ov.Model) -> None:
    """Makes a graph that `joined_graphs` made read texts alone, without the inputs that tell of pictures."""
    for port in _named(graph, TOKEN_TYPE_IDS):
        _replace_input(graph, port, ops.multiply(graph.input(INPUT_IDS).node, np.int64(0)).output(0))
    for port in _named(graph, IS_PICTURE):
        _replace_input(graph, port, ops.less(graph.input(INPUT_IDS).node, np.int64(0)).output(0))
    for port in _named(graph, DEEP_ROWS):
        layers, hidden = (port.partial_shape[axis].get_length() for axis in (0, 2))
        _replace_input(graph, port, ops.constant(np.zeros((layers, 1, hidden), np.float32)).output(0))
    graph.validate_nodes_and_infer_types()
    with_one_position(graph)


def _replace_input(graph: ov.Model, port: ov.Output, instead: ov.Output) -> None:
    for reader in port.get_target_inputs():
        reader.replace_source_output(instead)
    graph.remove_parameter(port.node)


def with_one_position(graph: ov.Model) -> None:
    """Makes a graph whose positions have a row each for time, height and width read a text, where they are the same."""
    positions = graph.input(POSITION_IDS)
    if len(positions.partial_shape) != 3:
        return
    one = ops.parameter([-1, -1], np.int64, name=POSITION_IDS)
    rows = ops.unsqueeze(one, ops.constant(0))
    three = ops.concat([rows] * 3, 0)
    for reader in positions.get_target_inputs():
        reader.replace_source_output(three.output(0))
    graph.remove_parameter(positions.node)
    one.output(0).set_names({POSITION_IDS})
    graph.add_parameters([one])
    graph.validate_nodes_and_infer_types()


def add_picture_rows(graph: ov.Model) -> None:
    """Adds the input `PICTURE_ROWS` to a graph that `joined_graphs` made: negative ids are read as rows of it.

    Where the graph has outputs of layers by the names `DEEP` with a number, or the input `DEEP_ROWS`, rows go on with
    what is added to each.
    """
    ids = graph.input(INPUT_IDS)
    named = {name: output for node in graph.get_ops() for output in node.outputs() for name in output.get_names()}
    vectors = named[INPUTS_EMBEDS]
    deep = [named[f"{DEEP}{index}"] for index in range(sum(name.startswith(DEEP) for name in named))]
    readers = [(each, each.get_target_inputs()) for each in (vectors, *deep)]
    hidden = vectors.get_partial_shape()[-1].get_length()
    layers = sum(port.partial_shape[0].get_length() for port in _named(graph, DEEP_ROWS))
    every = ops.parameter([-1, hidden * (len(readers) + layers)], np.float32, name=PICTURE_ROWS)
    every.output(0).set_names({PICTURE_ROWS})
    _read_as_tokens(ids)
    rows = _without_deep_rows(graph, every, layers, hidden) if layers else every
    zero = np.int64(0)
    picked = ops.gather(rows, ops.maximum(ops.subtract(np.int64(-1), ids.node), zero), ops.constant(0))
    is_row = ops.unsqueeze(ops.less(ids.node, zero), ops.constant(-1))
    parts = ops.split(picked, ops.constant(-1), len(readers)).outputs() if deep else picked.outputs()
    for (output, targets), part in zip(readers, parts, strict=True):
        instead = ops.convert_like(part, output)
        if output is not vectors:
            instead = ops.add(output, instead)
        mixed = ops.select(is_row, instead, output)
        for target in targets:
            target.replace_source_output(mixed.output(0))
    graph.add_parameters([every])
    graph.validate_nodes_and_infer_types()


def _without_deep_rows(graph: ov.Model, every: ov.Node, layers: int, hidden: int) -> ov.Node:
    """The first part of `every` row; the inputs `IS_PICTURE` and `DEEP_ROWS` are made of the others."""
    own, deep = ops.variadic_split(every, ops.constant(1), ops.constant([hidden, hidden * layers])).outputs()
    deep = ops.transpose(ops.reshape(deep, [-1, layers, hidden], False), [1, 0, 2])
    for name, node in ((IS_PICTURE, ops.less(graph.input(INPUT_IDS).node, np.int64(0))), (DEEP_ROWS, deep)):
        _replace_input(graph, graph.input(name), node.output(0))
    return own


def _read_as_tokens(ids: ov.Output) -> None:
    """Makes whoever reads ids read 0 for those that are no tokens: of Gemma 4, that is padding, as it wants it."""
    readers = ids.get_target_inputs()
    tokens = ops.maximum(ids.node, np.int64(0))
    for reader in readers:
        reader.replace_source_output(tokens.output(0))
