"""Measures what drafts from a model's own hidden states (EAGLE-3, Li et al. 2025, arXiv:2503.01840) would cost.

    python -m benchmarks.hidden_states [--rounds N]

Such a head reads the hidden states of three layers of each token, and drafts with one layer of its own. The model is a
random one of 1.1B weights of type Q4_0. Its paged graph is compiled with its logits alone and with three further
outputs; the two take turns. The head is stood for by a random model of one layer with as many weights.
"""

import argparse
import statistics
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov
from gguf import GGMLQuantizationType as GGML

from benchmarks.conversion import SHAPES
from benchmarks.paged import open_unmeasured, random_ids, timed
from benchmarks.random_gguf import write_llama
from llm_chatbot.engine.cache.paged_runner import BLOCK_SIZE, PAGED_PROPERTIES, Part, cache_ports, inputs_of
from llm_chatbot.engine.gguf_file import GGUFFile
from llm_chatbot.engine.graph.logits import UNPACKING, skip
from llm_chatbot.engine.graph.merged_products import merge_products
from llm_chatbot.engine.graph.paged_graph import make_paged

SHAPE: dict[str, Any] = SHAPES["1.1B"]
PAST, CALLS, TOKENS = 128, 20, (1, 4, 256)


def head_shape() -> dict[str, Any]:
    """One layer that has the weights of a head's too: `fc` of three hidden states, and inputs of twice the width."""
    width = SHAPE["hidden_size"]
    narrow = width * SHAPE["num_key_value_heads"] // SHAPE["num_attention_heads"]
    beside = 3 * width * width + width * (width + 2 * narrow)
    inner = SHAPE["intermediate_size"] + beside // (3 * width * 32) * 32  # a block has 32 weights
    return {**SHAPE, "num_hidden_layers": 1, "intermediate_size": inner}


def layer_outputs(graph: ov.Model) -> list[ov.Output]:
    """What three layers add up to: an early one, the middle one and a late one, as EAGLE-3 takes them."""
    layers, found = SHAPE["num_hidden_layers"], {}
    for node in graph.get_ordered_ops():
        if node.get_type_name() == "MatMul":
            weight = skip(node.input_value(1).node, *UNPACKING).get_friendly_name()
            if weight.endswith("ffn_down.weight"):
                (reader,) = node.output(0).get_target_inputs()
                found[int(weight.split(".")[1])] = reader.get_node().output(0)
    return [found[layer] for layer in (2, layers // 2, layers - 3)]


class Request:
    """A compiled paged graph with one sequence.

    Args:
        further: whether it gives the layers' hidden states too.
    """

    def __init__(self, file: Path, further: bool) -> None:
        graph, self._weights = GGUFFile(file).map_graph()
        outputs = layer_outputs(graph) if further else []
        merge_products(graph)
        make_paged(graph)
        graph.add_results([ov.opset13.result(output) for output in outputs])
        compiled = ov.Core().compile_model(graph, "CPU", PAGED_PROPERTIES)
        self._names = {port.any_name for port in compiled.inputs}
        self._request = compiled.create_infer_request()
        for port in cache_ports(compiled):
            shape = [PAST, *(size.get_length() for size in list(port.partial_shape)[1:])]
            self._request.set_tensor(port, ov.Tensor(port.element_type, ov.Shape(shape)))

    def read(self, ids: list[int], past: int) -> None:
        blocks = range(-(-(past + len(ids)) // BLOCK_SIZE))
        for name, array in inputs_of([Part(ids, past, blocks, 1)]).items():
            if name in self._names:
                self._request.set_tensor(name, ov.Tensor(array))
        self._request.infer()
        for output in range(len(self._request.output_tensors)):
            np.array(self._request.get_output_tensor(output).data)  # a draft needs a copy


def price_of_outputs(file: Path, rounds: int) -> dict[int, float]:
    """How many times as long calls take with the further outputs, by their number of tokens."""
    requests = [Request(file, further) for further in (False, True)]
    for request in requests:
        request.read(random_ids(PAST, seed=0), 0)
    found: dict[int, float] = {}
    for count in TOKENS:
        ratios = []
        for seed in range(rounds + 1):
            ids = random_ids(count, seed)
            times: list[list[float]] = [[], []]
            for _ in range(CALLS if count < 100 else 2):
                for request, own in zip(requests, times, strict=True):
                    own.append(timed(request.read, ids, PAST))
            before, after = map(statistics.median, times)
            ratios.append(after / before)
        found[count] = statistics.median(ratios[1:])
    return found


def share_of_head(file: Path, head: Path, rounds: int) -> float:
    """The time of the head's call with one token, as a share of the model's."""
    caches = [open_unmeasured(path, kv_cache_gb=0.1).new_cache() for path in (file, head)]
    for cache in caches:
        cache.feed(random_ids(PAST, seed=0))
    shares = []
    for seed in range(rounds + 1):
        times: list[list[float]] = [[], []]
        for token in random_ids(CALLS, seed):
            for cache, own in zip(caches, times, strict=True):
                own.append(timed(cache.feed, [token]))
        for cache in caches:
            cache.truncate(PAST)
        whole, part = map(statistics.median, times)
        shares.append(part / whole)
    return statistics.median(shares[1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="of twenty calls each (default: %(default)s)")
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as work:
        file, head = Path(work) / "model.gguf", Path(work) / "head.gguf"
        write_llama(file, SHAPE, GGML.Q4_0)
        write_llama(head, head_shape(), GGML.Q4_0)
        for count, ratio in price_of_outputs(file, rounds).items():
            print(f"{count} tokens with three further outputs: {ratio:.2f} times as long", flush=True)
        share = share_of_head(file, head, rounds)
        print(f"a call of the head: {share:.2f} of a token")


if __name__ == "__main__":
    main()
