"""Writes a wider model that computes what a small one does, so that the small one drafts for it with real acceptance.

    python -m benchmarks.widened wide.gguf --times 3 --noise 0.1

Each hidden unit, each inner unit and each head is there several times, and weights of repeated inputs are divided by
their number. The file's quantized blocks are copied; only their scales are divided, which rounds them to 16 bits again.
Noise on the scales makes it another model, so that fewer of the drafted tokens are accepted.
"""

import argparse
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFReader, GGUFValueType, GGUFWriter
from gguf.gguf_reader import ReaderField, ReaderTensor

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.sources.gguf_files import gguf_path

# The fields that count what is repeated.
WIDTHS = ("embedding_length", "feed_forward_length", "attention.head_count", "attention.head_count_kv")

# How many 16-bit scales a block begins with.
SCALES = {GGMLQuantizationType.Q4_0: 1, GGMLQuantizationType.Q4_1: 2, GGMLQuantizationType.Q8_0: 1}


def write_widened(source: Path, target: Path, times: int, noise: float = 0.0) -> None:
    """Writes a Llama-like model `times` as wide.

    Args:
        source: a GGUF file whose matrices have one of the types in `SCALES`, and whose embedding is its output layer.
        noise: the standard deviation of the logarithm of the factor of each scale.
    """
    reader = GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = GGUFWriter(target, architecture)
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture":
            _add_field(writer, name, field, times if name.removeprefix(f"{architecture}.") in WIDTHS else 1)
    random = np.random.default_rng(0)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, _widened(tensor, times, noise, random), raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _add_field(writer: GGUFWriter, name: str, field: ReaderField, times: int) -> None:
    value, is_list = field.contents(), field.types[0] == GGUFValueType.ARRAY
    writer.add_key_value(
        name, value * times if times > 1 else value, field.types[0], field.types[-1] if is_list else None
    )


def _widened(tensor: ReaderTensor, times: int, noise: float, random: np.random.Generator) -> np.ndarray:
    """A tensor with repeated outputs and inputs; uint8 of its blocks, or float32."""
    if tensor.tensor_type == GGMLQuantizationType.F32:
        # The output layer is the embedding, which is repeated and not divided, so its input is.
        return np.tile(tensor.data, times) / (times if tensor.name == "output_norm.weight" else 1)
    is_embedding = tensor.name == "token_embd.weight"
    rows = tensor.data if is_embedding else np.tile(tensor.data, (times, 1))
    block_bytes = GGML_QUANT_SIZES[tensor.tensor_type][1]
    blocks = np.tile(rows, (1, times)).reshape(-1, block_bytes)
    scales = np.ascontiguousarray(blocks[:, : 2 * SCALES[tensor.tensor_type]]).view(np.float16).astype(np.float32)
    if not is_embedding:
        scales *= np.exp(noise * random.standard_normal((len(scales), 1), np.float32)) / times
    blocks[:, : 2 * SCALES[tensor.tensor_type]] = scales.astype(np.float16).view(np.uint8)
    return blocks.reshape(len(rows), -1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--source", type=Path, help="GGUF file (default: the embedded model)")
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--noise", type=float, default=0.0)
    arguments = parser.parse_args()
    source = arguments.source or gguf_path(get_model_config(DEFAULT_MODEL))
    write_widened(source, arguments.target, arguments.times, arguments.noise)


if __name__ == "__main__":
    main()
