"""Measures time and anonymous memory of converting a GGUF file that keeps its own blocks.

    python -m benchmarks.gguf_conversion FOLDER [--embedded]

Writes a Llama-like 7B file with random blocks to FOLDER, with the types of Q4_K_M (Q6_K for the output layer and, in
every other layer, for `attn_v` and `ffn_down`; Q4_K for the rest), converts it and removes both. That needs 16 GB of
disk space. With `--embedded` it converts the embedded model's file instead. The conversion runs in its own process, and
its time includes all imports; `conversion.py` describes the samples.
"""

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGUFWriter, TokenType
from gguf import GGMLQuantizationType as GGML

from benchmarks.conversion import SHAPES, byte_tokenizer, sample
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.folder.manifest import MODEL_BIN

ROOT = Path(__file__).resolve().parents[1]

# Byte offsets of a block's float16 factors.
SCALES = {GGML.Q4_0: (0,), GGML.Q4_1: (0, 2), GGML.Q4_K: (0, 2), GGML.Q6_K: (208,)}

DIFFERENT_BLOCKS = 65_537  # of each type; they are repeated


def tensors(shape: dict) -> Iterator[tuple[str, tuple[int, ...], GGML]]:
    """Names, shapes and types of a Llama-like model's tensors."""
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


def write_file(path: Path, shape: dict, only: GGML | None = None) -> None:
    """Writes a GGUF file with a byte-level tokenizer, holding one tensor in memory at a time.

    Args:
        only: the type of all matrices; None for a mixture as in Q4_K_M.
    """
    layout = [(name, size, only if only and type != GGML.F32 else type) for name, size, type in tensors(shape)]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(4096)
    writer.add_embedding_length(shape["hidden_size"])
    writer.add_block_count(shape["num_hidden_layers"])
    writer.add_feed_forward_length(shape["intermediate_size"])
    writer.add_head_count(shape["num_attention_heads"])
    writer.add_head_count_kv(shape["num_key_value_heads"])
    writer.add_rope_dimension_count(shape["hidden_size"] // shape["num_attention_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    known = list(byte_tokenizer().get_vocab())
    tokens = [*known, "ab", *(f"<unused {number}>" for number in range(shape["vocab_size"] - len(known) - 1))]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.NORMAL] * len(tokens))
    writer.add_token_merges(["a b"])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    for name, dimensions, type in layout:
        block, block_bytes = GGML_QUANT_SIZES[type]
        n_bytes = int(np.prod(dimensions)) // block * block_bytes
        writer.add_tensor_info(name, dimensions, np.dtype(np.float32), n_bytes, raw_dtype=type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    blocks = {type: random_blocks(type) for type in SCALES}
    for number, (_, dimensions, type) in enumerate(layout):
        if type == GGML.F32:
            writer.write_tensor_data(np.ones(dimensions, np.float32))
        else:  # rolled, because equal tensors would be stored only once
            count = int(np.prod(dimensions)) // GGML_QUANT_SIZES[type][0]
            writer.write_tensor_data(np.resize(np.roll(blocks[type], number), count))
    writer.close()


def random_blocks(type: GGML) -> np.ndarray:
    """Random blocks of a type, one array item per block."""
    rng = np.random.default_rng(0)
    blocks = rng.integers(0, 256, (DIFFERENT_BLOCKS, GGML_QUANT_SIZES[type][1]), dtype=np.uint8)
    for offset in SCALES[type]:
        scales = (1e-4 * rng.standard_normal((DIFFERENT_BLOCKS, 1))).astype(np.float16)
        blocks[:, offset : offset + 2] = scales.view(np.uint8)
    return blocks.view(np.dtype((np.void, blocks.shape[1])))[:, 0]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the conversion of a GGUF file with its own blocks.")
    parser.add_argument("folder", type=Path, help="for the file and its conversion, which are removed at the end")
    parser.add_argument("--embedded", action="store_true", help="convert the embedded model")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        name = DEFAULT_MODEL
        if not arguments.embedded:
            name = str(work / "random.gguf")
            write_file(Path(name), SHAPES["7B"])
        samples = sample([sys.executable, str(ROOT / "converter.py"), name, "--output", str(work)], interval=0.05)
        size = next(work.glob(f"*/*/{MODEL_BIN}")).stat().st_size
    finally:
        shutil.rmtree(work, ignore_errors=True)
    seconds, cpu, _ = samples[-1]
    peak = max(memory for _, _, memory in samples) / 2**30
    print("| file | .bin, GB | peak, GiB | seconds | of CPU |\n|---|---:|---:|---:|---:|")
    print(f"| {Path(name).stem} | {size / 1e9:.2f} | {peak:.2f} | {seconds:.0f} | {cpu:.0f} |")


if __name__ == "__main__":
    main()
