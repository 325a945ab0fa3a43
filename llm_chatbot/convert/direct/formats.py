"""The `quantization_config` of a checkpoint → how its matrices are read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llm_chatbot.convert.direct.quantized import (
    Arrays,
    QuantizedMatrix,
    read_awq,
    read_compressed_tensors,
    read_gptq,
)
from llm_chatbot.convert.direct.settings import read_settings
from llm_chatbot.errors import UserError
from llm_chatbot.sources.safetensors_format import StoredTensor

KNOWN = "awq, gptq (2, 3, 4, 8 bits), compressed-tensors (pack-quantized, float-quantized), fp8 (e4m3)"


@dataclass(frozen=True)
class QuantizationFormat:
    """How a checkpoint's matrices are quantized.

    Attributes:
        name: for people, such as "AWQ, 4 bits".
        method: "awq", "gptq", "gptq_v2", "compressed-tensors" or "fp8".
        bits: of an integer, or of a float.
        block: rows and columns of 8-bit floats that share a scale; None where a row or the whole matrix does.
    """

    name: str
    method: str
    bits: int
    block: tuple[int, int] | None = None

    @property
    def has_integers(self) -> bool:
        """Whether its matrices are integers, which are kept. Those of 8-bit floats become bfloat16."""
        return self.method != "fp8"

    def shape(self, parts: Mapping[str, StoredTensor]) -> tuple[int, int]:
        """Rows and columns of a matrix.

        Raises:
            KeyError: a part is missing.
        """
        if not self.has_integers:
            rows, columns = parts["weight"].shape
            return rows, columns
        if self.method == "compressed-tensors":
            rows, columns = parts["weight_shape"].read()
            return int(rows), int(columns)
        first, second = parts["qweight"].shape
        return (second * 8, first) if self.method == "awq" else (second, first * 32 // self.bits)

    def read(self, arrays: Arrays) -> QuantizedMatrix:
        """One matrix.

        Args:
            arrays: its parts by the ends of their names in the checkpoint, such as "qweight".

        Raises:
            KeyError: a part is missing.
            ValueError: the parts don't fit together.
        """
        if self.method == "awq":
            return read_awq(arrays)
        if self.method == "compressed-tensors":
            return read_compressed_tensors(arrays, self.bits)
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
    raise _unknown(folder, method)


def check_direct(folder: Path, config: Mapping[str, Any]) -> None:
    """Checks what `config.json` says, before weights are downloaded.

    Raises:
        UserError: the format of the weights, the architecture or a setting is not supported.
    """
    read_format(folder, config)
    read_settings(folder, config)


def _block(said: Any) -> tuple[int, int] | None:
    is_block = isinstance(said, list) and len(said) == 2 and all(isinstance(size, int) and size > 0 for size in said)
    return (said[0], said[1]) if is_block else None


def _groups(said: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    groups = said.get("config_groups")
    return [group for group in groups.values() if isinstance(group, dict)] if isinstance(groups, dict) else []


def _unknown(folder: Path, method: Any) -> UserError:
    return UserError("direct.quantization", folder=folder, method=f"{method!r:.80}", known=KNOWN)
