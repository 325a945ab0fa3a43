"""`nncf.compress_weights` and `ov.save_model` in one, with little memory: the same bytes, row by row.

NNCF compresses a weight in one piece, for which it takes several 32-bit copies of it, and keeps everything that
it made on the heap until the model is saved. Here it gets a few million weights at a time, and what it makes
goes to a file that is mapped into memory. That is also three times as fast, because such a block stays in the
processor's cache.

There is no public way to say this to NNCF. All that this project knows of its inside is in this module, and
goes for `KNOWN_NNCF` only; with another version, NNCF does its work as it always does.
"""

import ctypes
import gc
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

from conversion.progress import progress_bar, quiet, watching

import nncf
import numpy as np
import openvino as ov
from nncf.tensor import Tensor

KNOWN_NNCF = "3.4."

BLOCK_WEIGHTS = 4_000_000  # that go through NNCF at a time: the fastest of 0.25 to 60 million, on 2 cores
MAPPED_BYTES = 100_000  # constants from this size on are kept in the file


def compress_and_save(model: ov.Model, path: Path, **settings: Any) -> None:
    """Compresses the model's weights and writes it to `path` (.xml) and the .bin beside it.

    The result is that of `ov.save_model(nncf.compress_weights(model, **settings), path, compress_to_fp16=False)`.
    The folder needs room for the .bin twice. The model can't be used afterwards.

    Args:
        settings: arguments of `nncf.compress_weights`.
    """
    with quiet(), _lean_nncf(path.parent):
        model = nncf.compress_weights(model, **settings)
        save(model, path)
        del model  # before the file that its constants are in
        gc.collect()


def save(model: ov.Model, path: Path, compress_to_fp16: bool = False) -> None:
    """`ov.save_model` with a progress bar."""
    # By address, for those that share their memory are written once.
    constants = {op.data.ctypes.data: op.get_byte_size() for op in model.get_ops() if op.get_type_name() == "Constant"}
    weights = path.with_suffix(".bin")
    with watching("Saving", sum(constants.values()), lambda: weights.stat().st_size if weights.is_file() else 0):
        ov.save_model(model, path, compress_to_fp16=compress_to_fp16)


@contextmanager
def _lean_nncf(folder: Path) -> Iterator[None]:
    """Makes NNCF work in blocks of rows and keep its results in an unnamed file in `folder`, while the block runs."""
    if not version("nncf").startswith(KNOWN_NNCF):
        print(f"NNCF {version('nncf')} is not the version that is known here ({KNOWN_NNCF}x): this takes more memory.")
        yield
        return
    from nncf.common.tensor_statistics import aggregator
    from nncf.quantization.algorithms.weight_compression import (
        algorithm,
        awq,
        mixed_precision,
        openvino_backend,
        scale_estimation,
    )

    with (
        tempfile.TemporaryFile(dir=folder) as file,
        _replaced(openvino_backend, "create_ov_const_from_tensor", _keeping_in(file)),
        _replaced(openvino_backend, "compress_weight", _compressing_by_rows),
        _replaced(mixed_precision, "get_integer_quantization_error", _measuring_by_rows),
        _replaced(mixed_precision, "track", _with_our_bar),
        _replaced(algorithm, "track", _with_our_bar),
        _replaced(aggregator, "track", _with_our_bar),
        _replaced(awq, "track", _with_our_bar),
        _replaced(scale_estimation, "track", _with_our_bar),
    ):
        yield


@contextmanager
def _replaced(module: ModuleType, name: str, make: Callable[[Callable], Callable]) -> Iterator[None]:
    """Puts `make(function)` in the place of a module's function while the block runs."""
    original = getattr(module, name)
    setattr(module, name, make(original))
    try:
        yield
    finally:
        setattr(module, name, original)


def _keeping_in(file: Any) -> Callable[[Callable], Callable]:
    """Makes big constants out of a part of `file` that is mapped into memory, instead of the heap.

    They are written, not copied into a mapping: where the disk is full, that is an `OSError` and no crash.
    """

    mappings = []  # OpenVINO knows only the address, so they have to be kept as long as this is in use

    def around(create: Callable) -> Callable:
        def create_mapped(x: Any, dtype: ov.Type, name: str | None = None) -> ov.Node:
            constant = create(x, dtype, name)
            if constant.get_byte_size() < MAPPED_BYTES:
                return constant
            start = file.seek(-(-file.tell() // 64) * 64)  # aligned as the heap would be
            file.write(constant.data.view(np.uint8))
            file.flush()
            mapped = np.memmap(file, np.uint8, mode="r", offset=start, shape=constant.get_byte_size())
            mappings.append(mapped)
            shared = ov.Tensor(mapped, constant.get_output_shape(0), dtype)
            return ov.opset13.constant(shared, name=name, shared_memory=True)

        return create_mapped

    return around


def _compressing_by_rows(compress: Callable) -> Callable:
    """Compresses a weight in blocks of rows, each of which has scales and zero points of its own."""
    from nncf.openvino.optimized_functions.models import OV_MODEL_CACHE
    from nncf.quantization.algorithms.weight_compression.parameters import CompressedWeight

    def compress_by_rows(weight: Any, reduction_axes: Any, scheme: Any, precomputed: Any = None) -> Any:
        blocks = _row_blocks(weight, reduction_axes)
        if len(blocks) == 1 or precomputed is not None:
            return compress(weight, reduction_axes, scheme, precomputed)
        OV_MODEL_CACHE.enable()  # off here because a cached model overwrites what it returned before; see _Joined
        try:
            tensor, scale, zero_point = (_Joined(weight.shape[0]) for _ in range(3))
            for block in blocks:
                part = compress(block, reduction_axes, scheme)
                tensor.add(part.tensor)
                scale.add(part.scale)
                zero_point.add(part.zero_point)
        finally:
            OV_MODEL_CACHE.disable()
        _trim_heap()
        return CompressedWeight(tensor.whole(), scale.whole(), zero_point.whole())

    return compress_by_rows


def _measuring_by_rows(measure: Callable) -> Callable:
    """The largest mean error of all rows is the largest of the blocks' largest."""

    def measure_by_rows(weight: Any, reduction_axes: Any, scheme: Any, reduction: str) -> float:
        blocks = _row_blocks(weight, reduction_axes) if reduction == "max_mean" else [weight]
        error = max(measure(block, reduction_axes, scheme, reduction) for block in blocks)
        _trim_heap()
        return error

    return measure_by_rows


def _row_blocks(weight: Any, reduction_axes: int | tuple[int, ...]) -> list[Any]:
    """Views of a weight's rows, about `BLOCK_WEIGHTS` weights each; the weight itself if rows depend on each other."""
    axes = (reduction_axes,) if isinstance(reduction_axes, int) else reduction_axes
    rows, *rest = weight.shape
    pairs = -(-rows // 2)  # blocks have an even number of rows: half a byte of 4-bit values can't be put together
    count = -(-weight.size // BLOCK_WEIGHTS)
    if count == 1 or 0 in axes or count > pairs or not isinstance(weight.data, ov.Tensor):
        return [weight]
    # Blocks of one size if there is such a division: NNCF compiles a helper for each size.
    count = next((more for more in range(count, min(2 * count, pairs + 1)) if pairs % more == 0), count)
    cuts = [min(rows, 2 * (pairs * i // count)) for i in range(count + 1)]
    return [Tensor(ov.Tensor(weight.data, [start, *(0 for _ in rest)], [end, *rest])) for start, end in pairwise(cuts)]


def _trim_heap() -> None:
    """Gives freed memory back to the system. glibc keeps it otherwise, scattered: over a gigabyte in the end."""
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)


class _Joined:
    """A tensor that is put together from blocks of its rows, which are copied as they come."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        # Of the blocks' own kind: only OpenVINO has a type for 4-bit values.
        self.tensor: np.ndarray | ov.Tensor | None = None
        self.filled = 0

    def add(self, part: Any) -> None:
        if part is None:  # symmetric compression has no zero points
            return
        packed = isinstance(part.data, ov.Tensor)
        if self.tensor is None:
            shape = [self.rows, *part.shape[1:]]
            self.tensor = ov.Tensor(part.data.get_element_type(), shape) if packed else np.empty(shape, part.data.dtype)
        whole = np.asarray(self.tensor.data if packed else self.tensor).reshape(-1)
        block = np.asarray(part.data.data if packed else part.data).reshape(-1)
        whole[self.filled : self.filled + block.size] = block
        self.filled += block.size

    def whole(self) -> Any:
        return None if self.tensor is None else Tensor(self.tensor)


def _with_our_bar(track: Callable) -> Callable:
    from nncf.openvino.optimized_functions.models import OV_MODEL_CACHE

    def track_with_our_bar(
        items: Iterable, description: str = "", total: int | None = None, weights: list[int] | None = None
    ) -> Iterator:
        total = sum(weights) if weights else total or len(items)  # type: ignore[arg-type]
        with progress_bar(desc=description, total=total, unit_scale=bool(weights), unit="") as bar:
            for index, item in enumerate(items):
                yield item
                bar.update(weights[index] if weights else 1)
        OV_MODEL_CACHE.clear()  # what NNCF compiled for this stage is of no use in the next

    return track_with_our_bar
