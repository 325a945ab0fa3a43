"""The `quantization_config` of a checkpoint → how its matrices are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from llm_chatbot.convert.direct.bitsandbytes import QUANT_STATE, NF4Matrix, matrix_shape, read_fp4, read_int8, read_nf4
from llm_chatbot.convert.direct.quantized import (
    Arrays,
    QuantizedMatrix,
    read_awq,
    read_compressed_tensors,
    read_fp8,
    read_gptq,
)
from llm_chatbot.convert.direct.settings import read_settings
from llm_chatbot.errors import UserError
from llm_chatbot.sources.safetensors_format import StoredTensor

KNOWN = "awq, gptq (2, 3, 4, 8 bits), compressed-tensors (pack-quantized, float-quantized), fp8 (e4m3), bitsandbytes"

# bitsandbytes' methods, by what a configuration calls them.
BITSANDBYTES = {"nf4": "bitsandbytes, NF4", "fp4": "bitsandbytes, FP4"}
INT8 = "llm.int8"


@dataclass(frozen=True)
class QuantizationFormat:
    """How a checkpoint's matrices are quantized.

    Attributes:
        name: for people, such as "AWQ, 4 bits".
        method: "awq", "gptq", "gptq_v2", "compressed-tensors", "fp8", or one of bitsandbytes: "nf4", "fp4", "llm.int8".
        bits: of an integer, or of a float.
        block: rows and columns of 8-bit floats that share a scale; None where a row or the whole matrix does.
    """

    name: str
    method: str
    bits: int
    block: tuple[int, int] | None = None

    @property
    def is_kept(self) -> bool:
        """Whether its matrices stay what they are. 8-bit floats and FP4 become 16 bits."""
        return self.method not in ("fp8", "fp4")

    def shape(self, parts: Mapping[str, StoredTensor]) -> tuple[int, int]:
        """Rows and columns of a matrix.

        Raises:
            KeyError: a part is missing.
            ValueError: what says so is damaged.
        """
        if self.method in BITSANDBYTES:
            return matrix_shape(parts[QUANT_STATE + self.method].read())
        if self.method in ("fp8", INT8):
            rows, columns = parts["weight"].shape
            return rows, columns
        if self.method == "compressed-tensors":
            rows, columns = parts["weight_shape"].read()
            return int(rows), int(columns)
        first, second = parts["qweight"].shape
        return (second * 8, first) if self.method == "awq" else (second, first * 32 // self.bits)

    def read(self, parts: Mapping[str, StoredTensor]) -> QuantizedMatrix | NF4Matrix | np.ndarray:
        """One matrix as it is kept, or its weights, float16 or float32 [rows, columns].

        Args:
            parts: of it by the ends of their names in the checkpoint, such as "qweight".

        Raises:
            KeyError: a part is missing.
            ValueError: the parts don't fit together.
        """
        if self.method in BITSANDBYTES:  # packed in any type, also of floats
            return self.matrix({end: tensor.read() for end, tensor in parts.items()})
        return self.matrix({end: tensor.floats() for end, tensor in parts.items()})

    def matrix(self, arrays: Arrays) -> QuantizedMatrix | NF4Matrix | np.ndarray:
        """As `read`, from the arrays of the parts."""
        match self.method:
            case "awq":
                return read_awq(arrays)
            case "compressed-tensors":
                return read_compressed_tensors(arrays, self.bits)
            case "fp8":
                return read_fp8(arrays, self.block)
            case "nf4":
                return read_nf4(arrays)
            case "fp4":
                return read_fp4(arrays)
            case "llm.int8":
                return read_int8(arrays)
        return read_gptq(arrays, self.bits, is_first_version=self.method == "gptq")


def read_format(folder: Path, config: Mapping[str, Any]) -> QuantizationFormat | None:
    """The format of a checkpoint's quantized matrices; None if it says that there are none.

    Args:
        config: the content of `config.json`.

    Raises:
        UserError: they have another format than those that are known here.
    """
    said = config.get("quantization_config")
    if not said:
        return None
    if not isinstance(said, dict):
        raise _unknown(folder, said)
    method = said.get("quant_method")
    if method == "awq" and said.get("bits", said.get("w_bit")) == 4 and said.get("version", "gemm") == "gemm":
        return QuantizationFormat("AWQ, 4 bits", "awq", 4)
    if method == "fp8" and said.get("fmt", "e4m3") == "e4m3":
        return QuantizationFormat("FP8", "fp8", 8, _block(said.get("weight_block_size")))
    if method == "compressed-tensors" and said.get("format") == "float-quantized":
        return QuantizationFormat("FP8", "fp8", 8)
    if method == "gptq" and said.get("bits") in (2, 3, 4, 8):
        version = "gptq_v2" if said.get("checkpoint_format") == "gptq_v2" else "gptq"
        return QuantizationFormat(f"GPTQ, {said['bits']} bits", version, said["bits"])
    if method == "compressed-tensors" and said.get("format") == "pack-quantized":
        bits = {group.get("weights", {}).get("num_bits") for group in _groups(said)}
        if len(bits) == 1 and (count := bits.pop()) in range(2, 9):
            return QuantizationFormat(f"compressed-tensors, {count} bits", "compressed-tensors", count)
    if method == "bitsandbytes" and said.get("load_in_8bit", said.get("_load_in_8bit")):
        return QuantizationFormat("bitsandbytes, LLM.int8()", INT8, 8)
    kind = said.get("bnb_4bit_quant_type", "fp4")
    if method == "bitsandbytes" and isinstance(kind, str) and kind in BITSANDBYTES:
        return QuantizationFormat(BITSANDBYTES[kind], kind, 4)
    raise _unknown(folder, method)


def check_direct(folder: Path, config: Mapping[str, Any]) -> None:
    """Checks what `config.json` says, before weights are downloaded.

    Raises:
        UserError: the format of the weights, the architecture or a setting is not supported.
    """
    format, settings = read_format(folder, config), read_settings(folder, config)
    if format is not None and settings.row.has_experts:
        raise UserError("direct.quantized_experts", folder=folder, method=format.name)


def _block(said: Any) -> tuple[int, int] | None:
    is_block = isinstance(said, list) and len(said) == 2 and all(isinstance(size, int) and size > 0 for size in said)
    return (said[0], said[1]) if is_block else None


def _groups(said: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    groups = said.get("config_groups")
    return [group for group in groups.values() if isinstance(group, dict)] if isinstance(groups, dict) else []


def _unknown(folder: Path, method: Any) -> UserError:
    return UserError("direct.quantization", folder=folder, method=f"{method!r:.80}", known=KNOWN)
