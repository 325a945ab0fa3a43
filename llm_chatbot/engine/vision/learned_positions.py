"""The learned positions of Qwen3-VL's patches, which Optimum Intel has in a graph of their own, in that of its layers.

The graph is then as `llm_chatbot.tower.squares` makes it of a GGUF file.
"""

import numpy as np
import openvino as ov
import openvino.opset13 as ops


def with_learned_positions(merger: ov.Model, positions: ov.Model) -> ov.Model:
    """A graph that adds positions to its patches, and returns the vectors of all layers in one.

    Args:
        merger: `openvino_vision_embeddings_merger_model.xml`: `hidden_states` [patches, size] → "last_hidden_state"
            [vectors, hidden] and "deepstack_feature_lists" [layers, vectors, hidden]; it is changed.
        positions: `openvino_vision_embeddings_pos_model.xml`: places, int64 [4, patches] → [4, patches, size].

    Returns:
        `merger`, with the inputs `position_places` and `position_weights`, each [4, patches], and one output, [vectors,
        hidden · (1 + layers)].
    """
    patches = merger.input("hidden_states")
    readers = patches.get_target_inputs()
    places, corners = positions.inputs[0], positions.outputs[0].node.input_value(0)
    places.set_names({"position_places"})
    weights = ops.parameter([4, -1], np.float32, name="position_weights")
    weights.output(0).set_names({"position_weights"})
    mixed = ops.reduce_sum(ops.multiply(corners.node, ops.unsqueeze(weights, ops.constant(2))), ops.constant([0]))
    placed = ops.add(patches.node, mixed)
    for reader in readers:
        reader.replace_source_output(placed.output(0))
    results = {name: merger.output(name).node for name in ("last_hidden_state", "deepstack_feature_lists")}
    last, deep = (result.input_value(0) for result in results.values())
    layers, _, hidden = deep.get_partial_shape()
    of_each = ops.transpose(deep.node, [1, 0, 2])
    of_each = ops.reshape(of_each, [-1, layers.get_length() * hidden.get_length()], False)
    for result in results.values():
        merger.remove_result(result)
    merger.add_results([ops.result(ops.concat([last.node, of_each], -1))])
    merger.add_parameters([places.node, weights])
    merger.validate_nodes_and_infer_types()
    return merger
