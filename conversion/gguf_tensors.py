"""Which tensor of a GGUF file is which parameter of a Transformers model, and in what order its rows are.

Transformers knows both, but its reader unpacks every tensor to 32 bits. There is no public way to ask for the rest.
All that this project knows of its inside is in this module, and goes for `KNOWN_TRANSFORMERS` only.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from config import UserError
from conversion.gguf_file import open_gguf

import gguf
import numpy as np
import torch
import transformers
from gguf import GGMLQuantizationType, ReaderTensor
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel
from transformers.integrations import GGUF_CONFIG_MAPPING
from transformers.modeling_gguf_pytorch_utils import (
    TENSOR_PROCESSORS,
    GGUFTensor,
    TensorProcessor,
    get_gguf_hf_weights_map,
)

KNOWN_TRANSFORMERS = "5.5."

# Tensors that are no parameters of a Transformers model.
UNUSED = {"rope_freqs.weight"}


CHUNK_WEIGHTS = 1_000_000  # that are taken from the file at a time


@dataclass(frozen=True)
class Source:
    """What a parameter is made of.

    Attributes:
        tensors: of the file. The rows of all of them, one after the other, are those that `rows` counts.
        rows: for each row of the parameter, seen as a matrix, the number of the row in the tensors; None if the order
            is the same.
        transposed: whether the parameter's columns are the tensors' rows.
    """

    tensors: tuple[ReaderTensor, ...]
    rows: np.ndarray | None = None
    transposed: bool = False

    @property
    def type(self) -> GGMLQuantizationType:
        return self.tensors[0].tensor_type

    @property
    def n_bytes(self) -> int:
        return sum(int(tensor.n_bytes) for tensor in self.tensors)

    def chunks(self) -> Iterator[np.ndarray]:
        """The bytes of the parameter's rows, in its order, some rows at a time: uint8 [rows, bytes of a row]."""
        columns = int(self.tensors[0].shape[0])
        parts = [tensor.data.view(np.uint8).reshape(int(tensor.n_elements) // columns, -1) for tensor in self.tensors]
        starts = np.cumsum([0, *(len(part) for part in parts)])
        step = max(1, CHUNK_WEIGHTS // columns)
        for first in range(0, int(starts[-1]), step):
            last = min(first + step, int(starts[-1]))
            numbers = np.arange(first, last) if self.rows is None else self.rows[first:last]
            part_of = np.searchsorted(starts, numbers, side="right") - 1
            chunk = np.empty((last - first, parts[0].shape[1]), np.uint8)
            for index in np.unique(part_of):
                chunk[part_of == index] = parts[index][numbers[part_of == index] - starts[index]]
            yield chunk


def knows_transformers() -> bool:
    return transformers.__version__.startswith(KNOWN_TRANSFORMERS)


def read_gguf_config(path: Path) -> PreTrainedConfig:
    """The configuration of the model in a GGUF file.

    Raises:
        UserError: the file is damaged, or Transformers doesn't read its architecture.
    """
    reader = open_gguf(path)
    with _replaced("GGUFReader", lambda path: reader):  # parsing takes seconds
        try:
            return AutoConfig.from_pretrained(path.parent, gguf_file=path.name)
        except (ValueError, LookupError, TypeError) as error:
            known = ", ".join(sorted(GGUF_CONFIG_MAPPING.keys() - {"general", "tokenizer"}))
            raise UserError(
                f"{path} holds a model of the architecture {architecture(reader)!r}, which can't be read; "
                f"choose one of these: {known}."
            ) from error


def architecture(reader: gguf.GGUFReader) -> str:
    field = reader.get_field("general.architecture")
    return str(field.contents()) if field else ""


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
        Where the rows of each matrix are, and the values of each vector, such as a norm's or a bias, float32.

    Raises:
        UserError: the file has tensors that the model has no place for.
    """
    processor = TENSOR_PROCESSORS.get(architecture(reader), TensorProcessor)(config=model.config.to_dict())
    with _replaced("get_tensor_name_map", cache(gguf.get_tensor_name_map)):  # for each module of the model
        names = get_gguf_hf_weights_map(model, processor)
    matrices: dict[str, torch.Tensor] = {}
    vectors: dict[str, torch.Tensor] = {}
    starts = [0]
    for tensor in reader.tensors:
        is_vector = len(tensor.shape) == 1
        count = 0 if is_vector else int(np.prod(tensor.shape[1:]))
        values = _values(tensor) if is_vector else _row_numbers(tensor, starts[-1])
        kept = vectors if is_vector else matrices
        before = len(kept)
        processed = _process(processor, values, tensor, names, kept)
        if processed.name in names:
            kept[names[processed.name]] = torch.from_numpy(np.array(processed.weights))
        elif processed.name is not None and tensor.name not in UNUSED and len(kept) == before:
            raise UserError(f"The file's tensor {tensor.name} has no place in a {model.config.model_type} model.")
        starts.append(starts[-1] + count)
    sources = {name: _source(name, numbers.numpy(), reader.tensors, starts) for name, numbers in matrices.items()}
    return sources, vectors


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


def _source(name: str, numbers: np.ndarray, tensors: list[ReaderTensor], starts: list[int]) -> Source:
    """What has been made of the numbers of rows tells where a parameter's values are."""
    rows = numbers.reshape(-1)
    used = sorted(set(np.searchsorted(starts, rows, side="right") - 1))
    starting = [starts[index] for index in used]
    counts = [starts[index + 1] - starts[index] for index in used]
    local = rows.copy()
    for start, before in zip(starting, np.cumsum([0, *counts]), strict=False):
        local[rows >= start] = (rows - start + before)[rows >= start]
    if not np.array_equal(np.sort(local), np.arange(sum(counts))):
        raise UserError(f"The values of {name} are changed on reading, which can't be done to blocks.")
    if len({tensors[index].tensor_type for index in used}) > 1:
        raise UserError(f"The tensors of {name} have blocks of several types, which can't be joined.")
    in_order = np.array_equal(local, np.arange(len(local)))
    transposed = len(rows) > 1 and numbers.shape[-1] == len(rows)
    return Source(tuple(tensors[index] for index in used), None if in_order else local, transposed)
