"""Measures the cost of the precision of keys and values: divergence, speed and memory.

    python -m benchmarks.kv_precision [FOLDER]

The divergence is that of the next-token distribution from the one with 32-bit arithmetic and a 32-bit cache, on the
shipped passages; the folder is that of the embedded model's own file by default.
"""

import argparse
import statistics
from pathlib import Path

import numpy as np
from transformers import AutoTokenizer

from benchmarks.paged import in_chunks, open_paged, random_ids, timed
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.cache.paged_runner import BLOCK_SIZE, PagedRunner, block_bytes
from llm_chatbot.engine.decode.sampling import log_softmax
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.evaluation.metrics import TokenScores, concatenate, score_tokens
from llm_chatbot.evaluation.texts import passages

ROOT = Path(__file__).resolve().parents[1]

PRECISIONS = ("f16", "u8")
PASTS, STEPS, ROUNDS = (128, 1000, 4000), 12, 5


def predictions(model: PagedModel, ids: list[int]) -> np.ndarray:
    """Log-probabilities after each token, float32 [tokens, vocabulary]."""
    cache = model.new_cache()
    parts = [log_softmax(cache.feed_all(ids[at : at + BLOCK_SIZE])) for at in range(0, len(ids), BLOCK_SIZE)]
    cache.reset()
    return np.concatenate(parts)


def scores(reference: PagedModel, model: PagedModel, texts: list[list[int]]) -> TokenScores:
    return concatenate(
        [score_tokens(predictions(reference, ids)[:-1], predictions(model, ids)[:-1], ids[1:]) for ids in texts]
    )


def seconds_per_token(models: list[PagedModel], past: int) -> list[float]:
    """Seconds for a token after `past` others; the models take turns."""
    caches = [model.new_cache() for model in models]
    for cache in caches:
        in_chunks(cache.feed, random_ids(past, seed=past))
    times: list[list[float]] = [[] for _ in models]
    for _ in range(ROUNDS):
        for cache, own in zip(caches, times, strict=True):
            own += [timed(cache.feed, [7]) for _ in range(STEPS)][1:]
    for cache in caches:
        cache.reset()
    return [statistics.median(own) for own in times]


def bytes_per_token(model: PagedModel) -> float:
    assert isinstance(model.runner, PagedRunner)
    return block_bytes(model.runner.compiled) / BLOCK_SIZE


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare precisions of the KV cache.")
    parser.add_argument("folder", type=Path, nargs="?", help="a converted model")
    folder = parser.parse_args().folder or convert_model(DEFAULT_MODEL, output_root=ROOT)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [tokenizer(text)["input_ids"][:500] for text in passages().values()]
    reference = open_paged(folder, 0.2, **EXACT)
    default = [open_paged(folder, 0.3, KV_CACHE_PRECISION=precision) for precision in PRECISIONS]
    times = [seconds_per_token(default, past) for past in PASTS]
    columns = " | ".join(f"tokens/s after {past:,}" for past in PASTS)
    print(f"| hints | precision | KL | KL, p99 | same token | bytes per token | {columns} |\n|---|---|{'---:|' * 7}")
    for number, precision in enumerate(PRECISIONS):
        exact = open_paged(folder, 0.2, **EXACT | {"KV_CACHE_PRECISION": precision})
        for hints, model in {"exact": exact, "default": default[number]}.items():
            found = scores(reference, model, texts)
            rates = [f"{1 / time[number]:.0f}" if hints == "default" else "" for time in times]
            quality = f"{found.kl.mean():.5f} | {np.quantile(found.kl, 0.99):.4f} | {found.same_top.mean():.1%}"
            print(f"| {hints} | {precision} | {quality} | {bytes_per_token(model):,.0f} | {' | '.join(rates)} |")


if __name__ == "__main__":
    main()
