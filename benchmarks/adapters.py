"""Measures what LoRA adapters that each request may choose cost: low-rank products beside the model's own.

    python -m benchmarks.adapters [--ranks 8 16 …] [--shape 1.1B] [--rounds N]

A random model of type Q4_0, without adapters and with one of each rank: on queries and values, on all of attention, or
on all seven matrices of a layer. All adapters' matrices lie beside each other, so one of rank 64 costs what four of
rank 16 do, whether or not a conversation uses one. Times are those of a call with one token and with 256 after 128, as
multiples of those without adapters, of two models that take turns at each call.
"""

import argparse
import json
import statistics
import tempfile
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from gguf import GGMLQuantizationType as GGML

from benchmarks.conversion import SHAPES
from benchmarks.paged import open_unmeasured, random_ids, timed
from benchmarks.random_gguf import write_llama
from llm_chatbot.adapters.peft import PEFT_WEIGHTS
from llm_chatbot.catalogue.adapter_names import ADAPTER_CONFIG, AdapterSource
from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.sources.safetensors_format import TensorToWrite, write_safetensors

PAST = 128
CALLS = {1: 20, 256: 2}  # of a round, by their tokens
ATTENTION, MLP = ("q", "k", "v", "o"), ("gate", "up", "down")
TARGETS = {"queries and values": ("q", "v"), "all of attention": ATTENTION, "all seven": (*ATTENTION, *MLP)}


def write_adapter(folder: Path, shape: dict[str, Any], targets: tuple[str, ...], rank: int) -> AdapterSource:
    """A random adapter in PEFT's form for a Llama of a shape."""
    width, inner = shape["hidden_size"], shape["intermediate_size"]
    narrow = width * shape["num_key_value_heads"] // shape["num_attention_heads"]
    sizes = {"k": (narrow, width), "v": (narrow, width), "down": (width, inner)}
    sizes |= dict.fromkeys(("q", "o"), (width, width)) | dict.fromkeys(("gate", "up"), (inner, width))
    tensors = {}
    for layer, target in product(range(shape["num_hidden_layers"]), targets):
        place = f"base_model.model.model.layers.{layer}.{'mlp' if target in MLP else 'self_attn'}.{target}_proj"
        rows, columns = sizes[target]
        for part, size in (("A", (rank, columns)), ("B", (rows, rank))):
            tensors[f"{place}.lora_{part}.weight"] = TensorToWrite("F32", size, partial(random, size))
    folder.mkdir()
    write_safetensors(folder / PEFT_WEIGHTS, tensors)
    settings = {"peft_type": "LORA", "r": rank, "lora_alpha": rank}
    (folder / ADAPTER_CONFIG).write_text(json.dumps(settings), encoding="utf-8")
    return AdapterSource(folder)


def random(shape: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 1e-3, shape).astype(np.float32)


def ratios(plain: PagedModel, adapted: PagedModel, rounds: int) -> dict[int, float]:
    """How many times as long calls take with an adapter, by their number of tokens: medians over the rounds."""
    caches = [plain.new_cache(), adapted.new_cache()]
    caches[1].use_adapters([1.0])
    for cache in caches:
        cache.feed(random_ids(PAST, seed=0))
    found: dict[int, list[float]] = {count: [] for count in CALLS}
    for seed, (count, calls) in product(range(rounds + 1), CALLS.items()):
        times: list[list[float]] = [[], []]
        for call in range(calls):
            ids = random_ids(count, seed=1000 * seed + call)
            for cache, own in zip(caches, times, strict=True):
                own.append(timed(cache.feed, ids))
        for cache in caches:
            cache.truncate(PAST)
        before, after = map(statistics.median, times)
        found[count].append(after / before)
    return {count: statistics.median(each[1:]) for count, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", type=int, nargs="+", default=[8, 16, 64])
    parser.add_argument("--shape", choices=SHAPES, default="1.1B")
    parser.add_argument("--rounds", type=int, default=5, help="of twenty calls each (default: %(default)s)")
    arguments = parser.parse_args()
    shape: dict[str, Any] = SHAPES[arguments.shape]
    print("| adapters on | ranks | a token | 256 tokens |\n|---|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as work:
        write_llama(file := Path(work) / "random.gguf", shape, GGML.Q4_0)
        plain = open_unmeasured(file, kv_cache_gb=0.1)
        for (name, targets), rank in product(TARGETS.items(), arguments.ranks):
            adapter = write_adapter(Path(work) / f"{name} {rank}", shape, targets, rank)
            options: dict[str, Any] = {"kv_cache_gb": 0.1, "adapters": [adapter]}
            found = ratios(plain, open_unmeasured(file, **options), arguments.rounds)
            print(f"| {name} | {rank} | {found[1]:.2f} | {found[256]:.2f} |", flush=True)


if __name__ == "__main__":
    main()
