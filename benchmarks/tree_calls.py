"""What a graph that can verify trees of drafts costs: with trees, with chains, and where nothing is drafted.

    python -m benchmarks.tree_calls [--times 3] [--rounds 12]

OpenVINO's transformation for paged attention adds, if asked, a mask among the new tokens of each sequence: `qq_bias`.
The embedded model, made wider as in `benchmarks/drafts.py`, is compiled with that input and without. Calls with the
same number of tokens after 128 others take turns: without the input, with an empty mask, with that of a chain, and with
that of a tree, whose last token stands beside the one before it. Of each the shortest time counts.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import numpy as np
from openvino import _offline_transformations

from benchmarks.paged import open_unmeasured
from benchmarks.widened import write_widened
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.engine.cache import paged_runner
from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.graph import paged_graph
from llm_chatbot.sources.gguf_files import gguf_path

PAST, ROWS = 128, (1, 2, 4, 6, 8, 256)
QQ_BIAS, QQ_BIAS_BEGINS = "qq_bias", "qq_bias_begins"


def open_with_masks(file: Path) -> PagedModel:
    """The model, with a graph that has masks among the new tokens."""
    transform = _offline_transformations.paged_attention_transformation
    known = paged_graph.KNOWN_INPUTS | {QQ_BIAS, QQ_BIAS_BEGINS}
    with (
        patch.object(
            _offline_transformations,
            "paged_attention_transformation",
            lambda graph: transform(graph, allow_qq_bias=True),
        ),
        patch.object(paged_graph, "KNOWN_INPUTS", known),
    ):
        return open_unmeasured(file, kv_cache_gb=0.5)


def with_mask(inputs: dict[str, np.ndarray], rows: int, form: str) -> dict[str, np.ndarray]:
    """The inputs of a call with one sequence, and its mask."""
    mask = np.tril(np.ones((rows, rows), np.uint8))
    positions = inputs[paged_graph.POSITION_IDS].copy()
    if form == "tree":
        mask[-1, -2] = 0
        positions[-1] -= 1
    flat = mask.ravel() if form in ("chain", "tree") else np.zeros(0, np.uint8)
    return {
        **inputs,
        paged_graph.POSITION_IDS: positions,
        QQ_BIAS: flat,
        QQ_BIAS_BEGINS: np.array([0, flat.size], np.int32),
    }


def caller(model: PagedModel, form: str) -> Callable[[int], float]:
    """Makes a call with a number of tokens after `PAST`, and returns its milliseconds."""
    table = model.new_table()
    table.reserve(PAST + max(ROWS))
    plain = paged_runner.inputs_of
    part = paged_runner.Part

    def run(ids: range, past: int, form: str) -> None:
        blocks = table.indices[: -(-(past + len(ids)) // paged_runner.BLOCK_SIZE)]
        parts = [part(ids, past, blocks, min(len(ids), max(ROWS[:-1])), exact=False)]
        with patch.object(paged_runner, "inputs_of", lambda parts: with_mask(plain(parts), len(ids), form)):
            model.runner.run(parts, model.extra_inputs(1))

    run(range(1000, 1000 + PAST), 0, "empty")

    def call(rows: int) -> float:
        started = time.perf_counter()
        run(range(5000, 5000 + rows), PAST, form)
        return 1000 * (time.perf_counter() - started)

    return call


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=3, help="how many times as wide")
    parser.add_argument("--rounds", type=int, default=12)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write_widened(gguf_path(get_model_config(DEFAULT_MODEL)), file := Path(folder) / "wide.gguf", arguments.times)
        plain, masked = open_unmeasured(file, kv_cache_gb=0.5), open_with_masks(file)
        calls = {"without": caller(plain, "empty")}
        calls |= {form: caller(masked, form) for form in ("empty", "chain", "tree")}
        print("| tokens | without the input, ms | an empty mask | a chain's | a tree's |\n|---:|---:|---:|---:|---:|")
        for rows in ROWS:
            forms = [form for form in calls if rows > 1 or form != "tree"]
            shortest = {form: shortest_of(calls, form, rows, 0) for form in forms}
            for _ in range(1 if rows > max(ROWS[:-1]) else arguments.rounds):
                shortest = {form: shortest_of(calls, form, rows, 2, shortest[form]) for form in forms}
            first = shortest["without"]
            ratios = " | ".join(f"{shortest[form] / first:.2f}" if form in shortest else "" for form in list(calls)[1:])
            print(f"| {rows} | {first:.1f} | {ratios} |", flush=True)


def shortest_of(
    calls: dict[str, Callable[[int], float]], form: str, rows: int, count: int, so_far: float = float("inf")
) -> float:
    """The shortest time of some more calls; the one before them isn't counted."""
    calls[form](rows)
    return min([so_far, *(calls[form](rows) for _ in range(count))])


if __name__ == "__main__":
    main()
