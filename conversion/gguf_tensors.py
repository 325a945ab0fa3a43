"""Which tensor of a GGUF file is which parameter of a Transformers model, and in what order its rows are.

Transformers knows both, but its reader unpacks every tensor to 32 bits. There is no public way to ask for the rest.
All that this project knows of its inside is in this module, and goes for the version in `KNOWN_VERSIONS` only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from config import UserError
from conversion.exporter_configs import check_exportable
from conversion.gguf_file import open_gguf

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

# What Llama 3's wavelengths are multiplied by; Transformers has no parameter for it.
ROPE_FACTORS = "rope_freqs.weight"

# What both Transformers reads and Optimum Intel exports, by the names that GGUF has for it.
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

# These scale attention in another way than the smaller ones. llama.cpp tells them by their layers too.
GEMMA_27B = (("gemma2", 46), ("gemma3_text", 62))

GATE_AND_UP = ".gate_up_proj"  # two tensors of a file in one parameter of a module with several experts

CHUNK_WEIGHTS = 1_000_000  # that are taken from the file at a time


@dataclass(frozen=True)
class Source:
    """What a parameter is made of.

    Attributes:
        tensor: of the file.
        rows: for each row of the parameter, seen as a matrix, the number of the tensor's row; None if the order is
            the same.
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
        """The bytes of the parameter's rows, in its order, some rows at a time: uint8 [rows, bytes of a row]."""
        columns = int(self.tensor.shape[0])
        data = self.tensor.data.view(np.uint8).reshape(int(self.tensor.n_elements) // columns, -1)
        step = max(1, CHUNK_WEIGHTS // columns)
        for first in range(0, len(data), step):
            yield data[first : first + step] if self.rows is None else data[self.rows[first : first + step]]


def read_gguf_config(path: Path) -> PreTrainedConfig:
    """The configuration of the model in a GGUF file.

    Raises:
        UserError: the file is damaged, or Transformers doesn't read its architecture.
    """
    reader = open_gguf(path)
    try:
        with _replaced("GGUFReader", lambda path: reader):  # parsing takes seconds
            config = AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
        check_exportable(config.model_type)
    except (ValueError, LookupError, TypeError) as error:
        raise UserError(
            f"{path} holds a model of the architecture {architecture(reader)!r}, which can't be read; "
            f"choose one of these: {', '.join(ARCHITECTURES)}."
        ) from error
    if (config.model_type, config.num_hidden_layers) in GEMMA_27B:
        config.query_pre_attn_scalar = config.hidden_size // config.num_attention_heads
    return config


def architecture(reader: gguf.GGUFReader) -> str:
    field = reader.get_field("general.architecture")
    return str(field.contents()) if field else ""


def read_field(reader: gguf.GGUFReader, key: str) -> Any:
    """What the header says of the architecture by this key; None if nothing."""
    field = reader.get_field(f"{architecture(reader)}.{key}")
    return field.contents() if field else None


@contextmanager
def _replaced(name: str, function: Callable) -> Iterator[None]:
    """Gives Transformers a result that is known already where it asks the `gguf` package for it, again and again."""
    original = getattr(gguf, name)
    setattr(gguf, name, function)
    try:
        yield
    finally:
        setattr(gguf, name, original)


def find_sources(reader: gguf.GGUFReader, model: PreTrainedModel) -> tuple[dict[str, Source], dict[str, torch.Tensor]]:
    """The tensors of a GGUF file by the names of a model's parameters.

    Args:
        model: of the file's architecture; its parameters may be on the meta device.

    Returns:
        Where the rows of each matrix are, and the values of each vector, such as a norm's or a bias, float32. Experts'
        `gate_up_proj` is two matrices, `gate_up_proj.gate` and `gate_up_proj.up`.

    Raises:
        UserError: the file has tensors that the model has no place for.
    """
    processor = TENSOR_PROCESSORS.get(architecture(reader), TensorProcessor)(config=model.config.to_dict())
    # The `gguf` package is asked for each module of the model, and knows Mistral's models as Llama's.
    with _replaced("get_tensor_name_map", cache(gguf.get_tensor_name_map)):
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
            raise UserError(
                f"{tensor.name} has no place in a model of the kind {model.config.model_type}; choose another file."
            )
        first_rows.append(first_rows[-1] + (0 if is_vector else values.size))
    for name in [name for name in matrices if name.endswith(GATE_AND_UP)]:
        matrices[f"{name}.gate"], matrices[f"{name}.up"] = matrices.pop(name).chunk(2, dim=1)
    return {name: _source(name, rows, reader.tensors, first_rows) for name, rows in matrices.items()}, vectors


def _values(tensor: ReaderTensor) -> np.ndarray:
    return gguf.quants.dequantize(tensor.data, tensor.tensor_type)


def _row_numbers(tensor: ReaderTensor, start: int) -> np.ndarray:
    """What stands for a tensor's values where it matters only which row goes where: int64 [..., rows, 1]."""
    rows = tuple(int(size) for size in tensor.shape[:0:-1])
    return np.arange(start, start + int(np.prod(rows))).reshape(*rows, 1)


def _process(
    processor: TensorProcessor, values: np.ndarray, tensor: ReaderTensor, names: dict, kept: dict
) -> GGUFTensor:
    """Lets Transformers do to a tensor what it does on reading; some parameters it puts into `kept` itself."""
    options = {"tensor_key_mapping": names, "parsed_parameters": {"tensors": kept}}
    try:
        return processor.process(values, name=tensor.name, **options)
    except ValueError:  # BLOOM's wants whole rows
        whole = np.repeat(values, int(tensor.shape[0]), axis=-1)
        processed = processor.process(whole, name=tensor.name, **options)
        return processed._replace(weights=processed.weights[..., :1])


def _source(name: str, numbers: torch.Tensor, tensors: list[ReaderTensor], first_rows: list[int]) -> Source:
    """What has been made of the numbers of rows tells where a parameter's values are.

    Args:
        numbers: of the parameter's rows, counted over all tensors.
        first_rows: each tensor's.
    """
    rows = numbers.numpy().reshape(-1)
    index = int(np.searchsorted(first_rows, rows.min(), side="right")) - 1
    rows = rows - first_rows[index]
    in_order = np.arange(first_rows[index + 1] - first_rows[index])
    if not np.array_equal(np.sort(rows), in_order):
        raise UserError(f"{name} is no tensor of the file with its rows in some order; choose another file.")
    transposed = len(rows) > 1 and numbers.shape[-1] == len(rows)
    return Source(tensors[index], None if np.array_equal(rows, in_order) else rows, transposed)
