"""The files of a converted folder, from which a model is opened. `llm_chatbot.engine.gguf_file` has the other kind."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

import openvino as ov

from llm_chatbot.adapters.low_rank import Adapter
from llm_chatbot.engine.compile_cache import compile_cache
from llm_chatbot.engine.graph.logits import check_state
from llm_chatbot.engine.graph.mapped_weights import AllWeights, MappedWeights
from llm_chatbot.engine.graph.picture_rows import joined_graphs, without_pictures
from llm_chatbot.engine.text.tokenizer import ChatTokenizer, FolderTokenizer
from llm_chatbot.engine.vision.reader import ImageReader, folder_reader
from llm_chatbot.errors import UserError
from llm_chatbot.folder.found import precision_label
from llm_chatbot.folder.json_files import damaged, read_json
from llm_chatbot.folder.manifest import (
    IMAGE_SETTINGS,
    PER_LAYER_XML,
    graph_files,
    read_manifest,
    reads_images,
    weights_file,
)
from llm_chatbot.gguf.end_tokens import listed_ids

# Architectures whose GGUF files have the layers of their checkpoints, so that PEFT's adapters fit.
WITH_PEFT = frozenset({"llama", "qwen2", "qwen3", "seed_oss", "granite", "olmo2", "smollm3", "arcee", "phi3"})


class Weights(Protocol):
    """The memory that a graph reads its constants from. A model compiled with them needs this object all its life."""

    def released_meanwhile(self) -> AbstractContextManager[None]:
        """Gives memory back that was read, while the model is compiled."""


class ModelFiles(Protocol):
    """The files that a model is opened from.

    Attributes:
        path: the folder or file, for messages.
        config: what is known of the model, by the names of Transformers' configurations; has a `model_type`.
        stop_ids: ids of the tokens that end an answer.
        gpu_precision: OpenVINO's inference precision on a GPU; None: the device's default.
        weights_file: the file whose size and time tell the weights from others.
        graph_files: those that the graph and its weights are read from, with what they depend on.
        label: the name of the weights' precision for people; empty if it is unknown.
        images: prepares pictures for the model; None: it reads none.
    """

    path: Path
    config: dict[str, Any]
    gpu_precision: str | None
    weights_file: Path
    label: str
    images: ImageReader | None

    @property
    def graph_files(self) -> list[Path]: ...

    @property
    def stop_ids(self) -> set[int]: ...

    @property
    def tokenizer(self) -> ChatTokenizer: ...

    def read_graph(self) -> ov.Model:
        """The stateful graph.

        Raises:
            UserError: its state is not a KV cache.
        """

    def map_graph(self) -> tuple[ov.Model, Weights]:
        """The stateful graph with its weights in memory that can be given back.

        Raises:
            UserError: as `read_graph`.
        """

    def fitting(self, adapter: Adapter) -> Adapter:
        """An adapter with the rows in the order of the graph's.

        Raises:
            UserError: it is of a form that this model can't have.
        """

    def compile_cache(self) -> dict[str, str]:
        """The runtime property for the folder of compiled models; empty if there is none."""


class FolderFiles:
    """A converted folder; see `ModelFiles`."""

    def __init__(self, folder: Path) -> None:
        """
        Raises:
            UserError: its `config.json` or `generation_config.json` is damaged.
        """
        self.path = folder
        self.config = read_config(folder)
        self.stop_ids = read_stop_ids(folder)
        self.gpu_precision: str | None = read_manifest(folder).get("gpu_precision")
        self.weights_file = weights_file(folder)
        self.images = folder_reader(folder, self.config) if reads_images(folder) else None
        self._graphs = graph_files(folder)
        parts = [part.with_suffix(suffix) for part in self._graphs for suffix in (".xml", ".bin")]
        self.graph_files = [*parts, folder / "config.json", *([folder / IMAGE_SETTINGS] if self.images else [])]
        self.label = precision_label(folder)

    @property
    def tokenizer(self) -> ChatTokenizer:
        """
        Raises:
            UserError: a file is missing or damaged.
        """
        return FolderTokenizer(self.path)

    def read_graph(self) -> ov.Model:
        graph = self._read(ov.Core().read_model)
        if self.images is not None:
            without_pictures(graph)
        check_state(graph, self.path)
        return graph

    def map_graph(self) -> tuple[ov.Model, Weights]:
        parts: list[MappedWeights] = []

        def read(path: Path) -> ov.Model:
            parts.append(MappedWeights(path.with_suffix(".bin")))
            return parts[-1].read_graph(path)

        graph = self._read(read)
        check_state(graph, self.path)
        return graph, AllWeights(parts)

    def _read(self, read: Callable[[Path], ov.Model]) -> ov.Model:
        """The graph as one, whether or not the tokens' vectors are made by one of its own."""
        if self.images is None:
            return read(self._graphs[0])
        language, text_embeddings = map(read, self._graphs[:2])
        per_layer = [read(graph) for graph in self._graphs if graph.name == PER_LAYER_XML]
        deep = self.config.get("vision_config", {}).get("deepstack_visual_indexes", ())
        return joined_graphs(language, text_embeddings, len(deep), *per_layer)

    def fitting(self, adapter: Adapter) -> Adapter:
        if adapter.is_gguf:
            raise UserError("adapter.gguf_on_checkpoint", name=adapter.name)
        if "gguf_type" in read_manifest(self.path):
            check_peft(adapter.name, self.config["model_type"])
        return adapter

    def compile_cache(self) -> dict[str, str]:
        return compile_cache(self.path)


def check_peft(adapter: str, architecture: str) -> None:
    """
    Args:
        adapter: PEFT's, by its name.
        architecture: of a model from a GGUF file.

    Raises:
        UserError: in such files, rows or layers may be others than the adapter's.
    """
    if architecture not in WITH_PEFT:
        known = ", ".join(sorted(WITH_PEFT))
        raise UserError("adapter.peft_on_gguf", name=adapter, architecture=architecture, known=known)


def read_config(model_dir: Path) -> dict[str, Any]:
    """The folder's `config.json` without `auto_map`, which names Python files to run.

    Raises:
        UserError: it is damaged or has no `model_type`.
    """
    config = read_json(model_dir / "config.json")
    config.pop("auto_map", None)
    if not isinstance(config.get("model_type"), str):
        raise damaged(model_dir / "config.json")
    return config


def read_stop_ids(model_dir: Path) -> set[int]:
    """Ids of the tokens that end an answer, from the folder's `generation_config.json`."""
    return listed_ids(read_json(model_dir / "generation_config.json").get("eos_token_id"))
