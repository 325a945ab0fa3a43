"""The paged form of a model's graph, whose attention reads keys and values from blocks that conversations share.

The form is that of vLLM's PagedAttention (Kwon et al. 2023, arXiv:2309.06180). OpenVINO has the rewriting for its own
pipelines, as a function that is not public: this module alone knows it, for the versions that it was tested with.
"""

from collections.abc import Set

import numpy as np
import openvino as ov
import openvino.opset13 as ops

# Versions of OpenVINO whose private function was tested, see tests/engine/test_paged_graph.py.
KNOWN_OPENVINO = "2026.4."

# Inputs of the paged graph: for T tokens of B sequences that lie one after another, int64 and the others int32.
INPUT_IDS = "input_ids"  # [T]
POSITION_IDS = "position_ids"  # [T]
PAST_LENS = "past_lens"  # [B] tokens of each sequence that are held already
SUBSEQUENCE_BEGINS = "subsequence_begins"  # [B + 1] where in T each sequence begins, and T
BLOCK_INDICES = "block_indices"  # blocks of all sequences, past and new tokens
BLOCK_INDICES_BEGINS = "block_indices_begins"  # [B + 1] where in `block_indices` each sequence begins
MAX_CONTEXT_LEN = "max_context_len"  # [] of the longest sequence, past and new tokens
LOGITS_INDICES = "logits_indices"  # [L] which of the T tokens logits are wanted for; added here
KNOWN_INPUTS = {
    INPUT_IDS,
    POSITION_IDS,
    PAST_LENS,
    SUBSEQUENCE_BEGINS,
    BLOCK_INDICES,
    BLOCK_INDICES_BEGINS,
    MAX_CONTEXT_LEN,
    LOGITS_INDICES,
}
CACHE_INPUTS = ("key_cache.", "value_cache.")

# Where the operator of paged attention has ALiBi's slopes among its inputs, or an empty constant.
ALIBI_SLOPES = 11

# What may follow the output layer in a graph, position by position.
AFTER_OUTPUT_LAYER = ("Add", "Convert", "Divide", "Multiply", "Tanh")


class PagedAttentionUnavailableError(Exception):
    """This graph can't be rewritten here. The text says why, as the second half of a sentence."""


def make_paged(model: ov.Model, extra_inputs: Set[str] = frozenset()) -> None:
    """Rewrites a stateful graph as a paged one with the inputs above and logits [L, 1, vocabulary].

    Args:
        model: as the folder has it, with position ids; where an exception is raised it is of no further use.
        extra_inputs: those that were added to it, and that stay.

    Raises:
        PagedAttentionUnavailableError: this OpenVINO is not one that was tested, or it can't rewrite this graph.
    """
    version = ov.get_version()
    if not version.startswith(KNOWN_OPENVINO):
        raise PagedAttentionUnavailableError(f"it was tested with OpenVINO {KNOWN_OPENVINO}x, and this is {version}")
    from openvino._offline_transformations import paged_attention_transformation

    try:
        biases = _attention_biases(model)
        paged_attention_transformation(model)
        _add_alibi(model, biases)
        _add_logits_indices(model)
        model.validate_nodes_and_infer_types()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise PagedAttentionUnavailableError(f"OpenVINO can't rewrite this graph: {reason}") from error
    names = {port.any_name for port in model.inputs}
    unknown = {name for name in names - KNOWN_INPUTS - extra_inputs if not name.startswith(CACHE_INPUTS)}
    missing = KNOWN_INPUTS - {POSITION_IDS} - names
    if model.get_sinks() or unknown or missing:
        raise PagedAttentionUnavailableError("OpenVINO rewrote only a part of this graph")


def _attention_biases(model: ov.Model) -> list[np.ndarray]:
    """Constants in the attention masks that are more than one number: in a plain causal mask there are none."""
    attentions = [node for node in model.get_ops() if node.get_type_name() == "ScaledDotProductAttention"]
    todo = [node.input_value(3).node for node in attentions if node.get_input_size() > 3]
    biases, seen = [], set()
    while todo:
        node = todo.pop()
        if node.get_friendly_name() in seen or node.get_type_name() == "ShapeOf":  # beyond are keys, not masks
            continue
        seen.add(node.get_friendly_name())
        todo += [node.input_value(i).node for i in range(node.get_input_size())]
        if node.get_type_name() == "Constant" and node.get_element_type().is_real():
            biases.append(node.get_data())
    return [bias for bias in biases if bias.size > 1]


def _add_alibi(model: ov.Model, biases: list[np.ndarray]) -> None:
    """Gives the attention the slopes of ALiBi (Press et al. 2022, arXiv:2108.12409), which it has instead of a bias.

    OpenVINO recognises them as Bloom has them, and overlooks them as MPT does: [1, heads, 1, 1] times positions.
    """
    attentions = [node for node in model.get_ops() if node.get_type_name() == "PagedAttentionExtension"]
    plain = [node for node in attentions if node.input(ALIBI_SLOPES).get_partial_shape() == ov.PartialShape([0])]
    if not biases or not plain:
        return
    slopes = biases[0]
    if slopes.ndim != 4 or slopes.shape[1] != slopes.size or not all(np.array_equal(slopes, b) for b in biases):
        raise PagedAttentionUnavailableError("OpenVINO leaves a bias out of this attention")
    constant = ops.constant(slopes.ravel().astype(np.float32))
    for node in plain:
        node.input(ALIBI_SLOPES).replace_source_output(constant.output(0))


def _add_logits_indices(model: ov.Model) -> None:
    """Keeps the output layer to the positions that logits are wanted for."""
    target = model.output("logits").node.input(0)
    node = target.get_source_output().node
    while node.get_type_name() in AFTER_OUTPUT_LAYER:
        node = node.input_value(0).node
    if node.get_type_name() == "MatMul":
        target = node.input(0)
    indices = ops.parameter([-1], ov.Type.i32, name=LOGITS_INDICES)
    indices.output(0).set_names({LOGITS_INDICES})
    target.replace_source_output(ops.gather(target.get_source_output(), indices, ops.constant(0)).output(0))
    model.add_parameters([indices])
