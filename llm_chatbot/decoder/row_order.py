"""The order that a graph has a matrix's rows in, where it is not that of the GGUF file."""

import numpy as np

from llm_chatbot.decoder.build import row_of
from llm_chatbot.decoder.keys import Keys
from llm_chatbot.decoder.rotary import halves_from_pairs
from llm_chatbot.decoder.sizes import read_heads, read_windows, rotates
from llm_chatbot.gguf.header import GGUFHeader


def row_order(header: GGUFHeader, layer: int, kind: str) -> np.ndarray | None:
    """Which row of the file each row of the graph is: int [rows]; None where they are the same.

    Args:
        header: of a file whose queries, keys and values are made by a matrix each.
        kind: of the matrix, such as "attn_q".

    Raises:
        UserError: the architecture is not supported.
    """
    keys, row = Keys(header), row_of(header)
    if kind not in ("attn_q", "attn_k") or row.rotary != "pairs" or not rotates(keys, row):
        return None
    heads = read_heads(keys, row, layer, read_windows(keys, row)[layer])
    count = heads.queries if kind == "attn_q" else heads.keys
    return halves_from_pairs(count, heads.key_size, heads.rotated) if heads.rotated else None
