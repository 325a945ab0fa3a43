"""Tensors of a GGUF file → constants of an OpenVINO graph, in the form that the CPU multiplies compressed.

A quantized matrix becomes integers → Convert → Subtract zero points → Multiply by scales → Reshape. The runtime
recognises this form, and multiplies with the integers as they are.
"""

import math
import mmap
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import openvino as ov
from gguf import GGML_QUANT_SIZES, dequantize
from gguf import GGMLQuantizationType as GGML
from openvino import opset13 as ops

from llm_chatbot.decoder.constants import constant, over_tensor
from llm_chatbot.decoder.memory import HeapMemory, Memory
from llm_chatbot.errors import UserError
from llm_chatbot.gguf.blocks import FORMS, BlockForm, read_groups
from llm_chatbot.gguf.header import GGUFHeader, TensorInfo
from llm_chatbot.texts import Text

FLOATS = {GGML.F32: ov.Type.f32, GGML.F16: ov.Type.f16, GGML.BF16: ov.Type.bf16}

CHUNK_WEIGHTS = 1 << 18  # weights that are unpacked at a time: few enough for the processor's cache

Rows = slice | np.ndarray  # which rows of a matrix, in which order
ALL = slice(None)


class Tensors:
    """The tensors of a GGUF file, mapped into memory.

    Blocks are unpacked on threads, which end with the `with` block; `finish` waits for them.

    Args:
        header: of the file.
        memory: where the values of constants are kept.
        unpacking: makes 16-bit numbers of all matrices; None keeps the file's blocks.
    """

    def __init__(self, header: GGUFHeader, memory: Memory | None = None, unpacking: "Unpacking | None" = None) -> None:
        self.infos = header.tensors
        self._unpacking = unpacking
        self._path = header.path
        self._memory = memory or HeapMemory()
        self._maps = {path: _map(path) for path in {info.path for info in header.tensors.values()}}
        self._made: dict[str, ov.Node] = {}
        self._used: set[str] = set()
        self._pool = ThreadPoolExecutor()
        self._jobs: list[Future] = []

    def __contains__(self, name: str) -> bool:
        return name in self.infos

    def vector(self, name: str) -> np.ndarray:
        """A small tensor's values, float32.

        Raises:
            UserError: the file lacks it.
        """
        info, data = self._info(name), self._bytes(name)
        if info.type == GGML.F32:
            values = data.view(np.float32)
        else:
            values = dequantize(data.reshape(*info.shape[:-1], -1), info.type).astype(np.float32)
        if self._unpacking:
            self._unpacking.check(name, values)
        return values.reshape(info.shape)

    def shape(self, name: str) -> tuple[int, ...]:
        """A tensor's shape, in NumPy's order.

        Raises:
            UserError: the file lacks it.
        """
        return self._info(name).shape

    def matrix(self, name: str, rows: Rows = ALL) -> ov.Node:
        """The operations for some rows of a matrix, float32 [..., rows, columns]; the same ones for the same rows.

        The values are exactly those of the file, except for types with a minimum, whose zero points are rounded to
        float16.

        Raises:
            UserError: the file lacks it, or its blocks are of a type that is not supported.
        """
        info = self._info(name)
        count = math.prod(info.shape[:-1])
        is_whole = isinstance(rows, slice) and rows.indices(count) == (0, count, 1)
        if is_whole and name in self._made:
            return self._made[name]
        shape = list(info.shape) if is_whole else [self._count(name, rows), info.shape[-1]]
        if info.type in FLOATS and isinstance(rows, slice) and not self._unpacking:
            tensor = self._memory.adopt(self._bytes(name)[rows], FLOATS[info.type], shape)
            node = _floats(over_tensor(tensor, name))
        else:
            packed = self._allocate(info.type, shape)
            self._start(name, rows, [part.reshape(self._count(name, rows), -1) for part in packed.parts()])
            node = packed.node(shape, name)
        if is_whole:
            self._made[name] = node
        return node

    def interleaved(self, names: Sequence[str]) -> ov.Node:
        """The rows of several matrices of one shape by turns: float32 [..., matrices * rows, columns].

        Raises:
            UserError: as for `matrix`, or the matrices differ in type.
        """
        first = self._same_form(names)
        *leading, rows, columns = first.shape
        shape = [*leading, len(names) * rows, columns]
        packed = self._allocate(first.type, shape)
        for turn, name in enumerate(names):
            mine = [part.reshape(self._count(name, ALL), len(names), -1)[:, turn] for part in packed.parts()]
            self._start(name, ALL, mine)
        return packed.node(shape, names[0])

    def stacked(self, names: Sequence[str]) -> ov.Node:
        """Matrices of one shape as one: float32 [matrices, rows, columns].

        Raises:
            UserError: as for `interleaved`.
        """
        first = self._same_form(names)
        shape = [len(names), *first.shape]
        packed = self._allocate(first.type, shape)
        for place, name in enumerate(names):
            mine = [part.reshape(len(names), self._count(name, ALL), -1)[place] for part in packed.parts()]
            self._start(name, ALL, mine)
        return packed.node(shape, names[0])

    def unused(self) -> list[str]:
        """The names of the tensors that nothing has asked for."""
        return [name for name in self.infos if name not in self._used]

    def finish(self) -> None:
        """Waits until all matrices are unpacked.

        Raises:
            UserError: blocks are damaged.
        """
        for job in self._jobs:
            job.result()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _info(self, name: str) -> TensorInfo:
        if name not in self.infos:
            raise UserError("gguf.weights_missing", path=self._path, name=name)
        self._used.add(name)
        return self.infos[name]

    def _same_form(self, names: Sequence[str]) -> TensorInfo:
        """The type and shape of matrices; where they lie is the first one's.

        Raises:
            UserError: they differ, or one is missing.
        """
        first, *others = (self._info(name) for name in names)
        for other, name in zip(others, names[1:], strict=True):
            if (other.type, other.shape) != (first.type, first.shape):
                raise UserError(
                    "gguf.refused", path=self._path, fault=Text("gguf.mixed_types", first=names[0], second=name)
                )
        return first

    def _bytes(self, name: str) -> np.ndarray:
        """The bytes of a tensor in the file, without a copy: uint8 [rows, bytes of a row]."""
        info = self.infos[name]
        data = np.frombuffer(self._maps[info.path], np.uint8, info.size, info.offset)
        return data.reshape(math.prod(info.shape[:-1]), -1)

    def _allocate(self, type: GGML, shape: Sequence[int]) -> "Packed":
        if self._unpacking:
            return Packed(self._memory.allocate(FLOATS[self._unpacking.type_of(type)], shape))
        if type in FLOATS:
            return Packed(self._memory.allocate(FLOATS[type], shape))
        form = _form_of(type, self._path)
        groups = [*shape[:-1], shape[-1] // form.group]
        return Packed(
            self._memory.allocate(getattr(ov.Type, form.integer_type), [*groups, form.group]),
            self._memory.allocate(_scale_type(type), [*groups, 1]),
            self._memory.allocate(ov.Type.f16, [*groups, 1]) if form.has_minimum else None,
        )

    def _start(self, name: str, rows: Rows, parts: list[np.ndarray]) -> None:
        """Starts to unpack rows of a matrix into memory, uint8 [rows, bytes] each."""
        self._jobs.append(self._pool.submit(self._unpack, name, rows, parts))

    def _count(self, name: str, rows: Rows) -> int:
        """How many rows these are.

        Raises:
            UserError: the matrix has too few.
        """
        count = math.prod(self.infos[name].shape[:-1])
        if isinstance(rows, slice):
            return len(range(*rows.indices(count)))
        if rows.max() >= count:
            raise UserError("gguf.refused", path=self._path, fault=Text("gguf.few_rows", name=name))
        return len(rows)

    def _unpack(self, name: str, rows: Rows, parts: list[np.ndarray]) -> None:
        """Writes rows of a matrix to memory for integers, scales and zero points: uint8 [rows, bytes] each."""
        info, data = self.infos[name], self._bytes(name)
        if isinstance(rows, slice):
            data = data[rows]
        step = max(1, CHUNK_WEIGHTS // info.shape[-1])
        for first in range(0, len(parts[0]), step):
            part = slice(first, first + step)
            chunk = data[part] if isinstance(rows, slice) else data[rows[part]]
            if self._unpacking:
                parts[0][part] = self._unpacking.unpack(name, chunk, info)
                continue
            if info.type in FLOATS:
                parts[0][part] = chunk
                continue
            try:
                groups = read_groups(chunk, info.type)
            except ValueError as error:
                raise UserError("gguf.blocks_damaged", name=name, reason=error) from error
            for memory, values in zip(parts, (groups.integers, groups.scale, groups.zero_point), strict=False):
                memory[part] = np.ascontiguousarray(values).view(np.uint8).reshape(len(chunk), -1)


@dataclass(frozen=True)
class Unpacking:
    """How blocks become 16-bit numbers: bfloat16 stays what it is, all others become float16.

    Attributes:
        check: called with a tensor's name and some of its values, float32.
    """

    check: Callable[[str, np.ndarray], None]

    @staticmethod
    def type_of(type: GGML) -> GGML:
        return GGML.BF16 if type == GGML.BF16 else GGML.F16

    def unpack(self, name: str, rows: np.ndarray, info: TensorInfo) -> np.ndarray:
        """Rows of blocks of a tensor, uint8 [rows, bytes] → rows of 16-bit numbers, the same.

        Raises:
            UserError: their type is not known, or what `check` raises.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            try:
                values = dequantize(rows, info.type)
            except NotImplementedError as error:
                raise _unsupported(info.type, info.path) from error
            self.check(name, values)
            return rows if info.type == GGML.BF16 else values.astype(np.float16).view(np.uint8)


@dataclass(frozen=True)
class Packed:
    """The memory of a matrix: floats, or integers in groups with their scales and zero points."""

    values: ov.Tensor
    scales: ov.Tensor | None = None
    zero_points: ov.Tensor | None = None

    def parts(self) -> list[np.ndarray]:
        """The bytes of what there is, flat."""
        tensors = (self.values, self.scales, self.zero_points)
        return [tensor.data.reshape(-1).view(np.uint8) for tensor in tensors if tensor is not None]

    def node(self, shape: Sequence[int], name: str) -> ov.Node:
        """The operations that unpack the matrix when it is used, float32."""
        weight = over_tensor(self.values, name)
        if self.scales is None:
            return _floats(weight)
        type = self.scales.element_type
        weight = ops.convert(weight, type)
        if self.zero_points is not None:
            zero_point = over_tensor(self.zero_points, f"{name}/zero_point")
            same = self.zero_points.element_type == type
            weight = ops.subtract(weight, zero_point if same else ops.convert(zero_point, type))
        weight = ops.multiply(weight, over_tensor(self.scales, f"{name}/scale"))
        return _as_float32(ops.reshape(weight, constant(shape), special_zero=False))


def _floats(weight: ov.Node) -> ov.Node:
    """A constant of floats as float32.

    The conversion of 16-bit weights is marked: the runtime would otherwise do it once, and keep all of them in 32 bits.
    """
    unpacked = _as_float32(weight)
    if unpacked is not weight:
        unpacked.rt_info["decompression_0"] = ""  # as `ov.save_model` marks the weights that it compresses to 16 bits
    return unpacked


def _as_float32(node: ov.Node) -> ov.Node:
    return node if node.get_element_type() == ov.Type.f32 else ops.convert(node, "f32")


def _map(path: Path) -> mmap.mmap:
    try:
        with path.open("rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise UserError("gguf.unreadable", path=path, reason=error.strerror or error) from error


def _scale_type(type: GGML) -> ov.Type:
    _, scale, _ = FORMS[type].unpack(np.zeros((1, GGML_QUANT_SIZES[type][1]), np.uint8))
    return ov.Type(scale.dtype)


def _form_of(type: GGML, path: Path) -> BlockForm:
    """How blocks of this type are represented.

    Args:
        path: the file that has them, for the message.

    Raises:
        UserError: the type is not supported.
    """
    if type not in FORMS:
        raise _unsupported(type, path)
    return FORMS[type]


def _unsupported(type: GGML, path: Path) -> UserError:
    known = ", ".join(type.name for type in (*FLOATS, *FORMS))
    return UserError("gguf.block_type", path=path, type=type.name, known=known)


def bytes_in_openvino(infos: Iterable[TensorInfo]) -> int:
    """The size of the constants for these tensors, with scales and zero points, in bytes.

    Raises:
        UserError: one has blocks of a type that is not supported.
    """

    def bits(info: TensorInfo) -> float:
        if info.type in FLOATS:
            return FLOATS[info.type].bitwidth
        form = _form_of(info.type, info.path)
        per_group = _scale_type(info.type).bitwidth + (16 if form.has_minimum else 0)
        return getattr(ov.Type, form.integer_type).bitwidth + per_group / form.group

    return int(sum(bits(info) / 8 * math.prod(info.shape) for info in infos))
