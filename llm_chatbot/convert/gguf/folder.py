"""A GGUF file → a folder with `decoder`'s graph, which Optimum Intel, OpenVINO GenAI and its Model Server load.

The file's own weights need neither PyTorch nor Optimum Intel nor NNCF. Transformers is imported for its tokenizer.
"""

import math
import tempfile
from pathlib import Path
from typing import Any

from llm_chatbot.catalogue.row import ModelConfig
from llm_chatbot.convert.adapters.gguf_base import GGUFBase, with_merged
from llm_chatbot.convert.adapters.merging import write_merged
from llm_chatbot.convert.export.built_graph import write_built
from llm_chatbot.convert.export.saving import WriteGraph, save
from llm_chatbot.convert.gguf.settings import generation_config, model_config
from llm_chatbot.convert.resources import check_resources
from llm_chatbot.convert.side_files import write_side_files
from llm_chatbot.convert.tokenizer.chat_format import apply_chat_format
from llm_chatbot.convert.tokenizer.gguf_tokenizer import fast_tokenizer
from llm_chatbot.convert.unpacking import unpacking_of
from llm_chatbot.decoder.build import build_decoder, decoder_tensors, row_of
from llm_chatbot.decoder.tensors import Unpacking, bytes_in_openvino
from llm_chatbot.folder.variant import Variant
from llm_chatbot.gguf.header import GGUFHeader, read_gguf_header
from llm_chatbot.gguf.tokenizer import tokenizer_of
from llm_chatbot.machine.json_progress import write_step
from llm_chatbot.sources.gguf_files import found_files, gguf_path


def write_own_blocks(variant: Variant, folder: Path) -> dict[str, Any]:
    """Writes a folder with a GGUF file's weights as they are.

    Args:
        folder: empty.

    Returns:
        What the manifest records, as `write_model` of `convert/pipeline.py`.

    Raises:
        UserError: there is no such file, it is damaged or not supported, or disk or memory is too small.
    """
    header, files = _read(variant.config)
    check_resources(variant, _parameters(header), folder, weights=bytes_in_openvino(decoder_tensors(header)))
    facts = _write(header, variant.config, folder, save)
    return {**facts, "checkpoint_files": files}


def write_unpacked(variant: Variant, folder: Path, write: WriteGraph) -> dict[str, Any]:
    """Writes a folder with a GGUF file's weights in 16 bits, or in what `write` makes of them.

    Args, returns, raises: as `write_own_blocks`; also a `UserError` for weights that are NaN or infinite, unless the
        variant allows them.
    """
    header, files = _read(variant.config)
    check_resources(variant, _parameters(header), folder)
    with tempfile.TemporaryDirectory(dir=folder) as merged:
        header = _adapted(header, variant, Path(merged))
        facts = _write(header, variant.config, folder, write, unpacking_of(variant))
    return {**facts, "checkpoint_files": files}


def _adapted(header: GGUFHeader, variant: Variant, folder: Path) -> GGUFHeader:
    """The header with the tensors that adapters change in a file of their own, in a folder.

    Raises:
        UserError: see `write_merged`.
    """
    if not variant.config.adapters:
        return header
    return with_merged(header, write_merged(variant.config.adapters, GGUFBase(header), folder))


def _read(config: ModelConfig) -> tuple[GGUFHeader, dict[str, Any] | None]:
    """The header of a model's file, which is downloaded if necessary, and what identifies the file."""
    path = gguf_path(config)
    write_step("Reading")
    files = found_files(config)
    header = read_gguf_header(path)
    row_of(header)  # fails now if the architecture is not supported
    return header, files


def _parameters(header: GGUFHeader) -> int:
    return sum(math.prod(info.shape) for info in decoder_tensors(header))


def _write(
    header: GGUFHeader, config: ModelConfig, folder: Path, write: WriteGraph, unpacking: Unpacking | None = None
) -> dict[str, Any]:
    _write_side_files(header, config, folder)
    write_built(lambda memory: build_decoder(header, memory, unpacking=unpacking), folder, write)
    return {
        "parameters": _parameters(header),
        "gguf_type": header.main_type,
        "quantization": header.quantization,
    }


def _write_side_files(header: GGUFHeader, config: ModelConfig, folder: Path) -> None:
    """Writes the model's settings and its tokenizer."""
    write_step("Tokenizer")
    read = tokenizer_of(header.fields)
    tokenizer = fast_tokenizer(read)
    ends = apply_chat_format(config.chat_format, tokenizer, config.model_id, read.stop_ids)
    settings = {**model_config(header, config.model_id), "eos_token_id": ends}
    write_side_files(folder, tokenizer, settings, generation_config(tokenizer, ends))
