"""Runs the output layer of a paged graph that ends in hidden states: exactly, or in two steps for a single position."""

import logging
import math
import tempfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import openvino as ov

from llm_chatbot.decoder.memory import FileMemory
from llm_chatbot.engine.files import Weights
from llm_chatbot.engine.graph.arithmetic import GROUP_SIZE, LARGEST_GROUP, PRECISION
from llm_chatbot.engine.graph.trial import shortest_times, tried_once
from llm_chatbot.engine.graph.two_step_output import in_two_steps
from llm_chatbot.machine.cache import cache_folder

logger = logging.getLogger(__name__)

MIN_OUTPUT_SPEEDUP = 1.2  # of two steps, whose weights take memory


class OutputLayers:
    """Maps hidden states to logits.

    Args:
        graph: see `llm_chatbot.engine.graph.two_step_output.separate_output_layer`.
        properties: those that the model is compiled with.
        weights: what the graph reads its constants from.

    Attributes:
        vocabulary: the number of logits of a position.
    """

    def __init__(self, graph: ov.Model, properties: Mapping[str, Any], weights: Weights) -> None:
        self._graph, self._properties, self._weights = graph, dict(properties), weights
        compiled = ov.Core().compile_model(graph, "CPU", self._properties)
        self.vocabulary: int = compiled.output().partial_shape[-1].get_length()
        self._size: int = compiled.input().partial_shape[-1].get_length()
        self._exact = compiled.create_infer_request()
        self._two_step: ov.InferRequest | None = None
        self._memory: FileMemory | None = None

    def logits(self, states: ov.Tensor, exact: bool) -> np.ndarray:
        """The logits [L, 1, vocabulary] for hidden states [L, 1, hidden], valid until the next call.

        Args:
            exact: False: of a single position, only the best tokens' logits need to be.
        """
        is_single = not exact and states.shape[0] == 1
        request = self._two_step if is_single and self._two_step is not None else self._exact
        request.set_input_tensor(states)
        request.start_async()
        request.wait()
        return request.get_output_tensor().data

    def prepare(self, check: Callable[[], None], alone: Callable[[Callable[[], bool]], bool]) -> None:
        """Builds the layer in two steps, and keeps it if it is faster on this machine, which is measured once.

        Args:
            check: is called now and then, and may raise an exception that ends this.
            alone: calls a function while the runtime does nothing else.
        """
        if self._two_step is not None:
            return
        built: list[tuple[ov.CompiledModel, FileMemory]] = []

        def measure() -> bool:
            built.append(self._in_two_steps(check))
            return alone(lambda: self._is_faster(built[0][0]))

        try:
            if tried_once(f"two-step output, {self.vocabulary} × {self._size}", self._properties, measure):
                compiled, self._memory = built[0] if built else self._in_two_steps(check)
                self._two_step = compiled.create_infer_request()
        except (OSError, RuntimeError) as error:
            logger.warning("The output layer stays in one step: %s", error)

    def _in_two_steps(self, check: Callable[[], None]) -> tuple[ov.CompiledModel, FileMemory]:
        """The layer in two steps, and its 4-bit weights, which are in a file that ends with them."""
        cache_folder().mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=cache_folder()) as file:
            memory = FileMemory(file)
            with self._weights.released_meanwhile(), memory.released_meanwhile():
                graph = in_two_steps(self._graph, memory, check)
                group = str(math.gcd(LARGEST_GROUP, self._size))
                properties = {**self._properties, PRECISION: "f32", GROUP_SIZE: group}
                compiled = ov.Core().compile_model(graph, "CPU", properties)
                compiled([np.zeros((1, 1, self._size), np.float32)])  # the runtime packs the weights in its first call
        return compiled, memory

    def _is_faster(self, compiled: ov.CompiledModel) -> bool:
        exact, two_step = shortest_times([self._exact.get_compiled_model(), compiled], 1, self._size)
        return exact > MIN_OUTPUT_SPEEDUP * two_step
