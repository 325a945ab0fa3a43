"""Compiles the model in a converted folder, and creates a KV cache for each conversation."""

import hashlib
import logging
import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import openvino as ov

from llm_chatbot.engine.cache.kv_cache import KVCache
from llm_chatbot.engine.cache.pace import Pace
from llm_chatbot.engine.cache.paged_cache import PagedModel, open_paged_model
from llm_chatbot.engine.cache.paged_runner import PAGED_PROPERTIES
from llm_chatbot.engine.decode.prompt_lookup import LookupCache
from llm_chatbot.engine.devices import device_properties
from llm_chatbot.engine.graph.group_sizes import split_groups
from llm_chatbot.engine.graph.logits import add_logits_to_keep, check_state
from llm_chatbot.engine.graph.mapped_weights import MappedWeights
from llm_chatbot.engine.graph.merged_products import merge_products
from llm_chatbot.engine.graph.paged_graph import PagedAttentionUnavailableError, make_paged
from llm_chatbot.engine.graph.zero_points import split_zero_points, splitting_pays
from llm_chatbot.folder.json_files import damaged, read_json
from llm_chatbot.folder.manifest import MODEL_BIN, MODEL_CACHE, MODEL_XML

logger = logging.getLogger(__name__)


class ChatModel:
    """A model on a device. Architectures that need special treatment have subclasses; see `llm_chatbot.engine.loading`.

    If OpenVINO can rewrite the graph for paged attention, conversations share a pool of blocks. Otherwise each has the
    state of its own infer request.

    Args:
        model_dir: a converted folder.
        config: its `config.json`; see `read_config`.
        device: one of OpenVINO's devices, or "AUTO".
        properties: runtime properties; they override those set here.
        kv_cache_gb: memory for the keys and values of all conversations, in GB; None chooses by the free memory.
        paged: False always uses the state of infer requests.

    Attributes:
        max_idle_caches: without a pool, how many idle conversations keep their KV cache. Beyond that, the least
            recently used one is released, and its tokens are read again when it continues.
        can_exceed_context: whether the architecture still computes correctly beyond its context length.
        stop_ids: ids of the tokens that end an answer.
        pace: how many tokens of a prompt to read at once.
        paged: what all conversations share; None if each has an infer request of its own.
    """

    max_idle_caches = 8
    can_exceed_context = True

    def __init__(
        self,
        model_dir: Path,
        config: dict[str, Any],
        device: str,
        properties: dict[str, Any],
        kv_cache_gb: float | None = None,
        paged: bool = True,
    ) -> None:
        self.config = config
        self.stop_ids = read_stop_ids(model_dir)
        self.pace = Pace()
        self._model_dir, self._device = model_dir, device
        self._properties = {**device_properties(model_dir, device), **properties}
        self._compiling = threading.Lock()
        self._idle: dict[int, KVCache] = {}
        self._idle_lock = threading.Lock()
        self.paged = self._open_paged(kv_cache_gb) if paged else None
        if self.paged is None:
            self.compiled  # noqa: B018, fails now if the device can't run the model

    def _open_paged(self, kv_cache_gb: float | None) -> PagedModel | None:
        try:
            if self._device.upper() != "CPU":
                raise PagedAttentionUnavailableError("it was tested on CPU only")
            weights = MappedWeights(self._model_dir / MODEL_BIN)
            with weights.released_meanwhile():
                compiled = self._compile_paged(weights)
                limits = (self.trained_context, self.max_length, kv_cache_gb)
                # The first call, which times calls, packs the weights.
                return open_paged_model(compiled, *limits, self.extra_inputs, weights, self.pace)
        except PagedAttentionUnavailableError as error:
            logger.warning("Conversations don't share a KV cache, because %s.", error)
            return None

    def _compile_paged(self, weights: MappedWeights) -> ov.CompiledModel:
        graph = weights.read_graph(self._model_dir / MODEL_XML)
        check_state(graph, self._model_dir)
        split_groups(graph, self._model_dir)
        self.add_inputs(graph)
        # Without a compile cache: OpenVINO can't load a cached paged graph.
        properties = {**PAGED_PROPERTIES, **self._properties}
        is_split = splitting_pays(graph, properties)
        merge_products(graph)
        if is_split:
            split_zero_points(graph)
        make_paged(graph, self.extra_inputs(1).keys())
        return ov.Core().compile_model(graph, self._device, properties)

    def read_graph(self) -> ov.Model:
        """The folder's graph as it is on disk, with groups of weights that this device multiplies rightly.

        Raises:
            UserError: its state is not a KV cache, or it has groups that a CPU multiplies wrongly in any form.
        """
        graph = ov.Core().read_model(self._model_dir / MODEL_XML)
        check_state(graph, self._model_dir)
        if not self._device.upper().startswith(("GPU", "NPU")):
            split_groups(graph, self._model_dir)
        return graph

    def add_inputs(self, graph: ov.Model) -> None:
        """Adds the extra inputs that the architecture needs to a graph."""

    def extra_inputs(self, prompt_length: int) -> dict[str, float]:
        """The values of these inputs for a prompt of `prompt_length` tokens."""
        return {}

    @cached_property
    def graph(self) -> ov.Model:
        """The stateful graph with all extra inputs."""
        graph = self.read_graph()
        add_logits_to_keep(graph)
        self.add_inputs(graph)
        return graph

    @property
    def compiled(self) -> ov.CompiledModel:
        """The stateful graph on the device, compiled on first use: with paged attention it may not be needed."""
        with self._compiling:
            return self._compiled_graph

    @cached_property
    def _compiled_graph(self) -> ov.CompiledModel:
        return compile_with_cache(self.graph, self._device, self._properties, compile_cache(self._model_dir))

    @property
    def context_length(self) -> int | None:
        """The length in tokens, prompt and answer together, that a conversation can have; None if no limit is known."""
        if self.paged is None:
            return self.trained_context
        return min(self.trained_context or self.paged.max_length, self.paged.max_length)

    @property
    def trained_context(self) -> int | None:
        """The context length in tokens that the model was trained for; None if the configuration has none."""
        names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
        return next((self.config[name] for name in names if isinstance(self.config.get(name), int)), None)

    @property
    def max_length(self) -> int | None:
        """The maximum length of a sequence, in tokens; None for no limit."""
        return None if self.can_exceed_context else self.trained_context

    @cached_property
    def sequence_axes(self) -> dict[str, int]:
        """The axis of each state that grows with the sequence, by the state's name."""
        return {variable.info.variable_id: self.sequence_axis(variable) for variable in self.graph.get_variables()}

    def sequence_axis(self, variable: ov.op.util.Variable) -> int:
        """The axis of a state that grows with the sequence: the dynamic one that is not the batch."""
        return next(axis for axis, size in enumerate(variable.info.data_shape) if axis > 0 and size.is_dynamic)

    def new_cache(self) -> LookupCache | KVCache:
        """An empty KV cache for a conversation."""
        return self.new_stateful_cache() if self.paged is None else self.paged.new_lookup_cache()

    def new_stateful_cache(self) -> KVCache:
        """An empty KV cache that is the state of an infer request of its own."""
        return KVCache(self.compiled, self.sequence_axes, self.max_length, self.pace)

    @contextmanager
    def in_use(self, cache: Any) -> Iterator[None]:
        """Protects a cache from being released meanwhile, and then marks it as the most recently used."""
        if self.paged is not None:  # the pool tracks use itself
            with self.paged.in_use():
                yield
            return
        with self._idle_lock:
            self._idle.pop(id(cache), None)
        try:
            yield
        finally:
            with self._idle_lock:
                self._idle[id(cache)] = cache
                while len(self._idle) > self.max_idle_caches:
                    self._idle.pop(next(iter(self._idle))).release()


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
    eos = read_json(model_dir / "generation_config.json").get("eos_token_id")
    ids = eos if isinstance(eos, list) else [eos]
    return {id for id in ids if isinstance(id, int)}


def compile_cache(model_dir: Path) -> dict[str, str]:
    """The runtime property for the folder of compiled models; empty if the folder can't be written to.

    The name is a hash of the size and time of the model's files. Folders for earlier versions of them are removed.
    """
    files = [model_dir / MODEL_XML, model_dir / MODEL_BIN]
    facts = [(path.stat().st_size, path.stat().st_mtime_ns) for path in files]
    root = model_dir / MODEL_CACHE
    current = root / hashlib.sha256(repr(facts).encode()).hexdigest()[:16]
    try:
        current.mkdir(parents=True, exist_ok=True)
        for other in set(root.iterdir()) - {current}:
            shutil.rmtree(other, ignore_errors=True)
    except OSError:
        return {}
    return {"CACHE_DIR": str(current)} if os.access(current, os.W_OK) else {}


def compile_with_cache(
    graph: ov.Model, device: str, properties: dict[str, Any], cache: dict[str, str]
) -> ov.CompiledModel:
    """Compiles a graph or loads it from the compile cache. If that fails, clears the cache and compiles again."""
    core, properties = ov.Core(), {**cache, **properties}
    try:
        return core.compile_model(graph, device, properties)
    except RuntimeError:
        if not cache:
            raise
        shutil.rmtree(cache["CACHE_DIR"], ignore_errors=True)
        return core.compile_model(graph, device, properties)
