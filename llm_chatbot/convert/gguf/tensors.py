"""Maps the tensors of a GGUF file to the parameters of a Transformers model, with the order of their rows.

Transformers has this mapping, but no public way to get it without dequantizing every tensor to 32 bits. This module
alone uses its internals, and only for the version in `KNOWN_VERSIONS`.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType, ReaderTensor
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.modeling_gguf_pytorch_utils import (
    TENSOR_PROCESSORS,
    GGUFTensor,
    TensorProcessor,
    get_gguf_hf_weights_map,
)

from llm_chatbot.convert.export.exporter_configs import check_exportable
from llm_chatbot.convert.gguf.file import open_gguf
from llm_chatbot.convert.patching import patched
from llm_chatbot.errors import UserError

# The RoPE factors of Llama 3, which multiply the wavelengths; Transformers has no parameter for them.
ROPE_FACTORS = "rope_freqs.weight"

# Architectures that Transformers reads and Optimum Intel exports, by GGUF's names.
ARCHITECTURES = (
    "llama",
    "qwen2",
    "qwen2moe",
    "qwen3",
    "qwen3moe",
    "phi3",
    "gemma2",
    "gemma3",
    "gpt2",
    "starcoder2",
    "falcon",
    "stablelm",
    "bloom",
)

# Models that scale attention differently from the smaller ones. Like llama.cpp, this tells them by their layers.
GEMMA_27B = (("gemma2", 46), ("gemma3_text", 62))

GATE_AND_UP = ".gate_up_proj"  # one parameter for all experts, two tensors in the file

CHUNK_WEIGHTS = 1_000_000  # weights read from the file at a time


@dataclass(frozen=True)
class Source:
    """Where the values of a parameter come from.

    Attributes:
        tensor: the file's tensor.
        rows: for each row of the parameter, as a matrix, the index of the tensor's row; None if the order is the same.
        transposed: whether the parameter's columns are the tensor's rows.
    """

    tensor: ReaderTensor
    rows: np.ndarray | None = None
    transposed: bool = False

    @property
    def type(self) -> GGMLQuantizationType:
        return self.tensor.tensor_type

    @property
    def n_bytes(self) -> int:
        return int(self.tensor.n_bytes)

    def chunks(self) -> Iterator[np.ndarray]:
        """The bytes of the parameter's rows, in its order, in chunks of some rows: uint8 [rows, bytes per row]."""
        columns = int(self.tensor.shape[0])
        data = self.tensor.data.view(np.uint8).reshape(int(self.tensor.n_elements) // columns, -1)
        step = max(1, CHUNK_WEIGHTS // columns)
        for first in range(0, len(data), step):
            yield data[first : first + step] if self.rows is None else data[self.rows[first : first + step]]


def read_gguf_config(path: Path) -> PreTrainedConfig:
    """The configuration of the model in a GGUF file.

    Raises:
        UserError: the file is damaged, or its architecture is not supported.
    """
    reader = open_gguf(path)
    try:
        with quick_transformers(reader):
            config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
        check_exportable(config.model_type)
    except (ValueError, LookupError, TypeError) as error:
        name = repr(architecture(reader))
        raise UserError("gguf.architecture", path=path, architecture=name, known=", ".join(ARCHITECTURES)) from error
    if (config.model_type, config.num_hidden_layers) in GEMMA_27B:
        config.query_pre_attn_scalar = config.hidden_size // config.num_attention_heads
    return config


def architecture(reader: gguf.GGUFReader) -> str:
    field = reader.get_field("general.architecture")
    return str(field.contents()) if field else ""


def read_field(reader: gguf.GGUFReader, key: str) -> Any:
    """The value of an architecture's key in the header; None if it is missing."""
    field = reader.get_field(f"{architecture(reader)}.{key}")
    return field.contents() if field else None


@contextmanager
def quick_transformers(reader: gguf.GGUFReader) -> Iterator[None]:
    """Spares Transformers what it does again and again with a file, for seconds each time: to parse it, and to make
    the map of its tensors' names, for each module of a model.

    Args:
        reader: of the file that Transformers is to read meanwhile; see `open_gguf`.
    """
    with patched(gguf, "GGUFReader", lambda _: lambda path: reader), patched(gguf, "get_tensor_name_map", cache):
        yield


def find_sources(reader: gguf.GGUFReader, model: PreTrainedModel) -> tuple[dict[str, Source], dict[str, torch.Tensor]]:
    """Maps the parameters of a model to the tensors of a GGUF file.

    Args:
        reader: the file.
        model: a model of the file's architecture; its parameters may be on the meta device.

    Returns:
        The sources of all matrices and the values of all vectors, such as norms and biases, as float32; both by the
        parameter's name. The experts' `gate_up_proj` is two matrices, `gate_up_proj.gate` and `gate_up_proj.up`.

    Raises:
        UserError: the file has tensors without a parameter in the model.
    """
    processor = TENSOR_PROCESSORS.get(architecture(reader), TensorProcessor)(config=model.config.to_dict())
    # The `gguf` package treats Mistral's models as Llama's.
    with quick_transformers(reader):
        names = get_gguf_hf_weights_map(model, processor, {"mistral": "llama"}.get(model.config.model_type))
    matrices: dict[str, torch.Tensor] = {}
    vectors: dict[str, torch.Tensor] = {}
    first_rows = [0]
    for tensor in reader.tensors:
        is_vector = len(tensor.shape) == 1
        values = _values(tensor) if is_vector else _row_numbers(tensor, first_rows[-1])
        processed = _process(processor, values, tensor, names, matrices)
        if processed.name in names:
            kept = vectors if is_vector else matrices
            kept[names[processed.name]] = torch.from_numpy(np.array(processed.weights))
        elif processed.name is not None and tensor.name != ROPE_FACTORS:
            raise UserError("gguf.no_place", name=tensor.name, type=model.config.model_type)
        first_rows.append(first_rows[-1] + (0 if is_vector else values.size))
    for name in [name for name in matrices if name.endswith(GATE_AND_UP)]:
        matrices[f"{name}.gate"], matrices[f"{name}.up"] = matrices.pop(name).chunk(2, dim=1)
    return {name: _source(name, rows, reader.tensors, first_rows) for name, rows in matrices.items()}, vectors


def _values(tensor: ReaderTensor) -> np.ndarray:
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type)


def _row_numbers(tensor: ReaderTensor, start: int) -> np.ndarray:
    """Row indices in place of a tensor's values, to find out how rows are reordered: int64 [..., rows, 1]."""
    rows = tuple(int(size) for size in tensor.shape[:0:-1])
    return np.arange(start, start + int(np.prod(rows))).reshape(*rows, 1)


def _process(
    processor: TensorProcessor, values: np.ndarray, tensor: ReaderTensor, names: dict, kept: dict
) -> GGUFTensor:
    """Applies Transformers' processing of a tensor, which puts some parameters into `kept` itself."""
    options = {"tensor_key_mapping": names, "parsed_parameters": {"tensors": kept}}
    try:
        return processor.process(values, name=tensor.name, **options)
    except ValueError:  # BLOOM's processor needs whole rows
        whole = np.repeat(values, int(tensor.shape[0]), axis=-1)
        processed = processor.process(whole, name=tensor.name, **options)
        return processed._replace(weights=processed.weights[..., :1])


def _source(name: str, numbers: torch.Tensor, tensors: list[ReaderTensor], first_rows: list[int]) -> Source:
    """Derives a parameter's source from the row indices that took the place of its values.

    Args:
        name: of the parameter.
        numbers: the indices of its rows, counted over all tensors.
        tensors: all tensors of the file.
        first_rows: the index of each tensor's first row, and the end of the last.
    """
    rows = numbers.numpy().reshape(-1)
    index = int(np.searchsorted(first_rows, rows.min(), side="right")) - 1
    rows = rows - first_rows[index]
    in_order = np.arange(first_rows[index + 1] - first_rows[index])
    if not np.array_equal(np.sort(rows), in_order):
        raise UserError("gguf.not_one_tensor", name=name)
    transposed = len(rows) > 1 and numbers.shape[-1] == len(rows)
    return Source(tensors[index], None if np.array_equal(rows, in_order) else rows, transposed)
