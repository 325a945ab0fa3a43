"""Rewrites a model's graph for paged attention, which reads keys and values from blocks that conversations share.

PagedAttention is vLLM's (Kwon et al. 2023, arXiv:2309.06180). OpenVINO has the transformation for its own pipelines, in
a private function. Only this module calls it, and only for the versions it was tested with.
"""

from collections.abc import Set

import numpy as np
import openvino as ov
import openvino.opset13 as ops

from llm_chatbot.engine.graph.logits import output_layer

# Versions of OpenVINO that were tested, by tests/engine/graph/test_paged_graph.py.
KNOWN_OPENVINO = "2026.4."

# Inputs of the paged graph for T new tokens of B concatenated sequences. [T] inputs are int64, the others int32.
INPUT_IDS = "input_ids"  # [T]
POSITION_IDS = "position_ids"  # [T]
PAST_LENS = "past_lens"  # [B] cached tokens of each sequence
SUBSEQUENCE_BEGINS = "subsequence_begins"  # [B + 1] offsets of the sequences in the T tokens, then T
BLOCK_INDICES = "block_indices"  # the block tables of all sequences, for cached and new tokens
BLOCK_INDICES_BEGINS = "block_indices_begins"  # [B + 1] offsets of the sequences in `block_indices`, then its length
MAX_CONTEXT_LEN = "max_context_len"  # [] length of the longest sequence, cached and new tokens
LOGITS_INDICES = "logits_indices"  # [L] which of the T tokens to compute logits for; added by this module
# Of models that read pictures: vectors [rows, hidden], float32, at least one, of which the id -1 - r is read as row r.
PICTURE_ROWS = "picture_rows"
# Where such a model looks at all of a picture from each place in it: [T, 1], 1 for ids of a picture and 0 for others.
TOKEN_TYPE_IDS = "token_type_ids"
# Of models with adapters: how much of each is added to what a token makes, [T, adapters], float32.
ADAPTER_WEIGHTS = "adapter_weights"
# For B sequences' recurrent states, in hybrid models.
STATE_BLOCK_INDICES = "la.block_indices"  # for each sequence the slot that is read, then those that are written
STATE_BLOCK_INDICES_BEGINS = "la.block_indices_begins"  # [B + 1] offsets of the sequences in these, then their number
STATE_PAST_LENS = "la.past_lens"  # [B] tokens before the new ones
STATE_CACHE_INTERVAL = "la.cache_interval"  # [B] tokens after which the state is written to the next slot
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
OF_SOME = {PICTURE_ROWS, TOKEN_TYPE_IDS, ADAPTER_WEIGHTS}
OF_STATES = {STATE_BLOCK_INDICES, STATE_BLOCK_INDICES_BEGINS, STATE_PAST_LENS, STATE_CACHE_INTERVAL}
CACHE_INPUTS = ("key_cache.", "value_cache.")
STATE_INPUTS = ("selective_ssm_state_table.", "conv_state_table.", "gated_delta_state_table.")

# Operations that rotate queries and keys by their positions.
ROTARY = {"Cos", "Sin"}

# Which inputs of the paged attention operator take ALiBi's slopes and `TOKEN_TYPE_IDS`, or an empty constant.
ALIBI_SLOPES, TOKEN_TYPES = 11, 25


class PagedAttentionUnavailableError(Exception):
    """The graph can't be rewritten. The message gives the reason, as a clause that can follow "because"."""


def make_paged(model: ov.Model, extra_inputs: Set[str] = frozenset()) -> None:
    """Rewrites a stateful graph in place as a paged one, with the inputs above and logits [L, 1, vocabulary].

    Args:
        model: the graph as it is in the folder; unusable after an exception.
        extra_inputs: names of inputs that were added to it and are kept.

    Raises:
        PagedAttentionUnavailableError: this version of OpenVINO is untested, or can't rewrite this graph.
    """
    version = ov.get_version()
    if not version.startswith(KNOWN_OPENVINO):
        raise PagedAttentionUnavailableError(f"it was tested with OpenVINO {KNOWN_OPENVINO}x, and this is {version}")
    from openvino._offline_transformations import paged_attention_transformation

    try:
        biases = _attention_biases(model)
        paged_attention_transformation(model)
        _add_alibi(model, biases)
        _add_token_types(model)
        _add_logits_indices(model)
        model.validate_nodes_and_infer_types()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1]
        raise PagedAttentionUnavailableError(f"OpenVINO can't rewrite this graph: {reason}") from error
    names = {port.any_name for port in model.inputs}
    others = names - KNOWN_INPUTS - OF_STATES - OF_SOME - extra_inputs
    unknown = {name for name in others if not name.startswith(CACHE_INPUTS + STATE_INPUTS)}
    missing = KNOWN_INPUTS - {POSITION_IDS} - names
    if model.get_sinks() or unknown or missing:
        raise PagedAttentionUnavailableError("OpenVINO rewrote only a part of this graph")
    if not _reads_positions(model):
        raise PagedAttentionUnavailableError(
            "the graph counts positions itself, and would take each token for the first"
        )


def _reads_positions(model: ov.Model) -> bool:
    """Whether the input of positions is read, or nothing in the graph depends on positions."""
    read = any(port.any_name == POSITION_IDS and port.get_target_inputs() for port in model.inputs)
    return read or not any(node.get_type_name() in ROTARY for node in model.get_ops())


def _attention_biases(model: ov.Model) -> list[np.ndarray]:
    """Non-scalar constants in the attention masks; a plain causal mask has none."""
    attentions = [node for node in model.get_ops() if node.get_type_name() == "ScaledDotProductAttention"]
    todo = [node.input_value(3).node for node in attentions if node.get_input_size() > 3]
    biases, seen = [], set()
    while todo:
        node = todo.pop()
        if node.get_friendly_name() in seen or node.get_type_name() == "ShapeOf":  # beyond it are keys, not masks
            continue
        seen.add(node.get_friendly_name())
        todo += [node.input_value(i).node for i in range(node.get_input_size())]
        if node.get_type_name() == "Constant" and node.get_element_type().is_real():
            biases.append(node.get_data())
    return [bias for bias in biases if bias.size > 1]


def _add_alibi(model: ov.Model, biases: list[np.ndarray]) -> None:
    """Sets the ALiBi slopes (Press et al. 2022, arXiv:2108.12409) where OpenVINO's transformation lost them.

    The transformation recognises the slopes in Bloom's form, but not in MPT's: [1, heads, 1, 1] times positions.
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


def _add_token_types(model: ov.Model) -> None:
    """Lets all attentions read `TOKEN_TYPE_IDS`, if that is an input that nothing reads: as in a GGUF file's graph.

    The transformation finds it in the masks of Transformers' form.
    """
    types = [port for port in model.inputs if TOKEN_TYPE_IDS in port.names and not port.get_target_inputs()]
    if not types:
        return
    converted = ops.convert(types[0].node, "i32")
    for node in model.get_ops():
        if node.get_type_name() == "PagedAttentionExtension":
            node.input(TOKEN_TYPES).replace_source_output(converted.output(0))


def _add_logits_indices(model: ov.Model) -> None:
    """Computes the output layer only at the positions in `logits_indices`."""
    layer = output_layer(model)
    target = layer.input(0) if layer.get_type_name() == "MatMul" else model.output("logits").node.input(0)
    indices = ops.parameter([-1], ov.Type.i32, name=LOGITS_INDICES)
    indices.output(0).set_names({LOGITS_INDICES})
    target.replace_source_output(ops.gather(target.get_source_output(), indices, ops.constant(0)).output(0))
    model.add_parameters([indices])
