"""Rounds the matrices of a 16-bit model to a few bits, as its owner plans it, and opens the model so."""

import re
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as ops

from llm_chatbot.engine.files import FolderFiles
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.errors import UserError
from llm_chatbot.evaluation.weight_storage import USERS

MODEL_PARTS = ("embedding", "attention", "MLP")
GROUP_SIZES = (16, 32, 64, 96, 128, 192, 256)
SCALE_BITS = 16
WEIGHTS_AT_ONCE = 1 << 17  # weights that are rounded at a time, so that they stay in the processor's cache
LAYER = re.compile(r"(?:blk|layers|blocks|h)\.(\d+)\.")  # in the names of GGUF files and of traced modules


@dataclass(frozen=True)
class Rounding:
    """How the weights of a matrix are rounded.

    Attributes:
        bits: of a code, 2 to 8.
        group: how many weights in a row share a scale of 16 bits; 0: the whole row.
    """

    bits: int
    group: int

    def size(self, shape: Sequence[int]) -> float:
        """The bytes of a matrix [rows, columns], scales included."""
        rows, columns = shape
        return rows * (columns * self.bits + columns / (self.group or columns) * SCALE_BITS) / 8


Plan = Mapping[str, Rounding]  # by the names of matrices; others stay as they are


@dataclass(frozen=True, eq=False)
class Matrix:
    """A matrix of a model.

    Attributes:
        name: of its constant in the graph.
        part: one of `MODEL_PARTS`; what belongs to no layer is "embedding", the output layer too.
        layer: from 0 on; -1 where it belongs to none.
        weights: float16 [rows, columns].
    """

    name: str
    part: str
    layer: int
    weights: np.ndarray


def round_weights(weights: np.ndarray, rounding: Rounding) -> np.ndarray:
    """The weights that the codes stand for, float32 [rows, columns]: scale × code, without zero points.

    The largest weight of a group becomes the lowest code, -2^(bits - 1), by a scale of the opposite sign if it has to:
    so all codes are used, as in ggml's Q4_0.
    """
    rounded = np.empty(weights.shape, dtype=np.float32)
    rows = max(1, WEIGHTS_AT_ONCE // weights.shape[1])
    for start in range(0, len(weights), rows):
        rounded[start : start + rows] = _round_rows(weights[start : start + rows], rounding)
    return rounded


def _round_rows(weights: np.ndarray, rounding: Rounding) -> np.ndarray:
    groups = weights.astype(np.float32).reshape(len(weights), -1, rounding.group or weights.shape[1])
    lowest = -(2 ** (rounding.bits - 1))
    high, low = groups.max(-1, keepdims=True), groups.min(-1, keepdims=True)
    scales = (np.where(high > -low, high, low) / lowest).astype(np.float16).astype(np.float32)
    codes = groups * (1 / np.where(scales == 0, 1, scales))
    np.rint(codes, out=codes)
    np.clip(codes, lowest, -lowest - 1, out=codes)
    codes *= scales
    return codes.reshape(weights.shape)


class RoundedFiles(FolderFiles):
    """A converted folder whose graph has rounded weights.

    Args:
        folder: its weights have 16 or 32 bits.
        weights: float16, by the names of their constants.
    """

    def __init__(self, folder: Path, weights: Mapping[str, np.ndarray]) -> None:
        super().__init__(folder)
        self._rounded = weights

    def read_graph(self) -> ov.Model:
        graph = super().read_graph()
        for node in graph.get_ops():
            if (weights := self._rounded.get(node.get_friendly_name())) is not None:
                rounded = ops.constant(weights.reshape(node.get_output_shape(0)), node.get_element_type())
                for reader in node.output(0).get_target_inputs():
                    reader.replace_source_output(rounded.output(0))
        return graph

    def compile_cache(self) -> dict[str, str]:
        """None: what is compiled belongs to these weights only."""
        return {}


class RoundableModel:
    """A model of 16 bits whose matrices can be rounded again and again.

    Attributes:
        matrices: by name, in the order of the graph.
        group_sizes: those that divide the rows of all matrices, and 0.
    """

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            UserError: its weights are compressed.
        """
        self._folder = folder
        self._graph = FolderFiles(folder).read_graph()  # its constants are the matrices' memory
        self.matrices = {matrix.name: matrix for matrix in _matrices(self._graph)}
        if not self.matrices:
            raise UserError("matrix.no_bits", folder=folder, bits=16)
        columns = {matrix.weights.shape[1] for matrix in self.matrices.values()}
        self.group_sizes = [size for size in GROUP_SIZES if not any(count % size for count in columns)] + [0]
        self._rounded: dict[tuple[str, Rounding], np.ndarray] = {}  # of the latest plan

    @property
    def num_layers(self) -> int:
        return 1 + max(matrix.layer for matrix in self.matrices.values())

    def size(self, plan: Plan) -> float:
        """The bytes of all matrices, scales included."""
        return sum(
            plan[name].size(matrix.weights.shape) if name in plan else 2 * matrix.weights.size
            for name, matrix in self.matrices.items()
        )

    def open(self, plan: Plan) -> ChatModel:
        """The model with its matrices rounded by a plan, computing in 32 bits. It takes a second or two for 135 million
        weights."""
        rounded = {name: self.rounded(name, rounding) for name, rounding in self._in_parallel(plan)}
        return open_model(RoundedFiles(self._folder, rounded), ov_config=EXACT, paged=False)

    def rounded(self, name: str, rounding: Rounding) -> np.ndarray:
        """A matrix rounded, float16 [rows, columns]."""
        found = self._rounded.get((name, rounding))
        return round_weights(self.matrices[name].weights, rounding).astype(np.float16) if found is None else found

    def errors(self, plan: Plan, shown: int = 8_000) -> np.ndarray:
        """How far weights are from the 16-bit ones, in shares of their matrix's mean weight: some of each matrix.

        Args:
            plan: names the matrices.
            shown: of each matrix, at most so many weights, evenly spread.
        """
        found = []
        for name, rounding in plan.items():
            weights = self.matrices[name].weights
            rows = slice(None, None, max(1, weights.size // shown))
            original = weights[rows].astype(np.float32)
            found.append((self.rounded(name, rounding)[rows] - original).ravel() / np.abs(original).mean())
        return np.concatenate(found) if found else np.zeros(1, dtype=np.float32)

    def _in_parallel(self, plan: Plan) -> Iterator[tuple[str, Rounding]]:
        """The entries of a plan after all have been rounded; what is not in it is forgotten."""
        with ThreadPoolExecutor() as pool:  # NumPy releases Python's lock meanwhile
            arrays = list(pool.map(self.rounded, plan.keys(), plan.values()))
        self._rounded = dict(zip(plan.items(), arrays, strict=True))
        yield from plan.items()


def _matrices(graph: ov.Model) -> Iterator[Matrix]:
    """The 16- and 32-bit matrices that are multiplied with or looked up in, each once."""
    seen = set()
    for node in graph.get_ordered_ops():
        operands = node.input_values() if node.get_type_name() in USERS else []
        for constant in filter(None, map(_matrix_constant, operands)):
            name = constant.get_friendly_name()
            if name not in seen:
                seen.add(name)
                weights = constant.data.reshape(constant.get_output_shape(0)[0], -1)
                yield Matrix(name, *place_of(name), weights.astype(np.float16, copy=False))


def _matrix_constant(operand: ov.Output) -> ov.Node | None:
    """The constant that an operand is, or is converted from; None where it is no matrix of numbers that NumPy has."""
    node = operand.node
    while node.get_type_name() == "Convert":
        node = node.input_value(0).node
    is_matrix = node.get_type_name() == "Constant" and sum(size > 1 for size in node.get_output_shape(0)) > 1
    return node if is_matrix and node.get_element_type() in (ov.Type.f16, ov.Type.f32) else None


def place_of(name: str) -> tuple[str, int]:
    """The part and the layer of a matrix, by the name of its constant; see `Matrix`."""
    if (match := LAYER.search(name)) is None:
        return "embedding", -1
    return "attention" if "attn" in name or "attention" in name else "MLP", int(match[1])
