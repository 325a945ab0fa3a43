"""The paged form of a model's graph, whose attention reads keys and values from blocks that conversations share.

The form is that of vLLM's PagedAttention (Kwon et al. 2023, arXiv:2309.06180). OpenVINO has the rewriting for its own
pipelines, as a function that is not public: this module alone knows it, for the versions that it was tested with.
"""

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

# What may follow the output layer in a graph, position by position.
AFTER_OUTPUT_LAYER = ("Add", "Convert", "Divide", "Multiply", "Tanh")


class PagedAttentionUnavailableError(Exception):
    """This graph can't be rewritten here. The text says why, as the second half of a sentence."""


def make_paged(model: ov.Model, extra_inputs: frozenset[str] = frozenset()) -> None:
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
        paged_attention_transformation(model)
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


def cache_shapes(compiled: ov.CompiledModel, blocks: int) -> dict[str, tuple[ov.Type, list[int]]]:
    """Type and shape of the tensors for all keys and values, by input: [blocks, heads, tokens, size], packed or not."""
    ports = [port for port in compiled.inputs if port.any_name.startswith(CACHE_INPUTS)]
    return {
        port.any_name: (port.element_type, [blocks, *(size.get_length() for size in list(port.partial_shape)[1:])])
        for port in ports
    }
