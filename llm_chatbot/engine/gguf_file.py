"""A GGUF file that is chatted with as it is: its graph is built anew each time, and nothing is left on the disk."""

import hashlib
import json
import logging
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import openvino as ov

from llm_chatbot.adapters.low_rank import Adapter, LowRank
from llm_chatbot.catalogue.chat_formats import CHECKPOINTS_OWN, ChatFormat
from llm_chatbot.decoder.build import build_decoder, decoder_tensors, row_of
from llm_chatbot.decoder.memory import FileMemory
from llm_chatbot.decoder.row_order import row_order
from llm_chatbot.decoder.tensors import bytes_in_openvino
from llm_chatbot.engine.files import Weights, check_peft
from llm_chatbot.engine.graph.logits import check_state
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.engine.text.tokenizer import PlainTokenizer
from llm_chatbot.engine.vision.processors import processor_of
from llm_chatbot.engine.vision.reader import ImageReader
from llm_chatbot.errors import UserError
from llm_chatbot.folder.place import as_in_file
from llm_chatbot.folder.template_check import check_chat_template
from llm_chatbot.gguf.end_tokens import end_token_ids
from llm_chatbot.gguf.header import GGUFHeader, read_gguf_header
from llm_chatbot.gguf.tokenizer import GGUFTokenizer, tokenizer_of
from llm_chatbot.machine.cache import cache_folder, measured_once
from llm_chatbot.machine.memory import available_memory
from llm_chatbot.tower.build import TowerFile, build_tower, check_pair, read_tower, tower_settings

logger = logging.getLogger(__name__)

# The tensors of models whose positions end with the context: learned positions, and longrope's factors, which would be
# others for longer conversations.
LIMITING_TENSORS = ("position_embd.weight", "rope_factors_long.weight")

# A model takes so many times the memory of its unpacked weights: the runtime copies them into a layout of its own, and
# keeps them. Measured with 7B in Q4_K_M.
COPIES = 2.2
# Up to so many bytes, weights are written to a file as fast as to memory, which it leaves once the runtime packed them.
SMALL = 512 << 20


class GGUFFile:
    """A GGUF file; see `llm_chatbot.engine.files.ModelFiles`.

    Args:
        path: the file, or the first of a split model.
        chat_format: how prompts are written; its template and stop tokens are used beside the file's.
        gpu_precision: see `ModelFiles`.
        mmproj: the file with the model's vision tower; or those that may be its own, of which the one that fits is
            taken.

    Attributes:
        is_limited: whether the model computes nothing useful beyond its context length.
    """

    def __init__(
        self,
        path: Path,
        chat_format: ChatFormat = CHECKPOINTS_OWN,
        gpu_precision: str | None = None,
        mmproj: Path | Sequence[Path] = (),
    ) -> None:
        """
        Raises:
            UserError: a file is damaged, the tower that was named doesn't fit, or several of those that may be do.
        """
        self.path = self.weights_file = path
        self.gpu_precision = gpu_precision
        self._header = read_gguf_header(path)
        self._tower = _tower(self._header, mmproj)
        self.images = None if self._tower is None else _image_reader(self._tower)
        self.label = as_in_file(self._header.quantization)
        self._chat_format = chat_format
        self.is_limited = any(name in self._header.tensors for name in LIMITING_TENSORS)
        self.config = self._read_config()

    def _read_config(self) -> dict[str, Any]:
        fields = self._header.fields
        architecture = fields.text("general.architecture") or ""
        context = fields.integer(f"{architecture}.context_length")
        if "rope_factors_long.weight" in self._header.tensors:
            context = fields.integer(f"{architecture}.rope.scaling.original_context_length") or context
        return {"model_type": architecture, "max_position_embeddings": context}

    @property
    def graph_files(self) -> list[Path]:
        """All parts of the model."""
        towers = [] if self._tower is None else [self._tower.path]
        return sorted({self.path, *(tensor.path for tensor in self._header.tensors.values()), *towers})

    @cached_property
    def _read_tokenizer(self) -> GGUFTokenizer:
        return tokenizer_of(self._header.fields)

    @cached_property
    def tokenizer(self) -> PlainTokenizer:
        """
        Raises:
            UserError: the file's tokenizer is damaged or not supported.
        """
        read = self._read_tokenizer
        named = {name: token.content for name, token in read.named.items()}
        return PlainTokenizer(read.backend, self._chat_format.template or read.chat_template, named)

    @cached_property
    def stop_ids(self) -> set[int]:
        """
        Raises:
            UserError: as for `tokenizer`, or the file's chat template does harm, or a stop token of the chat format is
                not in the vocabulary.
        """
        tokens = self._chat_format.stop_tokens
        ids = {token: self.tokenizer.backend_tokenizer.token_to_id(token) for token in tokens}
        if unknown := [token for token, id in ids.items() if id is None]:
            raise UserError("gguf.no_stop_tokens", path=self.path, tokens=", ".join(unknown))
        own = self._chat_format.template is not None
        after_answers = [] if own else _after_answers(self.tokenizer, self.path.name)
        found = end_token_ids(self.tokenizer, after_answers)
        return self._read_tokenizer.stop_ids | found | {id for id in ids.values() if id is not None}

    def read_graph(self) -> ov.Model:
        """
        Raises:
            UserError: its architecture is not supported, or its tensors are damaged.
        """
        return self._built(pictures=False)

    def _built(self, pictures: bool, memory: FileMemory | None = None) -> ov.Model:
        graph = build_decoder(self._header, memory, pictures=pictures)
        check_state(graph, self.path)
        return graph

    def map_graph(self) -> tuple[ov.Model, Weights]:
        """The graph. Where its unpacked weights are small, or memory is short, they are in a file without a name, which
        ends with them.

        Raises: as `read_graph`.
        """
        row_of(self._header)  # fails before the blocks of an unknown architecture are asked for
        size = bytes_in_openvino(decoder_tensors(self._header))
        is_short = COPIES * size > available_memory()
        if is_short or size <= SMALL:
            try:
                return self._graph_in_file()
            except OSError as error:
                if is_short:
                    logger.warning(
                        "%s needs more memory than there is, and no file can hold its weights: %s.", self.path, error
                    )
        return self._built(self.images is not None), OwnedWeights()

    def _graph_in_file(self) -> tuple[ov.Model, Weights]:
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache_folder()) as file:  # its maps keep it when it is closed
            memory = FileMemory(file)
            with memory.released_meanwhile():
                graph = self._built(self.images is not None, memory)
        return graph, memory

    def fitting(self, adapter: Adapter) -> Adapter:
        architecture, name = self.config["model_type"], adapter.name
        if any(tensor.endswith(".scale") for tensor in self._header.tensors):
            raise UserError("adapter.scaled", name=self.path.name)
        if not adapter.is_gguf:
            check_peft(name, architecture)
            return adapter  # whose rows are in the graph's order: the file sorts them, and the graph sorts them back
        if adapter.architecture != architecture:
            values = {"there": architecture, "wanted": adapter.architecture}
            raise UserError("adapter.architecture", name=name, base=self.path.name, **values)
        layers = {layer: self._sorted(layer, change) for layer, change in adapter.low_rank.items()}
        return replace(adapter, low_rank=layers)

    def _sorted(self, layer: str, change: LowRank) -> LowRank:
        match, info = re.fullmatch(r"blk\.(\d+)\.(\w+)\.weight", layer), self._header.tensors.get(layer)
        if match is None or info is None or info.shape != change.shape:
            return change  # it is refused where it is added
        order = row_order(self._header, int(match[1]), match[2])
        return change if order is None else change.with_rows(order)

    def compile_cache(self) -> dict[str, str]:
        """None: nothing is written."""
        return {}


def _tower(header: GGUFHeader, mmproj: Path | Sequence[Path]) -> TowerFile | None:
    """The vision tower of a model; None if it has none. See `GGUFFile`."""
    if isinstance(mmproj, Path):
        tower = read_tower(mmproj)
        check_pair(tower, header)
        return tower
    fitting = []
    for path in mmproj:
        try:
            tower = read_tower(path)
            check_pair(tower, header)
            fitting.append(tower)
        except UserError as error:
            logger.warning("The model reads no images with %s: %s", path.name, error)
    if len(fitting) > 1:
        raise UserError("mmproj.several", model=header.path, files=", ".join(tower.path.name for tower in fitting))
    return fitting[0] if fitting else None


def _image_reader(tower: TowerFile) -> ImageReader:
    """Prepares pictures for a model with this tower, whose graphs are built when the first one is read.

    Raises:
        UserError: the file lacks a setting.
    """
    built: dict[str, ov.Model] = {}

    def part(name: str) -> ov.Model:
        if name not in built:
            built.update(build_tower(tower))
        return built.pop(name)

    return ImageReader(processor_of(*tower_settings(tower), tower.path), part)


def _after_answers(tokenizer: PlainTokenizer, name: str) -> list[str]:
    """The text that a chat template writes after an answer. It is checked in a process of its own, once on a machine.

    Raises:
        UserError: the template does harm.
    """
    template, special_tokens = tokenizer.chat_template, tokenizer.special_tokens_map
    digest = hashlib.sha256(json.dumps([template, special_tokens]).encode()).hexdigest()

    def check() -> list[str]:
        return list(check_chat_template(template, special_tokens, name).after_answers)

    return measured_once("chat_templates.json", digest, check)


class OwnedWeights:
    """Weights that belong to their graph, and so to what is compiled from it."""

    @contextmanager
    def released_meanwhile(self) -> Iterator[None]:
        yield


class GGUFModel(ChatModel):
    """A model whose graph was built from a GGUF file."""

    def __init__(self, files: GGUFFile, *args: Any) -> None:
        self.can_exceed_context = not files.is_limited
        super().__init__(files, *args)
