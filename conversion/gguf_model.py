"""A GGUF file with quantized blocks → OpenVINO IR that multiplies with these blocks, bit for bit.

The graph is Optimum's, as for any other checkpoint, but traced with placeholders: parameters in a mapped file of zeros
that takes neither memory nor disk. Then each of their constants, known by its address, is replaced by what the GGUF
file has in its place.
"""

import gc
import mmap
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from config import UserError
from conversion.compression import save
from conversion.gguf_blocks import FORMS
from conversion.gguf_file import open_gguf
from conversion.gguf_tensors import GATE_AND_UP, ROPE_FACTORS, find_sources, read_field, read_gguf_config
from conversion.gguf_weights import FLOATS, bytes_in_openvino, make_weight, put_weight
from conversion.mapped_constants import MappedConstants
from conversion.progress import progress_bar

import numpy as np
import openvino as ov
import torch
from gguf import GGUFReader
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedModel
from transformers.pytorch_utils import Conv1D

# Their 16-bit weights are traced as they are; what others have becomes 32-bit first.
TRACED_16BIT = (torch.nn.Linear, torch.nn.Embedding, Conv1D)


class BlockModel:
    """The model in a GGUF file, of which only the vectors are in memory.

    Attributes:
        model: has the file's configuration and vectors. The matrices are zeros.
        n_bytes: how long the IR's .bin will be, about.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            UserError: the file is damaged, has a type of blocks that can't be read, or no model that can be exported.
        """
        reader = open_gguf(path)
        known = {*FLOATS, *FORMS}
        if unknown := sorted({tensor.tensor_type.name for tensor in reader.tensors if tensor.tensor_type not in known}):
            names = ", ".join(type.name for type in known)
            raise UserError(
                f"{path} has blocks of the type {unknown[0]}, which can't be read; choose a file with {names}."
            )
        config = read_gguf_config(path)
        model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        with torch.device("meta"):
            empty = model_class(config)
        self._path = path
        self.n_bytes = bytes_in_openvino(reader.tensors)
        self._sources, vectors = find_sources(reader, empty)
        self._placeholders = Placeholders(empty, list(self._sources))
        self.model = self._build(model_class, config, vectors)
        _scale_rope(self.model, reader)

    def _build(self, model_class: Any, config: Any, vectors: dict[str, torch.Tensor]) -> PreTrainedModel:
        tensors = {**{name: _as_16bit(tensor) for name, tensor in self._placeholders.tensors.items()}, **vectors}
        model, report = model_class.from_pretrained(
            None, config=config, state_dict=tensors, dtype=torch.float16, output_loading_info=True
        )
        if missing := sorted(report["missing_keys"]):
            raise UserError(f"{self._path} lacks {missing[0]}; download it again or choose another model.")
        # Loading has rounded these to 16 bits.
        model.load_state_dict({**vectors, **self._placeholders.tensors}, strict=False, assign=True)
        model.tie_weights()
        self._placeholders.halve(model)
        return model

    def write(self, ov_model: ov.Model, path: Path) -> None:
        """Puts the file's blocks in the place of the placeholders, and writes the IR to `path` (.xml) and its .bin.

        The folder needs room for the .bin twice.
        """
        with tempfile.TemporaryFile(dir=path.parent) as file:
            constants = MappedConstants(file)
            found = self._placeholders.find(ov_model)
            if lost := sorted(self._sources.keys() - found.keys()):
                raise UserError(f"{self._path}: {lost[0]} has no place in the graph that Optimum Intel makes.")
            total = sum(source.n_bytes for source in self._sources.values())
            with progress_bar(desc="Weights", total=total, unit="B", unit_scale=True) as bar:
                for name, placeholders in found.items():
                    source = self._sources[name]
                    weight = make_weight(name, source, placeholders[0].get_output_shape(0), constants)
                    for placeholder in placeholders:
                        put_weight(placeholder, weight, source.transposed)
                    bar.update(source.n_bytes)
            save(ov_model, path)
            del ov_model, found, weight, placeholder, placeholders  # before the file that the constants are in
            gc.collect()


class Placeholders:
    """Parameters in a mapped file of zeros.

    Attributes:
        tensors: by name, in the type in which tracing leaves them where they are.
    """

    def __init__(self, model: PreTrainedModel, names: list[str]) -> None:
        """
        Args:
            model: has the parameters' shapes; may be on the meta device.
            names: of parameters, or of their halves.
        """
        shapes, starts, end = {}, {}, 0
        for name in names:
            whole = name.removesuffix(".gate").removesuffix(".up")
            shapes[whole] = model.get_parameter(whole).shape
            if whole not in starts:
                starts[whole] = end
                size = shapes[whole].numel() * _placeholder_type(model, whole).itemsize
                end += -(-size // mmap.PAGESIZE) * mmap.PAGESIZE
        with tempfile.TemporaryFile() as file:
            file.truncate(max(end, 1))
            memory = torch.from_numpy(np.memmap(file, np.uint8, mode="c"))
        self.tensors = {}
        for name, shape in shapes.items():
            type = _placeholder_type(model, name)
            self.tensors[name] = memory[starts[name] :][: shape.numel() * type.itemsize].view(type).view(shape)
        self._names = {tensor.data_ptr(): name for name, tensor in self.tensors.items()}
        _mark(self.tensors.values())

    def halve(self, model: PreTrainedModel) -> None:
        """Makes two parameters of each of the experts' that the graph would cut in two, away from its address."""
        for name, tensor in self.tensors.items():
            if name.endswith(GATE_AND_UP):
                parent, _, attribute = name.rpartition(".")
                halves = GateAndUp(*tensor.view(2, tensor.shape[0], -1, tensor.shape[2]))
                delattr(model.get_submodule(parent), attribute)
                setattr(model.get_submodule(parent), attribute, halves)
                _mark(halves.parameters())
                self._names |= {half.data_ptr(): f"{name}.{part}" for part, half in halves.named_parameters()}

    def find(self, ov_model: ov.Model) -> dict[str, list[ov.Node]]:
        """The constants of a graph that share their memory with a placeholder, by its name."""
        found: dict[str, list[ov.Node]] = {}
        for node in ov_model.get_ops():
            if node.get_type_name() == "Constant" and (name := self._names.get(node.data.ctypes.data)):
                found.setdefault(name, []).append(node)
        return found


class GateAndUp(torch.nn.Module):
    """Two parameters where a model has both in one, and takes them apart with `chunk`."""

    def __init__(self, gate: torch.Tensor, up: torch.Tensor) -> None:
        super().__init__()
        self.gate = torch.nn.Parameter(gate, requires_grad=False)
        self.up = torch.nn.Parameter(up, requires_grad=False)

    def chunk(self, chunks: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.gate, self.up


def _mark(tensors: Iterable[torch.Tensor]) -> None:
    """Makes each of the tensors another one, because OpenVINO joins constants that are alike."""
    for number, tensor in enumerate(tensors):
        values = tensor.data.view(-1)
        values[0], values[1] = number % 1000, number // 1000


def _scale_rope(model: PreTrainedModel, reader: GGUFReader) -> None:
    """Stretches the wavelengths of rotary positions as a GGUF file says, which Transformers doesn't look at.

    Raises:
        UserError: it says something else than can be done so.
    """
    kind = read_field(reader, "rope.scaling.type")
    if kind not in (None, "none", "linear"):
        raise UserError(
            f"The file scales its positions by the method {kind!r}, which can't be read; choose another file."
        )
    factors = [values for values in reader.tensors if values.name == ROPE_FACTORS]
    factor = read_field(reader, "rope.scaling.factor") if kind == "linear" else None
    scale = torch.from_numpy(np.array(factors[0].data)) if factors else torch.tensor(factor or 1.0)
    for name, buffer in model.named_buffers():
        if name.endswith("inv_freq") and "sliding" not in name:  # Gemma's sliding layers are not scaled
            buffer /= scale


def _placeholder_type(model: PreTrainedModel, name: str) -> torch.dtype:
    module = model.get_submodule(name.rpartition(".")[0])
    return torch.float16 if type(module) in TRACED_16BIT else torch.float32


def _as_16bit(tensor: torch.Tensor) -> torch.Tensor:
    """The first half of a placeholder's memory in its shape: 16-bit zeros without a copy."""
    return tensor.view(torch.float16).flatten()[: tensor.numel()].view(tensor.shape)
