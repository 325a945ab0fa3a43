"""A GGUF file with quantized blocks → OpenVINO IR that multiplies with these blocks, bit for bit.

The graph is Optimum's, as for any other checkpoint, but traced with placeholders: parameters in a mapped file of zeros
that takes neither memory nor disk. Then each of their constants, known by its address, is replaced by what the GGUF
file has in its place.
"""

import gc
import mmap
import tempfile
from pathlib import Path
from typing import Any

from config import UserError
from conversion.compression import save
from conversion.exporter_configs import check_exportable
from conversion.gguf_blocks import FORMS
from conversion.gguf_file import open_gguf
from conversion.gguf_tensors import find_sources, read_gguf_config
from conversion.gguf_weights import FLOATS, make_weight, put_weight
from conversion.mapped_constants import MappedConstants
from conversion.progress import progress_bar

import numpy as np
import openvino as ov
import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedModel
from transformers.pytorch_utils import Conv1D

# Their 16-bit weights are traced as they are; what others have becomes 32-bit first.
TRACED_16BIT = (torch.nn.Linear, torch.nn.Embedding, Conv1D)


def block_type(path: Path) -> str | None:
    """The type of most of the weights in a GGUF file, such as "Q4_K", or None if they are not quantized."""
    sizes: dict[str, int] = {}
    for tensor in open_gguf(path).tensors:
        sizes[tensor.tensor_type.name] = sizes.get(tensor.tensor_type.name, 0) + int(tensor.n_elements)
    most = max(sizes, key=sizes.__getitem__, default="F32")
    return None if most in [type.name for type in FLOATS] else most


class BlockModel:
    """The model in a GGUF file, of which only the vectors are in memory.

    Attributes:
        model: has the file's configuration and vectors. The matrices are zeros.
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
        check_exportable(config.model_type)
        model_class = MODEL_FOR_CAUSAL_LM_MAPPING[type(config)]
        with torch.device("meta"):
            empty = model_class(config)
        self._path = path
        self._sources, vectors = find_sources(reader, empty)
        self._placeholders = Placeholders(empty, list(self._sources))
        self.model = self._build(model_class, config, vectors)

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
        """
        sizes, self._starts = [0], {}
        dtypes = {name: _placeholder_type(model, name) for name in names}
        for name in names:
            size = model.get_parameter(name).numel() * dtypes[name].itemsize
            self._starts[name] = sizes[-1]
            sizes.append(-(-(sizes[-1] + size) // mmap.PAGESIZE) * mmap.PAGESIZE)
        with tempfile.TemporaryFile() as file:
            file.truncate(max(sizes[-1], 1))
            self._memory = np.memmap(file, np.uint8, mode="c")
        whole = torch.from_numpy(self._memory)
        self.tensors = {}
        for name in names:
            shape, start = model.get_parameter(name).shape, self._starts[name]
            size = shape.numel() * dtypes[name].itemsize
            self.tensors[name] = whole[start : start + size].view(dtypes[name]).view(shape)

    def find(self, ov_model: ov.Model) -> dict[str, list[ov.Node]]:
        """The constants of a graph that share their memory with a placeholder, by its name."""
        first = self._memory.ctypes.data
        names = {first + start: name for name, start in self._starts.items()}
        found: dict[str, list[ov.Node]] = {}
        for node in ov_model.get_ops():
            if node.get_type_name() == "Constant" and (name := names.get(node.data.ctypes.data)):
                found.setdefault(name, []).append(node)
        return found


def _placeholder_type(model: PreTrainedModel, name: str) -> torch.dtype:
    module = model.get_submodule(name.rpartition(".")[0])
    return torch.float16 if type(module) in TRACED_16BIT else torch.float32


def _as_16bit(tensor: torch.Tensor) -> torch.Tensor:
    """The first half of a placeholder's memory in its shape: 16-bit zeros without a copy."""
    return tensor.view(torch.float16).flatten()[: tensor.numel()].view(tensor.shape)
