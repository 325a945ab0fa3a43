"""Compiles a model, and creates a KV cache for each conversation."""

import logging
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from functools import cached_property
from typing import Any

import openvino as ov

from llm_chatbot.adapters.low_rank import Adapter
from llm_chatbot.engine.cache.disk_blocks import DiskBlocks, Layout, blocks_folder
from llm_chatbot.engine.cache.kv_cache import KVCache
from llm_chatbot.engine.cache.opening import open_paged_model
from llm_chatbot.engine.cache.output_layers import OutputLayers
from llm_chatbot.engine.cache.pace import Pace
from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.cache.paged_runner import BLOCK_SIZE, PAGED_PROPERTIES, block_bytes
from llm_chatbot.engine.compile_cache import compile_with_cache
from llm_chatbot.engine.decode.prompt_lookup import LookupCache
from llm_chatbot.engine.devices import device_properties
from llm_chatbot.engine.files import ModelFiles, Weights
from llm_chatbot.engine.fingerprint import fingerprint
from llm_chatbot.engine.graph.adapters import adapted_products, adapters_digest, attach_adapters
from llm_chatbot.engine.graph.arithmetic import faster_arithmetic
from llm_chatbot.engine.graph.group_sizes import split_groups
from llm_chatbot.engine.graph.logits import add_logits_to_keep, check_growing
from llm_chatbot.engine.graph.merged_products import merge_products
from llm_chatbot.engine.graph.paged_graph import PagedAttentionUnavailableError, make_paged
from llm_chatbot.engine.graph.picture_rows import add_picture_rows
from llm_chatbot.engine.graph.two_step_output import separate_output_layer, two_steps_may_pay
from llm_chatbot.engine.graph.zero_points import split_zero_points, splitting_pays
from llm_chatbot.engine.vision.reader import ImageReader
from llm_chatbot.errors import UserError

logger = logging.getLogger(__name__)


class ChatModel:
    """A model on a device. Architectures that need special treatment have subclasses; see `llm_chatbot.engine.loading`.

    If OpenVINO can rewrite the graph for paged attention, conversations share a pool of blocks. Otherwise each has the
    state of its own infer request.

    Args:
        files: what it is opened from.
        device: one of OpenVINO's devices, or "AUTO".
        properties: runtime properties; they override those set here.
        kv_cache_gb: memory for the keys and values of all conversations, in GB; None chooses by the free memory.
        paged: False always uses the state of infer requests.
        cache_on_disk: whether the pool is kept in the user's cache; see `llm_chatbot.engine.cache.disk_blocks`.
        adapters: those that conversations may use.

    Attributes:
        max_idle_caches: without a pool, how many idle conversations keep their KV cache. Beyond that, the least
            recently used one is released, and its tokens are read again when it continues.
        can_exceed_context: whether the architecture still computes correctly beyond its context length.
        stop_ids: ids of the tokens that end an answer.
        weights_file: where the weights are.
        pace: how many tokens of a prompt to read at once.
        paged: what all conversations share; None if each has an infer request of its own.
        draft: a model that drafts for this one; None: there is none.
        images: prepares pictures for it; None: it reads none, or not on this device.
    """

    max_idle_caches = 8
    can_exceed_context = True

    def __init__(
        self,
        files: ModelFiles,
        device: str,
        properties: dict[str, Any],
        kv_cache_gb: float | None = None,
        paged: bool = True,
        cache_on_disk: bool = False,
        adapters: Sequence[Adapter] = (),
    ) -> None:
        self.config = files.config
        self.weights_file = files.weights_file
        self.pace = Pace()
        self.draft: ChatModel | None = None
        self._files, self._device = files, device
        self._properties = {**device_properties(device, files.gpu_precision), **properties}
        self.images: ImageReader | None = None
        self._compiling = threading.Lock()
        self._idle: dict[int, KVCache] = {}
        self._idle_lock = threading.Lock()
        with ThreadPoolExecutor(1) as beside:
            stop_ids = beside.submit(lambda: files.stop_ids)  # a GGUF file's tokenizer is built for them
            self.paged = self._open_paged(kv_cache_gb, cache_on_disk, adapters) if paged else None
            if adapters and not paged:
                raise self._no_pool("it was opened so")
            if self.paged is None:
                self.compiled  # noqa: B018, fails now if the device can't run the model
            self.stop_ids = stop_ids.result()
        if self.paged is not None and files.images is not None:
            self.images = files.images
            self.images.use(self._properties)

    def _open_paged(
        self, kv_cache_gb: float | None, cache_on_disk: bool, adapters: Sequence[Adapter]
    ) -> PagedModel | None:
        try:
            if self._device.upper() != "CPU":
                raise PagedAttentionUnavailableError("it was tested on CPU only")
            graph, weights = self._files.map_graph()
            with weights.released_meanwhile():
                compiled, output, facts = self._compile_paged(graph, weights, adapters)
                limits = (self.trained_context, self.max_length, kv_cache_gb)
                paged = open_paged_model(compiled, *limits, self.extra_inputs, weights, self.pace, output)
            if cache_on_disk and not paged.is_hybrid:
                self._keep_on_disk(paged, compiled, facts)
            return paged
        except PagedAttentionUnavailableError as error:
            if adapters:
                raise self._no_pool(str(error)) from error
            logger.warning("Conversations don't share a KV cache, because %s.", error)
            return None

    def _no_pool(self, reason: str) -> UserError:
        """Says what to do about adapters."""
        if self._device.upper() != "CPU":
            return UserError("adapter.needs_cpu", device=self._device)
        return UserError("adapter.needs_pool", model=self._files.path, reason=reason)

    def _keep_on_disk(self, paged: PagedModel, compiled: ov.CompiledModel, facts: Mapping[str, Any]) -> None:
        try:
            model = fingerprint(self._files.graph_files, compiled, facts)
            paged.keep_on_disk(DiskBlocks(blocks_folder(), Layout(model, block_bytes(compiled), BLOCK_SIZE)))
        except OSError as error:
            logger.warning("What is read is not kept on the disk: %s.", error)

    def _compile_paged(
        self, graph: ov.Model, weights: Weights, adapters: Sequence[Adapter]
    ) -> tuple[ov.CompiledModel, OutputLayers | None, dict[str, Any]]:
        """The compiled graph, its output layer if that is not in it, and what was decided for it."""
        split_groups(graph, self._files.path)
        self.add_inputs(graph)
        if self._files.images is not None:
            add_picture_rows(graph)
        # Without a compile cache: OpenVINO can't load a cached paged graph.
        properties = self._with_arithmetic(graph, {**PAGED_PROPERTIES, **self._properties})
        adapted = adapted_products(graph, adapters, self._files.path)
        is_split = splitting_pays(graph, properties)
        merge_products(graph)
        if is_split:
            split_zero_points(graph)
        if adapters:
            attach_adapters(graph, adapted, len(adapters))
        make_paged(graph, self.extra_inputs(1).keys())
        output = None
        if two_steps_may_pay(graph, properties):
            output = OutputLayers(separate_output_layer(graph), properties, weights)
        facts = {"properties": sorted(properties.items()), "zero points are split": is_split}
        if adapters:
            facts["adapters"] = adapters_digest(adapters)
        return ov.Core().compile_model(graph, self._device, properties), output, facts

    def _with_arithmetic(self, graph: ov.Model, properties: dict[str, Any]) -> dict[str, Any]:
        is_cpu = self._device.upper() == "CPU"
        return {**properties, **faster_arithmetic(graph, properties)} if is_cpu else properties

    def read_graph(self) -> ov.Model:
        """The stateful graph, with groups of weights that this device multiplies rightly.

        Raises:
            UserError: its state is not a KV cache, or it has groups that a CPU multiplies wrongly in any form.
        """
        graph = self._files.read_graph()
        check_growing(graph, self._files.path)
        if not self._device.upper().startswith(("GPU", "NPU")):
            split_groups(graph, self._files.path)
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
        properties = self._with_arithmetic(self.graph, self._properties)
        return compile_with_cache(self.graph, self._device, properties, self._files.compile_cache())

    @property
    def context_length(self) -> int | None:
        """The length in tokens, prompt and answer together, that a conversation can have; None if no limit is known."""
        if self.paged is None:
            return self.trained_context
        return min(self.trained_context or self.paged.max_length, self.paged.max_length)

    @property
    def trained_context(self) -> int | None:
        """The context length in tokens that the model was trained for; None if the configuration has none."""
        return trained_context(self.config)

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
        if self.paged is None:
            return self.new_stateful_cache()
        return self.paged.new_lookup_cache(None if self.draft is None else self.draft.paged)

    def new_stateful_cache(self) -> KVCache:
        """An empty KV cache that is the state of an infer request of its own."""
        return KVCache(self.compiled, self.sequence_axes, self.max_length, self.pace)

    @contextmanager
    def in_use(self, cache: Any) -> Iterator[None]:
        """Protects a cache from being released meanwhile, and then marks it as the most recently used."""
        if self.paged is not None:  # the pool tracks use itself
            with self.paged.in_use(), nullcontext() if self.draft is None else self.draft.in_use(cache):
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


def trained_context(config: Mapping[str, Any]) -> int | None:
    """The context length in tokens that a configuration names; None if it names none."""
    config = {**config, **config.get("text_config", {})}
    names = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length")
    return next((config[name] for name in names if isinstance(config.get(name), int)), None)
