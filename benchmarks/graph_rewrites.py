"""Measures the gain of the engine's rewrites of a graph, and their cost in precision.

    python -m benchmarks.graph_rewrites [FOLDER]
    python -m benchmarks.graph_rewrites --random Q4_1

Compares the graph as the folder has it with merged products (`engine/graph/merged_products.py`), and with split zero
points too (`engine/graph/zero_points.py`), whether or not that pays. Times are the processor's, of models that take
turns; the divergence is that of the next-token distribution from the one with 32-bit arithmetic, on the shipped
passages. The folder is that of the embedded model's own file by default, or that of a random 1.1B model from a GGUF
file of the given type, whose divergence says nothing.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from gguf import GGMLQuantizationType
from transformers import AutoTokenizer

from benchmarks.conversion import SHAPES
from benchmarks.kv_precision import scores
from benchmarks.paged import open_paged, random_ids
from benchmarks.random_gguf import write_llama
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.evaluation.metrics import TokenScores
from llm_chatbot.evaluation.texts import passages

ROOT = Path(__file__).resolve().parents[1]

# By what is patched in `llm_chatbot.engine.model`: what is left out, and whether zero points are split.
FORMS: dict[str, dict[str, Any]] = {
    "as in the folder": {"merge_products": lambda graph: 0, "splitting_pays": lambda graph, properties: False},
    "products merged": {"splitting_pays": lambda graph, properties: False},
    "and zero points split": {"splitting_pays": lambda graph, properties: True},
}
TOKENS, PAST, ROUNDS = (1, 4, 256), 128, 15


def open_form(folder: Path, patches: dict[str, Any]) -> PagedModel:
    with patch.multiple("llm_chatbot.engine.model", **patches):
        return open_paged(folder, 0.2)


def seconds(models: list[PagedModel], count: int, rounds: int = ROUNDS) -> list[float]:
    """Processor time for `count` more tokens, of each model."""
    caches = [model.new_cache() for model in models]
    for cache in caches:
        cache.feed(random_ids(PAST, seed=0))
    times: list[list[float]] = [[] for _ in models]
    for attempt in range(rounds):
        for cache, own in zip(caches, times, strict=True):
            for seed in (2 * attempt, 2 * attempt + 1):  # the first call after another number of tokens is not counted
                started = time.process_time()
                cache.feed(random_ids(count, seed=seed))
                own.append(time.process_time() - started)
                cache.truncate(PAST)
    for cache in caches:
        cache.reset()
    return [statistics.median(own[1::2]) for own in times]


def speedups(models: list[PagedModel]) -> list[list[float]]:
    """How many times as fast as the first one each model is, for each of `TOKENS`."""
    times = [seconds(models, count) for count in TOKENS]
    return [[own[0] / own[number] for own in times] for number in range(len(models))]


def divergences(folder: Path, models: list[PagedModel]) -> list[TokenScores]:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [tokenizer(text)["input_ids"][:500] for text in passages().values()]
    reference = open_paged(folder, 0.2, **EXACT)
    return [scores(reference, model, texts) for model in models]


def random_folder(work: Path, quantization: str) -> Path:
    write_llama(work / "random.gguf", SHAPES["1.1B"], GGMLQuantizationType[quantization])
    return convert_model(str(work / "random.gguf"), output_root=work)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what rewriting the graph gains.")
    parser.add_argument("folder", type=Path, nargs="?", help="a converted model")
    parser.add_argument("--random", metavar="TYPE", help="measure a random 1.1B model of this type of ggml's instead")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        if arguments.random:
            folder = random_folder(Path(work), arguments.random)
        else:
            folder = arguments.folder or convert_model(DEFAULT_MODEL, output_root=ROOT)
        models = [open_form(folder, patches) for patches in FORMS.values()]
        rows = [[f"{gain:.2f}" for gain in gains] for gains in speedups(models)]
        names = [f"{count} tokens" if count > 1 else "one token" for count in TOKENS]
        if not arguments.random:
            names += ["KL", "same token"]
            for row, found in zip(rows, divergences(folder, models), strict=True):
                row += [f"{found.kl.mean():.4f}", f"{found.same_top.mean():.1%}"]
        print(f"| | {' | '.join(names)} |\n|---|{'---:|' * len(names)}")
        for name, row in zip(FORMS, rows, strict=True):
            print(f"| {name} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
