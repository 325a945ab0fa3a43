"""Writes GGUF files with random weights in the shapes of known models: their sizes and vocabularies."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGUFWriter, TokenType
from gguf import GGMLQuantizationType as GGML
from tokenizers.pre_tokenizers import ByteLevel

Tensor = tuple[str, tuple[int, ...], GGML]  # name, shape and type

TEMPLATE = "{% for message in messages %}{{ message.role }}: {{ message.content }}\n{% endfor %}assistant:"

# Byte offsets of a block's float16 factors.
SCALES = {GGML.Q4_0: (0,), GGML.Q4_1: (0, 2), GGML.Q5_0: (0,), GGML.Q8_0: (0,), GGML.Q4_K: (0, 2), GGML.Q6_K: (208,)}

DIFFERENT_BLOCKS = 65_537  # of each type; they are repeated

# The sizes of Gemma 3 270M.
LAYERS, HIDDEN, INNER, HEADS, HEAD_SIZE, WINDOW, VOCABULARY = 18, 640, 2048, 4, 256, 512, 262_144
LONGEST_PIECE = 16  # characters of a token


def write_llama(path: Path, shape: dict, only: GGML | None = None) -> None:
    """Writes a Llama-like model with a byte-level tokenizer.

    Args:
        shape: sizes by their names in a checkpoint's `config.json`.
        only: the type of all matrices; None for a mixture as in Q4_K_M: Q6_K for the output layer and, in every other
            layer, for `attn_v` and `ffn_down`; Q4_K for the rest.
    """
    writer = _writer(path, "llama", shape["hidden_size"], shape["num_hidden_layers"], shape["intermediate_size"])
    writer.add_head_count(shape["num_attention_heads"])
    writer.add_head_count_kv(shape["num_key_value_heads"])
    writer.add_rope_dimension_count(shape["hidden_size"] // shape["num_attention_heads"])
    known = ["<s>", "</s>", "<unk>", *sorted(ByteLevel.alphabet()), "ab"]
    tokens = [*known, *(f"<unused {number}>" for number in range(shape["vocab_size"] - len(known)))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.CONTROL] * 3 + [TokenType.NORMAL] * (len(tokens) - 3))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(1)
    types = [(name, size, only if only and type != GGML.F32 else type) for name, size, type in _llama_tensors(shape)]
    _write_tensors(writer, types)


def write_gemma(path: Path) -> None:
    """Writes a model in the shape of Gemma 3 270M, whose vocabulary is most of it."""
    writer = _writer(path, "gemma3", HIDDEN, LAYERS, INNER)
    writer.add_head_count(HEADS)
    writer.add_head_count_kv(1)
    writer.add_key_length(HEAD_SIZE)
    writer.add_value_length(HEAD_SIZE)
    writer.add_sliding_window(WINDOW)
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    of_bytes = [f"<0x{byte:02X}>" for byte in range(256)]
    pieces = random_pieces(VOCABULARY - len(special) - len(of_bytes))
    tokens = [*special, *of_bytes, *pieces]
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * 260 + [-float(rank) for rank in range(len(pieces))])
    types = [TokenType.CONTROL] * 3 + [TokenType.UNKNOWN] + [TokenType.BYTE] * 256 + [TokenType.NORMAL] * len(pieces)
    writer.add_token_types(types)
    writer.add_pad_token_id(0)
    writer.add_eos_token_id(1)
    writer.add_bos_token_id(2)
    writer.add_unk_token_id(3)
    writer.add_add_space_prefix(False)
    _write_tensors(writer, list(_gemma_tensors()))


def random_pieces(count: int) -> list[str]:
    """The pieces of a random BPE vocabulary: characters, then ever more pairs of what is there."""
    rng = np.random.default_rng(0)
    pieces = ["▁", *(chr(code) for code in range(0x21, 0x7F)), *(chr(code) for code in range(0x3040, 0x3100))]
    known = set(pieces)
    while len(pieces) < count:
        # Squares of uniform numbers prefer frequent pieces, which came first.
        left, right = (pieces[int(len(pieces) * share**2)] for share in rng.random(2))
        if len(left + right) <= LONGEST_PIECE and left + right not in known:
            pieces.append(left + right)
            known.add(left + right)
    return pieces


def random_blocks(type: GGML) -> np.ndarray:
    """Random blocks of a type, one array item per block."""
    rng = np.random.default_rng(0)
    if type == GGML.F16:
        return (1e-2 * rng.standard_normal(DIFFERENT_BLOCKS)).astype(np.float16).view(np.dtype((np.void, 2)))
    blocks = rng.integers(0, 256, (DIFFERENT_BLOCKS, GGML_QUANT_SIZES[type][1]), dtype=np.uint8)
    for offset in SCALES[type]:
        scales = (1e-4 * rng.standard_normal((DIFFERENT_BLOCKS, 1))).astype(np.float16)
        blocks[:, offset : offset + 2] = scales.view(np.uint8)
    return blocks.view(np.dtype((np.void, blocks.shape[1])))[:, 0]


def _writer(path: Path, architecture: str, hidden: int, layers: int, inner: int) -> GGUFWriter:
    """A writer that has what all these files say alike."""
    writer = GGUFWriter(path, architecture)
    writer.add_context_length(4096)
    writer.add_embedding_length(hidden)
    writer.add_block_count(layers)
    writer.add_feed_forward_length(inner)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_chat_template(TEMPLATE)
    return writer


def _llama_tensors(shape: dict) -> Iterator[Tensor]:
    width, inner, vocabulary = shape["hidden_size"], shape["intermediate_size"], shape["vocab_size"]
    narrow = width * shape["num_key_value_heads"] // shape["num_attention_heads"]
    yield "token_embd.weight", (vocabulary, width), GGML.Q4_K
    for layer in range(shape["num_hidden_layers"]):
        better = GGML.Q6_K if layer % 2 else GGML.Q4_K
        for name, rows, columns, type in (
            ("attn_q", width, width, GGML.Q4_K),
            ("attn_k", narrow, width, GGML.Q4_K),
            ("attn_v", narrow, width, better),
            ("attn_output", width, width, GGML.Q4_K),
            ("ffn_gate", inner, width, GGML.Q4_K),
            ("ffn_up", inner, width, GGML.Q4_K),
            ("ffn_down", width, inner, better),
        ):
            yield f"blk.{layer}.{name}.weight", (rows, columns), type
        yield f"blk.{layer}.attn_norm.weight", (width,), GGML.F32
        yield f"blk.{layer}.ffn_norm.weight", (width,), GGML.F32
    yield "output_norm.weight", (width,), GGML.F32
    yield "output.weight", (vocabulary, width), GGML.Q6_K


def _gemma_tensors() -> Iterator[Tensor]:
    """Rows of 640 weights hold no blocks of 256, so Q4_K_M has other types there."""
    yield "token_embd.weight", (VOCABULARY, HIDDEN), GGML.Q8_0
    for layer in range(LAYERS):
        for name, rows, columns, type in (
            ("attn_q", HEADS * HEAD_SIZE, HIDDEN, GGML.Q5_0),
            ("attn_k", HEAD_SIZE, HIDDEN, GGML.Q5_0),
            ("attn_v", HEAD_SIZE, HIDDEN, GGML.Q8_0),
            ("attn_output", HIDDEN, HEADS * HEAD_SIZE, GGML.Q4_K),
            ("ffn_gate", INNER, HIDDEN, GGML.Q5_0),
            ("ffn_up", INNER, HIDDEN, GGML.Q5_0),
            ("ffn_down", HIDDEN, INNER, GGML.Q6_K),
        ):
            yield f"blk.{layer}.{name}.weight", (rows, columns), type
        for name in ("attn_norm", "post_attention_norm", "ffn_norm", "post_ffw_norm"):
            yield f"blk.{layer}.{name}.weight", (HIDDEN,), GGML.F32
        for name in ("attn_q_norm", "attn_k_norm"):
            yield f"blk.{layer}.{name}.weight", (HEAD_SIZE,), GGML.F32
    yield "output_norm.weight", (HIDDEN,), GGML.F32


def _write_tensors(writer: GGUFWriter, layout: list[Tensor]) -> None:
    """Writes a file, holding one tensor in memory at a time, and closes it."""
    for name, shape, type in layout:
        block, block_bytes = GGML_QUANT_SIZES[type]
        n_bytes = int(np.prod(shape)) // block * block_bytes
        writer.add_tensor_info(name, shape, np.dtype(np.float32), n_bytes, raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    blocks = {type: random_blocks(type) for type in {type for *_, type in layout} - {GGML.F32}}
    for number, (_, shape, type) in enumerate(layout):
        if type == GGML.F32:
            writer.write_tensor_data(np.ones(shape, np.float32))
        else:  # rolled, because equal tensors of a folder would be stored only once
            count = int(np.prod(shape)) // GGML_QUANT_SIZES[type][0]
            writer.write_tensor_data(np.resize(np.roll(blocks[type], number), count))
    writer.close()
