"""Builds the stateful graph of a decoder from a GGUF file: token ids in, logits out, keys and values in its state."""

from pathlib import Path

import openvino as ov

from llm_chatbot.decoder.constants import shared_constants
from llm_chatbot.decoder.decoder import DecoderGraph
from llm_chatbot.decoder.keys import Keys
from llm_chatbot.decoder.memory import Memory
from llm_chatbot.decoder.rows import ROWS, DecoderRow
from llm_chatbot.decoder.sizes import rotates
from llm_chatbot.decoder.tensors import Tensors, Unpacking
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.header import GGUFHeader, TensorInfo, read_gguf_header

# What Optimum Intel writes into its graphs: the precision of keys and values, and what a GPU divides activations by, as
# its 16-bit numbers end at 65504.
RUNTIME_OPTIONS = {"KV_CACHE_PRECISION": "f16", "ACTIVATIONS_SCALE_FACTOR": "8.0"}

# Tensors of other parts than the decoder: vision, audio, and the prediction of further tokens.
OTHER_PARTS = ("v.", "a.", "mm.", "mtp.", "nextn.")


def build_decoder(
    file: Path | GGUFHeader,
    memory: Memory | None = None,
    context: int | None = None,
    unpacking: Unpacking | None = None,
    pictures: bool = False,
) -> ov.Model:
    """Builds the graph of the model in a GGUF file.

    Args:
        file: its path, or its header if it was read before.
        memory: where weights are kept; by default on the heap.
        context: the tokens that a conversation may have; only models with longrope differ for more tokens than their
            original context, which is the default.
        unpacking: see `Tensors`.
        pictures: whether vectors of pictures may stand in place of those of tokens, which are named `inputs_embeds`,
            and are added to what some layers make, named `deepstack.0` and so on. Where the architecture wants it,
            positions are [3, batch, new tokens], in time, height and width, and there is an input `token_type_ids`,
            which only the paged form reads.

    Returns:
        A graph with the inputs `input_ids` and `position_ids` [batch, new tokens], `attention_mask` [batch, all tokens]
        and `beam_idx` [batch], and the output `logits`, float32 [batch, new tokens, vocabulary]. With the default
        memory, nothing else must be kept alive for it.

    Raises:
        UserError: the file is damaged, or holds a model of an architecture or with parts that are not supported.
    """
    header = file if isinstance(file, GGUFHeader) else read_gguf_header(file)
    row = row_of(header)
    with Tensors(header, memory, unpacking) as tensors:
        return build_graph(header, row, tensors, context, pictures)


def build_graph(
    header: GGUFHeader, row: DecoderRow, tensors: Tensors, context: int | None = None, pictures: bool = False
) -> ov.Model:
    """Builds the graph of a model, and waits for its weights.

    Args:
        header: what is known of the model.
        row: what it is made of.
        tensors: its weights.
        context, pictures: see `build_decoder`.

    Returns, raises: as `build_decoder`.
    """
    keys = Keys(header)
    try:
        with shared_constants():
            graph = DecoderGraph(keys, tensors, row, context, pictures).build()
    except RuntimeError as error:  # of OpenVINO, for operands whose shapes don't fit together
        raise keys.refusal("gguf.shapes", reason=str(error).strip().splitlines()[-1]) from error
    _check_all_used(header, keys, tensors, row)
    tensors.finish()
    for option, value in RUNTIME_OPTIONS.items():
        graph.set_rt_info(value, ["runtime_options", option])
    return graph


def row_of(header: GGUFHeader) -> DecoderRow:
    """The row of the model in a file.

    Raises:
        UserError: the file's architecture is not supported.
    """
    name = header.fields.text("general.architecture") or ""
    if name not in ROWS:
        known = ", ".join(sorted(ROWS))
        raise UserError("gguf.architecture", path=header.path, architecture=f"{name!r:.80}", known=known)
    return ROWS[name]


def decoder_tensors(header: GGUFHeader) -> list[TensorInfo]:
    """The tensors of the language model, without those of other parts."""
    return [info for name, info in header.tensors.items() if not name.startswith(OTHER_PARTS)]


def _check_all_used(header: GGUFHeader, keys: Keys, tensors: Tensors, row: DecoderRow) -> None:
    """Refuses a file that says more than the graph does: its answers would be wrong.

    Raises:
        UserError: it has tensors or keys that were not used.
    """
    if keys.get("attention.causal", True) is False:
        raise keys.refusal("gguf.no_decoder")
    further = range(keys.layers, keys.size("block_count"))
    other_parts = (*OTHER_PARTS, *(f"blk.{index}." for index in further))
    left = [name for name in tensors.unused() if not name.startswith(other_parts)]
    left += keys.unread(row.of_images if rotates(keys, row) else ("rope.",))
    if left:
        raise UserError("gguf.not_supported", path=header.path, name=f"{left[0]:.80}", architecture=keys.architecture)
