"""`nncf.compress_weights` and `ov.save_model` in one, with little memory and the same result, byte for byte.

NNCF compresses a weight matrix as a whole, with several 32-bit copies of it, and keeps all results on the heap until
the model is saved. Here it gets a few million weights at a time, and the results go to a file that is mapped into
memory. That is also three times as fast, because such a block stays in the processor's cache.

NNCF has no public option for this. All knowledge of its internals is in this module and holds for `KNOWN_NNCF` only;
another version runs unchanged.
"""

import contextlib
import gc
import math
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import nncf
import numpy as np
import openvino as ov
from nncf.tensor import Tensor

from llm_chatbot.convert.export.mapped_constants import MappedConstants
from llm_chatbot.convert.export.quiet import quiet
from llm_chatbot.convert.export.saving import save
from llm_chatbot.convert.export.scaled_weights import ScaledWeight
from llm_chatbot.convert.patching import patched
from llm_chatbot.machine.memory import return_freed_memory
from llm_chatbot.machine.progress import progress_bar

KNOWN_NNCF = "3.4."

BLOCK_WEIGHTS = 4_000_000  # that go through NNCF at a time: the fastest of 0.25 to 60 million, on 2 cores
MAPPED_BYTES = 100_000  # constants of at least this size are kept in the file


def compress_and_save(model: ov.Model, path: Path, **settings: Any) -> None:
    """Compresses the model's weights and writes it to `path` (.xml) and the .bin beside it.

    The result is that of `ov.save_model(nncf.compress_weights(model, **settings), path, compress_to_fp16=False)`.
    The folder's disk needs space for two copies of the .bin. The model cannot be used afterwards.

    Args:
        settings: arguments of `nncf.compress_weights`. What their `ignored_scope` names gets 8 bits.
    """
    with quiet(), _lean_nncf(path.parent, data_free="dataset" not in settings):
        model = nncf.compress_weights(model, **settings)
        if "ignored_scope" in settings:
            model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
        save(model, path)
        del model  # before the file that holds its constants is closed
        gc.collect()


@contextmanager
def _lean_nncf(folder: Path, data_free: bool) -> Iterator[None]:
    """Makes NNCF work in blocks of rows and keep its results in a temporary file in `folder`.

    Args:
        data_free: whether AWQ is; with data it needs whole matrices.
    """
    if not version("nncf").startswith(KNOWN_NNCF):
        print(f"NNCF {version('nncf')} is untested (tested: {KNOWN_NNCF}x), so compression takes more memory.")
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
        _scaling_by_rows() if data_free else contextlib.nullcontext(),
        patched(openvino_backend, "create_ov_const_from_tensor", _keeping_in(file)),
        patched(openvino_backend, "compress_weight", _compressing_by_rows),
        patched(mixed_precision, "get_integer_quantization_error", _measuring_by_rows),
        patched(mixed_precision, "track", _with_our_bar),
        patched(algorithm, "track", _with_our_bar),
        patched(aggregator, "track", _with_our_bar),
        patched(awq, "track", _with_our_bar),
        patched(scale_estimation, "track", _with_our_bar),
    ):
        yield


def _keeping_in(file: Any) -> Callable[[Callable], Callable]:
    """Keeps large constants in `file`, mapped into memory, instead of on the heap."""
    constants = MappedConstants(file)

    def around(create: Callable) -> Callable:
        def create_mapped(x: Any, dtype: ov.Type, name: str | None = None) -> ov.Node:
            if isinstance(x, ScaledWeight):
                return constants.make(x.parts(), list(x.shape), dtype, name)
            constant = create(x, dtype, name)
            if constant.get_byte_size() < MAPPED_BYTES:
                return constant
            return constants.make([constant.data], constant.get_output_shape(0), dtype, name)

        return create_mapped

    return around


@contextmanager
def _scaling_by_rows() -> Iterator[None]:
    """Makes data-free AWQ read, scale and write matrices in blocks of rows."""
    from nncf.quantization.algorithms.weight_compression import awq, openvino_backend

    def reading_rows(get_weight: Callable) -> Callable:
        def get_rows(self: Any, node: Any, port: int, *model_and_graph: Any) -> Any:
            name = node.layer_attributes.constant_attributes[port]["name"]
            constant = self.name_to_node_mapping[name]
            if len(shape := constant.get_output_shape(0)) != 2:
                return get_weight(self, node, port, *model_and_graph)
            weight = Tensor(ov.Tensor(constant.data, shape, constant.get_element_type()))
            return ScaledWeight([block.data for block in _row_blocks(weight, 1)])

        return get_rows

    def measuring_rows(step: Callable) -> Callable:
        def step_by_rows(self: Any, weight: Any, axis: int) -> Any:
            if not isinstance(weight, ScaledWeight):
                return step(self, weight, axis)
            return Tensor(1 / np.maximum(weight.mean_magnitude(axis), np.finfo(np.float32).eps))

        return step_by_rows

    with (
        patched(openvino_backend.OVAWQAlgoAlgoBackend, "get_weight", reading_rows),
        patched(awq.AWQ, "_data_free_step", measuring_rows),
    ):
        yield


def _compressing_by_rows(compress: Callable) -> Callable:
    """Compresses a weight in blocks of rows, which is possible because each row has its own scales and zero points.

    NNCF compiles its helper model anew for each weight, as it overwrites what it returned before. Here that is copied,
    so that all blocks of all weights share one.
    """
    from nncf.openvino.optimized_functions.models import OV_MODEL_CACHE
    from nncf.quantization.algorithms.weight_compression.parameters import CompressedWeight

    def compress_by_rows(weight: Any, reduction_axes: Any, scheme: Any, precomputed: Any = None) -> Any:
        blocks = _row_blocks(weight, reduction_axes)
        is_whole = len(blocks) == 1 and weight.size > BLOCK_WEIGHTS  # too large to be copied
        if is_whole or precomputed is not None:
            return compress(weight, reduction_axes, scheme, precomputed)
        OV_MODEL_CACHE.enable()  # which NNCF turns off here
        try:
            tensor, scale, zero_point = (_Joined(weight.shape[0]) for _ in range(3))
            for block in blocks:
                part = compress(block, reduction_axes, scheme)
                tensor.add(part.tensor)
                scale.add(part.scale)
                zero_point.add(part.zero_point)
        finally:
            OV_MODEL_CACHE.disable()
        return_freed_memory()
        return CompressedWeight(tensor.whole(), scale.whole(), zero_point.whole())

    return compress_by_rows


def _measuring_by_rows(measure: Callable) -> Callable:
    """Measures a weight in blocks of rows: the largest mean error of a row is the largest of the blocks'."""

    def measure_by_rows(weight: Any, reduction_axes: Any, scheme: Any, reduction: str) -> float:
        blocks = _row_blocks(weight, reduction_axes) if reduction == "max_mean" else [weight]
        error = max(measure(block, reduction_axes, scheme, reduction) for block in blocks)
        return_freed_memory()
        return error

    return measure_by_rows


def _row_blocks(weight: Any, reduction_axes: int | tuple[int, ...]) -> list[Any]:
    """Views of a weight's rows with about `BLOCK_WEIGHTS` weights each; only the weight itself if rows are reduced."""
    axes = (reduction_axes,) if isinstance(reduction_axes, int) else reduction_axes
    rows, *rest = weight.shape
    pairs = math.ceil(rows / 2)  # blocks have an even number of rows, so that 4-bit values fill whole bytes
    count = math.ceil(weight.size / BLOCK_WEIGHTS)
    if count == 1 or 0 in axes or count > pairs or not isinstance(weight.data, ov.Tensor):
        return [weight]
    # Blocks of equal size if possible: NNCF compiles a helper model for each size.
    count = next((more for more in range(count, min(2 * count, pairs + 1)) if pairs % more == 0), count)
    cuts = [min(rows, 2 * (pairs * i // count)) for i in range(count + 1)]
    return [Tensor(ov.Tensor(weight.data, [start, *(0 for _ in rest)], [end, *rest])) for start, end in pairwise(cuts)]


class _Joined:
    """A tensor that is assembled from blocks of its rows."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        # Of the blocks' own class: only OpenVINO has a type for 4-bit values.
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
                return_freed_memory()  # AWQ and scale estimation leave a matrix's 32-bit copies in fragments
                bar.update(weights[index] if weights else 1)
        OV_MODEL_CACHE.clear()  # the helper models of this stage are not used in the next

    return track_with_our_bar
