"""Measures the output layer in two steps (`engine/graph/two_step_output.py`): speed, memory, and what it changes.

    python -m benchmarks.output_layer MODEL [--rounds N]
    python -m benchmarks.output_layer --agreement [--positions N]

The first form times calls with one token after 128, of the same model with the layer in one step and in two, in turns.
The second compares the layer's logits for the same hidden states of the embedded model and the shipped passages with
those of 32-bit arithmetic: as the runtime rounds them by default, and in two steps. Its layer would be too small for
two steps otherwise.
"""

import argparse
import statistics
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from unittest.mock import patch

import numpy as np
import openvino as ov
import psutil

from benchmarks.paged import open_unmeasured, random_ids, timed
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.engine.cache.output_layers import OutputLayers
from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.cache.paged_runner import PagedRunner
from llm_chatbot.engine.decode.sampling import Sampling, apply_repetition_penalty, kept, log_softmax
from llm_chatbot.engine.loading import open_files
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.evaluation.texts import passages
from llm_chatbot.sources.gguf_files import gguf_path

PAST, CALLS = 128, 20
TOP = 20  # tokens that are sampled from at the most by common settings
USUAL = Sampling(temperature=0.7, top_p=0.9)
ROWS = 32  # hidden states at a time
PIECE = 1024  # tokens of the compared texts that are read together


def open_prepared(model: Path) -> tuple[PagedModel, OutputLayers, float]:
    """A model whose output layer is in two steps, its layers, and the megabytes that those in two steps took."""
    paged = open_unmeasured(model, kv_cache_gb=0.5)
    assert isinstance(paged.runner, PagedRunner)
    layers = paged.runner._output
    assert layers is not None, "the output layer of this model is too small for two steps"
    before = psutil.Process().memory_info().rss
    paged.prepare(lambda: None)
    return paged, layers, (psutil.Process().memory_info().rss - before) / 1e6


def print_speed(model: Path, rounds: int) -> None:
    paged, layers, megabytes = open_prepared(model)
    cache = paged.new_cache()
    cache.feed(random_ids(PAST, seed=0))
    times: dict[bool, list[float]] = {True: [], False: []}
    for round in range(rounds):
        for exact, own in times.items():
            cache.exact = exact
            tokens = random_ids(CALLS, seed=round)
            own += [1000 * timed(cache.feed, [token]) for token in tokens]
            cache.truncate(PAST)
    states = ov.Tensor(np.random.default_rng(0).standard_normal((1, 1, layers._size)).astype(np.float32))
    alone: dict[bool, list[float]] = {True: [], False: []}
    for _ in range(rounds * CALLS):
        for exact, own in alone.items():
            own.append(1000 * timed(layers.logits, states, exact))
    for what, found in (("a token", times), ("its output layer", alone)):
        one, two = (statistics.median(own) for own in found.values())
        print(f"{what} in one step {one:.1f} ms, in two {two:.1f} ms: {one / two:.2f} times as fast")
    print(f"{megabytes:.0f} MB more, of which the rows that were read last may leave memory")


def hidden_states(paged: PagedModel, ids: list[int]) -> Iterator[np.ndarray]:
    """After each token, [1, 1, hidden]."""
    assert isinstance(paged.runner, PagedRunner)
    cache = paged.new_cache()
    for start in range(0, len(ids), ROWS):
        cache.feed_all(ids[start : start + ROWS])
        for row in paged.runner._request.get_output_tensor().data.copy():
            yield row[None]
    cache.release()


def print_agreement(positions: int, penalty: float) -> None:
    file = gguf_path(get_model_config(DEFAULT_MODEL))
    with (
        patch("llm_chatbot.engine.graph.two_step_output.LEAST_OUTPUT_WEIGHTS", 0),
        patch("llm_chatbot.engine.cache.output_layers.MIN_OUTPUT_SPEEDUP", 0),
    ):
        paged, layers, _ = open_prepared(file)
    exact = ov.Core().compile_model(layers._graph, "CPU", EXACT)
    tokenizer = open_files(file).tokenizer
    texts = [*passages().values(), *(path.read_text(encoding="utf-8") for path in sorted(Path("docs").glob("*.md")))]
    ids = [token for text in texts for token in tokenizer(text, add_special_tokens=False)["input_ids"]]
    pieces = (ids[start : start + PIECE] for start in range(0, len(ids), PIECE))
    read = ((state, piece[: place + 1]) for piece in pieces for place, state in enumerate(hidden_states(paged, piece)))
    found: dict[str, list[tuple[float, ...]]] = {"in one step": [], "in two steps": []}
    for state, seen in islice(read, positions):
        wanted = apply_repetition_penalty(exact([state], share_outputs=False)[0].ravel(), np.array(seen), penalty)
        for is_exact, own in zip((True, False), found.values(), strict=True):
            logits = layers.logits(ov.Tensor(state), is_exact).ravel()
            own.append(compare(wanted, apply_repetition_penalty(logits, np.array(seen), penalty)))
    print(f"| {len(own):,} positions | same token | of the best {TOP} | KL | sampled otherwise |")
    print("|---|---:|---:|---:|---:|")
    for name, rows in found.items():
        same, share, kl, moved = np.array(rows).mean(axis=0)
        print(f"| {name} | {same:.2%} | {share:.2%} | {kl:.4f} | {moved:.2%} |")


def compare(wanted: np.ndarray, found: np.ndarray) -> tuple[float, ...]:
    """Whether the best token is the same, the share of the best ones that are, the divergence of the whole
    distributions, and the share of sampled tokens that would be others with `USUAL` settings."""
    best, others = (set(np.argpartition(logits, -TOP)[-TOP:].tolist()) for logits in (wanted, found))
    one, other = log_softmax(wanted), log_softmax(found)
    chances = [np.zeros(wanted.size), np.zeros(wanted.size)]
    for logits, own in zip((wanted, found), chances, strict=True):
        ids, probabilities = kept(logits, USUAL)
        own[ids] = probabilities
    return (
        wanted.argmax() == found.argmax(),
        len(best & others) / TOP,
        float((np.exp(one) * (one - other)).sum()),
        float(np.abs(chances[0] - chances[1]).sum()) / 2,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the output layer in two steps.")
    parser.add_argument("model", type=Path, nargs="?", help="a converted folder or a GGUF file")
    parser.add_argument("--rounds", type=int, default=5, help="of %(default)s times 20 tokens")
    parser.add_argument("--agreement", action="store_true", help="compare the logits instead, with the embedded model")
    parser.add_argument("--positions", type=int, default=10_000)
    parser.add_argument("--repetition-penalty", type=float, default=1, help="of the compared logits")
    arguments = parser.parse_args()
    if arguments.agreement:
        print_agreement(arguments.positions, arguments.repetition_penalty)
    elif arguments.model is None:
        parser.error("name a model, or --agreement")
    else:
        print_speed(arguments.model, arguments.rounds)


if __name__ == "__main__":
    main()
