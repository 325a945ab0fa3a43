"""The tensors of a checkpoint → constants of a graph: floats as they are, quantized matrices with their integers."""

import numpy as np
import openvino as ov

from llm_chatbot.convert.direct.bitsandbytes import NF4Matrix
from llm_chatbot.convert.direct.formats import QuantizationFormat
from llm_chatbot.convert.direct.header import DirectCheckpoint
from llm_chatbot.convert.direct.quantized import QuantizedMatrix
from llm_chatbot.decoder.memory import HeapMemory, Memory
from llm_chatbot.decoder.tensors import ALL, Packed, Rows, Tensors, Unpacking
from llm_chatbot.errors import UserError
from llm_chatbot.sources.safetensors_format import to_bfloat16
from llm_chatbot.texts import Text


class CheckpointTensors(Tensors):
    """As `Tensors`, of a checkpoint.

    The vector "blk.0.attn_q.order" says which input each column of the matrix "blk.0.attn_q.weight" belongs to, where
    its columns are sorted (GPTQ with act-order).

    Args:
        checkpoint: where its tensors are.
        format: of its quantized matrices; None if it has none.
        memory, unpacking: see `Tensors`. Quantized matrices are not unpacked.
    """

    def __init__(
        self,
        checkpoint: DirectCheckpoint,
        format: QuantizationFormat | None = None,
        memory: Memory | None = None,
        unpacking: Unpacking | None = None,
    ) -> None:
        super().__init__(checkpoint.header, memory, unpacking)
        self._checkpoint, self._format, self._own_memory = checkpoint, format, memory or HeapMemory()
        self._read_names: set[str] = set()
        self._orders: dict[str, np.ndarray] = {}

    def __contains__(self, name: str) -> bool:
        known = (self._orders, self._checkpoint.computed, self._checkpoint.parts, self._checkpoint.experts)
        return any(name in names for names in known) or super().__contains__(name)

    def vector(self, name: str) -> np.ndarray:
        found = self._orders.get(name, self._checkpoint.computed.get(name))
        return super().vector(name) if found is None else found

    def shape(self, name: str) -> tuple[int, ...]:
        if experts := self._checkpoint.experts.get(name):
            return (len(experts), *super().shape(experts[0]))
        if name not in self._checkpoint.parts:
            return super().shape(name)
        return quantized_shape(self._checkpoint, self._format, name)

    def matrix(self, name: str, rows: Rows = ALL) -> ov.Node:
        if experts := self._checkpoint.experts.get(name):
            assert rows is ALL, "experts are joined whole"
            return self.stacked(experts)
        if name not in self._checkpoint.parts:
            return super().matrix(name, rows)
        matrix = self._read(name)
        self._read_names.add(name)
        if isinstance(matrix, np.ndarray):
            return self._floats(matrix[rows], name)
        if isinstance(matrix, QuantizedMatrix) and matrix.order is not None:
            self._orders[f"{name.removesuffix('.weight')}.order"] = matrix.order
        chosen = matrix.rows(rows)
        return self._constants(chosen).node(chosen.integers.shape, name)

    def unused(self) -> list[str]:
        return super().unused() + [name for name in self._checkpoint.parts if name not in self._read_names]

    def _floats(self, values: np.ndarray, name: str) -> ov.Node:
        """A matrix of floats: float16 as it is, float32 rounded to the nearest bfloat16."""
        if self._unpacking:
            self._unpacking.check(name, values)
        is_half = values.dtype == np.float16
        packed = Packed(self._own_memory.allocate(ov.Type.f16 if is_half else ov.Type.bf16, values.shape))
        stored = np.ascontiguousarray(values) if is_half else to_bfloat16(values)
        packed.parts()[0][:] = stored.reshape(-1).view(np.uint8)
        return packed.node(values.shape, name)

    def _read(self, name: str) -> QuantizedMatrix | NF4Matrix | np.ndarray:
        """
        Raises:
            UserError: the matrix is not of the format that the checkpoint names, or damaged.
        """
        try:
            return _format_of(self._checkpoint, self._format, name).read(self._checkpoint.parts[name])
        except (KeyError, ValueError) as error:
            if isinstance(error, UserError):
                raise
            raise _refusal(self._checkpoint, name, error) from error

    def _constants(self, matrix: QuantizedMatrix | NF4Matrix) -> Packed:
        """A matrix in the form that the CPU multiplies compressed."""
        kind, integers, zero_points = _stored(matrix)
        rows, groups = matrix.scales.shape
        size = matrix.integers.shape[1] // groups
        scale_type = ov.Type.f16 if matrix.scales.dtype == np.float16 else ov.Type.f32
        packed = Packed(
            self._own_memory.allocate(kind, [rows, groups, size]),
            self._own_memory.allocate(scale_type, [rows, groups, 1]),
            None if zero_points is None else self._own_memory.allocate(kind, [rows, groups, 1]),
        )
        values = [_in_bytes(integers, kind), np.ascontiguousarray(matrix.scales)]
        values += [] if zero_points is None else [_in_bytes(zero_points, kind)]
        for part, content in zip(packed.parts(), values, strict=True):
            part[:] = content.reshape(-1).view(np.uint8)
        return packed


def _stored(matrix: QuantizedMatrix | NF4Matrix) -> tuple[ov.Type, np.ndarray, np.ndarray | None]:
    """OpenVINO's type of a matrix, its integers, and its zero points where it needs some: signed ones don't."""
    if isinstance(matrix, NF4Matrix):
        return ov.Type.nf4, matrix.integers, None
    if matrix.is_symmetric:
        return ov.Type.i8 if matrix.bits > 4 else ov.Type.i4, matrix.integers - np.uint8(1 << matrix.bits - 1), None
    return ov.Type.u8 if matrix.bits > 4 else ov.Type.u4, matrix.integers, matrix.zero_points


def quantized_shape(checkpoint: DirectCheckpoint, format: QuantizationFormat | None, name: str) -> tuple[int, int]:
    """Rows and columns of a quantized matrix.

    Raises:
        UserError: its parts are not those of the format that the checkpoint names.
    """
    try:
        return _format_of(checkpoint, format, name).shape(checkpoint.parts[name])
    except (KeyError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise _refusal(checkpoint, name, error) from error


def _format_of(checkpoint: DirectCheckpoint, format: QuantizationFormat | None, name: str) -> QuantizationFormat:
    if format is None:
        raise _refusal(checkpoint, name, ", ".join(sorted(checkpoint.parts[name])))
    return format


def _refusal(checkpoint: DirectCheckpoint, name: str, reason: str | Exception) -> UserError:
    if isinstance(reason, KeyError):  # whose text is the missing part's name as Python writes it
        reason = f"no {reason.args[0]}"
    return UserError(
        "gguf.refused", path=checkpoint.header.path, fault=Text("direct.matrix", name=name, reason=str(reason))
    )


def _in_bytes(integers: np.ndarray, type: ov.Type) -> np.ndarray:
    """Integers of a byte each in OpenVINO's packing: two of 4 bits in a byte, the first in its low bits."""
    flat = np.ascontiguousarray(integers).reshape(-1)
    if type.bitwidth == 8:
        return flat
    flat = np.append(flat, np.zeros(len(flat) % 2, np.uint8)) & 0x0F
    return flat[0::2] | flat[1::2] << 4
