"""What the engine's rewrites of a graph gain, and what they cost in precision.

    python benchmarks/graph_rewrites.py [FOLDER]

Compares the graph as the folder has it with merged products (`engine.merged_products`), and with split zero points too
(`engine.zero_points`), whether or not that pays. Times are the processor's, of models that take turns; the divergence
is that of the next-token distribution from the one with 32-bit arithmetic, on the shipped passages. The folder is the
embedded model in INT4 by default.
"""

import argparse
import statistics
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from benchmarks.kv_precision import scores
from benchmarks.paged import open_paged, random_ids
from config import DEFAULT_MODEL
from converter import convert_model
from engine.paged_cache import PagedModel
from evaluation.comparison import EXACT
from evaluation.texts import passages

from transformers import AutoTokenizer

# By what is patched in `engine.model`: what is left out, and whether zero points are split.
FORMS: dict[str, dict[str, Any]] = {
    "as in the folder": {"merge_products": lambda graph: 0, "splitting_pays": lambda graph, properties: False},
    "products merged": {"splitting_pays": lambda graph, properties: False},
    "and zero points split": {"splitting_pays": lambda graph, properties: True},
}
TOKENS, PAST, ROUNDS = (1, 4, 256), 128, 15


def open_form(folder: Path, patches: dict[str, Any]) -> PagedModel:
    with patch.multiple("engine.model", **patches):
        return open_paged(folder, 0.2)


def seconds(models: list[PagedModel], count: int) -> list[float]:
    """Processor time for `count` more tokens, of each model."""
    caches = [model.new_cache() for model in models]
    for cache in caches:
        cache.feed(random_ids(PAST, seed=0))
    times: list[list[float]] = [[] for _ in models]
    for attempt in range(ROUNDS):
        for cache, own in zip(caches, times, strict=True):
            for seed in (2 * attempt, 2 * attempt + 1):  # the first call after another number of tokens is not counted
                started = time.process_time()
                cache.feed(random_ids(count, seed=seed))
                own.append(time.process_time() - started)
                cache.truncate(PAST)
    for cache in caches:
        cache.reset()
    return [statistics.median(own[1::2]) for own in times]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what rewriting the graph gains.")
    parser.add_argument("folder", type=Path, nargs="?", help="a converted model")
    folder = parser.parse_args().folder or convert_model(DEFAULT_MODEL, "INT4", ROOT)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [tokenizer(text)["input_ids"][:500] for text in passages().values()]
    models = [open_form(folder, patches) for patches in FORMS.values()]
    reference = open_paged(folder, 0.2, **EXACT)
    times = [seconds(models, count) for count in TOKENS]
    columns = " | ".join(f"{count} tokens" if count > 1 else "one token" for count in TOKENS)
    print(f"| | {columns} | KL | same token |\n|---|{'---:|' * (len(TOKENS) + 2)}")
    for number, (name, model) in enumerate(zip(FORMS, models, strict=True)):
        speedups = " | ".join(f"{own[0] / own[number]:.2f}" for own in times)
        found = scores(reference, model, texts)
        print(f"| {name} | {speedups} | {found.kl.mean():.4f} | {found.same_top.mean():.1%} |", flush=True)


if __name__ == "__main__":
    main()
