"""A GGUF file with quantized blocks → OpenVINO IR with the same integers and scales, without requantizing.

Optimum exports the graph as for any other checkpoint, but with placeholders for the weights: parameters in a sparse
mapped file of zeros, which takes neither memory nor disk. In the exported graph, each placeholder is found by its
address and replaced by the GGUF file's weights.
"""

import gc
import math
import mmap
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
import torch
from gguf import GGUFReader
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, PreTrainedModel
from transformers.pytorch_utils import Conv1D

from llm_chatbot.convert.export.compression import save
from llm_chatbot.convert.export.mapped_constants import MappedConstants
from llm_chatbot.convert.gguf.file import open_gguf
from llm_chatbot.convert.gguf.tensors import GATE_AND_UP, ROPE_FACTORS, find_sources, read_field, read_gguf_config
from llm_chatbot.convert.gguf.weights import FLOATS, bytes_in_openvino, make_weight, put_weight
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.blocks import FORMS
from llm_chatbot.machine.progress import progress_bar

# Modules whose float16 weights are traced without a copy; the weights of others are converted to float32 first.
TRACED_16BIT = (torch.nn.Linear, torch.nn.Embedding, Conv1D)


class BlockModel:
    """The model in a GGUF file, with only its vectors in memory.

    Attributes:
        model: has the file's configuration and vectors; its matrices are placeholders.
        n_bytes: the approximate size of the IR's .bin file.
    """

    def __init__(self, path: Path) -> None:
        """
        Raises:
            UserError: the file is damaged, has an unsupported block type, or has a model that can't be exported.
        """
        reader = open_gguf(path)
        known = {*FLOATS, *FORMS}
        if unknown := sorted({tensor.tensor_type.name for tensor in reader.tensors if tensor.tensor_type not in known}):
            names = ", ".join(type.name for type in known)
            raise UserError("gguf.block_type", path=path, type=unknown[0], known=names)
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
            raise UserError("gguf.weights_missing", path=self._path, name=missing[0])
        # Loading has rounded the vectors to 16 bits, so they are assigned again.
        model.load_state_dict({**vectors, **self._placeholders.tensors}, strict=False, assign=True)
        model.tie_weights()
        self._placeholders.halve(model)
        return model

    def write(self, ov_model: ov.Model, path: Path) -> None:
        """Replaces the placeholders by the file's weights, and writes the IR to `path` (.xml) and its .bin.

        Temporarily needs twice the size of the .bin on disk.
        """
        with tempfile.TemporaryFile(dir=path.parent) as file:
            constants = MappedConstants(file)
            found = self._placeholders.find(ov_model)
            if lost := sorted(self._sources.keys() - found.keys()):
                raise UserError("gguf.not_in_graph", path=self._path, name=lost[0])
            total = sum(source.n_bytes for source in self._sources.values())
            with progress_bar(desc="Weights", total=total, unit="B", unit_scale=True) as bar:
                for name, placeholders in found.items():
                    source = self._sources[name]
                    weight = make_weight(name, source, placeholders[0].get_output_shape(0), constants)
                    for placeholder in placeholders:
                        put_weight(placeholder, weight, source.transposed)
                    bar.update(source.n_bytes)
            save(ov_model, path)
            del ov_model, found, weight, placeholder, placeholders  # before closing the file that holds the constants
            gc.collect()


class Placeholders:
    """Parameters in a sparse mapped file of zeros.

    Attributes:
        tensors: by name, in the type that tracing does not copy.
    """

    def __init__(self, model: PreTrainedModel, names: list[str]) -> None:
        """
        Args:
            model: a model with the parameters' shapes; may be on the meta device.
            names: names of parameters, or of their halves.
        """
        shapes, starts, end = {}, {}, 0
        for name in names:
            whole = name.removesuffix(".gate").removesuffix(".up")
            shapes[whole] = model.get_parameter(whole).shape
            if whole not in starts:
                starts[whole] = end
                size = shapes[whole].numel() * _placeholder_type(model, whole).itemsize
                end += math.ceil(size / mmap.PAGESIZE) * mmap.PAGESIZE
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
        """Splits the experts' `gate_up_proj` into two parameters: the graph would split it and change the address."""
        for name, tensor in self.tensors.items():
            if name.endswith(GATE_AND_UP):
                parent, _, attribute = name.rpartition(".")
                halves = GateAndUp(*tensor.view(2, tensor.shape[0], -1, tensor.shape[2]))
                delattr(model.get_submodule(parent), attribute)
                setattr(model.get_submodule(parent), attribute, halves)
                _mark(halves.parameters())
                self._names |= {half.data_ptr(): f"{name}.{part}" for part, half in halves.named_parameters()}

    def find(self, ov_model: ov.Model) -> dict[str, list[ov.Node]]:
        """The constants of a graph that share memory with a placeholder, by the placeholder's name."""
        found: dict[str, list[ov.Node]] = {}
        for node in ov_model.get_ops():
            if node.get_type_name() == "Constant" and (name := self._names.get(node.data.ctypes.data)):
                found.setdefault(name, []).append(node)
        return found


class GateAndUp(torch.nn.Module):
    """Stands for a parameter that a model splits with `chunk`, and holds the two halves as parameters."""

    def __init__(self, gate: torch.Tensor, up: torch.Tensor) -> None:
        super().__init__()
        self.gate = torch.nn.Parameter(gate, requires_grad=False)
        self.up = torch.nn.Parameter(up, requires_grad=False)

    def chunk(self, chunks: int, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.gate, self.up


def _mark(tensors: Iterable[torch.Tensor]) -> None:
    """Writes different values into each tensor, because OpenVINO merges equal constants."""
    for number, tensor in enumerate(tensors):
        values = tensor.data.view(-1)
        values[0], values[1] = number % 1000, number // 1000


def _scale_rope(model: PreTrainedModel, reader: GGUFReader) -> None:
    """Applies a GGUF file's RoPE scaling, which Transformers ignores.

    Raises:
        UserError: the scaling is neither linear nor given as factors.
    """
    kind = read_field(reader, "rope.scaling.type")
    if kind not in (None, "none", "linear"):
        raise UserError("gguf.rope_scaling", method=repr(kind))
    factors = [values for values in reader.tensors if values.name == ROPE_FACTORS]
    factor = read_field(reader, "rope.scaling.factor") if kind == "linear" else None
    scale = torch.from_numpy(np.array(factors[0].data)) if factors else torch.tensor(factor or 1.0)
    for name, buffer in model.named_buffers():
        if name.endswith("inv_freq") and "sliding" not in name:  # Gemma's sliding-window layers are not scaled
            buffer /= scale


def _placeholder_type(model: PreTrainedModel, name: str) -> torch.dtype:
    module = model.get_submodule(name.rpartition(".")[0])
    return torch.float16 if type(module) in TRACED_16BIT else torch.float32


def _as_16bit(tensor: torch.Tensor) -> torch.Tensor:
    """A float16 view of a placeholder, in its shape: zeros without a copy."""
    return tensor.view(torch.float16).flatten()[: tensor.numel()].view(tensor.shape)
