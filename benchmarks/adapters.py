"""Measures what LoRA adapters that each request could choose would cost: low-rank products beside the model's own.

    python -m benchmarks.adapters [--ranks 8 16] [--rounds N]

A random 1.1B model of type Q4_0, without adapters and with some of each rank: on queries and values, or on all seven
matrices of a layer. Their matrices are inputs of the paged graph, so that a call could have others than the one
before; as constants, they could not, and show what is left. Times are those of a call with one token after 128, as
multiples of those without adapters, of two models that take turns at each call.
"""

import argparse
import math
import statistics
import tempfile
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import openvino as ov
import openvino.opset13 as ops
from gguf import GGMLQuantizationType as GGML

from benchmarks.conversion import SHAPES
from benchmarks.paged import random_ids, timed
from benchmarks.random_gguf import write_llama
from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.cache.paged_runner import PagedRunner
from llm_chatbot.engine.graph.logits import output_layer
from llm_chatbot.engine.graph.paged_graph import make_paged
from llm_chatbot.engine.loading import open_model

PAST, CALLS = 128, 20
SHAPE: dict[str, Any] = SHAPES["1.1B"]
WIDTH = SHAPE["hidden_size"]
NARROW = WIDTH * SHAPE["num_key_value_heads"] // SHAPE["num_attention_heads"]


def add_adapters(graph: ov.Model, rank: int, everywhere: bool, as_inputs: bool) -> None:
    """Adds x · Aᵀ · Bᵀ to the products of a paged graph that have adapters."""
    parameters: list[ov.Node] = []

    def matrix(*shape: int) -> ov.Node:
        if not as_inputs:
            return ops.constant(np.full(shape, 1e-3, np.float32))
        parameters.append(ops.parameter(list(shape), np.float32, name=f"adapter.{len(parameters)}"))
        parameters[-1].output(0).set_names({f"adapter.{len(parameters) - 1}"})
        return parameters[-1]

    for node, rows, columns in list(products(graph)):
        names = adapted(rows, columns, everywhere)
        if not names:
            continue
        readers = node.output(0).get_target_inputs()
        down = ops.matmul(node.input_value(0), matrix(names * rank, columns), transpose_a=False, transpose_b=True)
        up = ops.matmul(down, matrix(rows, names * rank), transpose_a=False, transpose_b=True)
        total = ops.add(node, up)
        for reader in readers:
            reader.replace_source_output(total.output(0))
    graph.add_parameters(parameters)
    graph.validate_nodes_and_infer_types()


def products(graph: ov.Model) -> Iterator[tuple[ov.Node, int, int]]:
    """The products of the layers, with the shapes of their weights."""
    last = output_layer(graph).get_friendly_name()
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "MatMul" and node.get_friendly_name() != last:
            shape = node.input_value(1).get_partial_shape()
            if shape.is_static and math.prod(shape.to_shape()) > WIDTH * NARROW // 2:
                yield node, *shape.to_shape()


def adapted(rows: int, columns: int, everywhere: bool) -> int:
    """How many of the adapted matrices a product has: the engine merges queries, keys and values."""
    if (rows, columns) == (WIDTH + 2 * NARROW, WIDTH):
        return 3 if everywhere else 2
    return int(everywhere)


def open_with(file: Path, rank: int, everywhere: bool, as_inputs: bool) -> PagedModel:
    def make(graph: ov.Model, extra_inputs: object) -> None:
        make_paged(graph)
        if rank:
            add_adapters(graph, rank, everywhere, as_inputs)

    def set_adapters(runner: PagedRunner) -> None:
        for port in runner.compiled.inputs:
            if port.any_name.startswith("adapter."):
                tensor = ov.Tensor(ov.Type.f32, port.shape)
                tensor.data[:] = 1e-3
                runner._request.set_tensor(port, tensor)

    original = PagedRunner.__init__

    def initialize(self: PagedRunner, *arguments: object) -> None:
        original(self, *arguments)  # type: ignore[arg-type]
        set_adapters(self)

    with (
        patch("llm_chatbot.engine.model.make_paged", make),
        patch.object(PagedRunner, "__init__", initialize),
        patch.object(PagedModel, "measure_in_pauses"),
    ):
        paged = open_model(file, kv_cache_gb=0.1).paged
    assert paged is not None, "this machine can't run the paged engine"
    return paged


def ratios(models: list[PagedModel], rounds: int) -> list[float]:
    """How many times as long as with the first model calls with one token take with the second, in each round."""
    caches = [model.new_cache() for model in models]
    for cache in caches:
        cache.feed(random_ids(PAST, seed=0))
    found = []
    for seed in range(rounds + 1):
        times: list[list[float]] = [[], []]
        for token in random_ids(CALLS, seed):
            for cache, own in zip(caches, times, strict=True):
                own.append(timed(cache.feed, [token]))
        for cache in caches:
            cache.truncate(PAST)
        plain, adapted = map(statistics.median, times)
        found.append(adapted / plain)
    return found[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[8, 16])
    parser.add_argument("--rounds", type=int, default=5, help="of twenty calls each (default: %(default)s)")
    arguments = parser.parse_args()
    print("| adapters | rank | as | times |\n|---|---:|---|---:|")
    with tempfile.TemporaryDirectory() as work:
        write_llama(file := Path(work) / "random.gguf", SHAPE, GGML.Q4_0)
        plain = open_with(file, 0, False, False)
        for rank, everywhere, as_inputs in product(arguments.ranks, (False, True), (True, False)):
            found = ratios([plain, open_with(file, rank, everywhere, as_inputs)], arguments.rounds)
            what, place = "all seven" if everywhere else "queries and values", "inputs" if as_inputs else "constants"
            print(f"| {what} | {rank} | {place} | {statistics.median(found):.2f} |", flush=True)


if __name__ == "__main__":
    main()
