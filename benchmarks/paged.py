"""Compares the paged engine with the stateful graph and with OpenVINO GenAI, interleaved in one process.

    python -m benchmarks.paged smollm2-135m-instruct/INT4_compressed_weights

Other load on the machine slows all of them alike, so compare the ratios of medians.
"""

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import openvino as ov
import openvino_genai
from transformers import AutoTokenizer

from llm_chatbot.engine.cache.kv_cache import KVCache
from llm_chatbot.engine.cache.paged_cache import PagedCache, PagedModel
from llm_chatbot.engine.loading import open_model
from llm_chatbot.evaluation.texts import passages

CHUNK = 1024  # tokens of a long prompt that a conversation feeds at a time
PASTS = (0, 650, 1200, 4000)
TURN = 41

NEW_TEXT = ("Write a short story about a dragon who learns to cook.", "Explain how rain forms.", "Describe Rome.")
ASKED_AGAIN, OTHER_FILE = "a question that another conversation asked", "a text that another conversation read"
SUMMARY, CODE_EDIT = "a summary in the text's own sentences", "code with a name changed"

Feed = Callable[[list[int]], np.ndarray]


def open_paged(folder: Path, kv_cache_gb: float | None = None, **properties: Any) -> PagedModel:
    """A model that conversations with a folder share; without prompt lookup until its `new_lookup_cache` is called."""
    model = open_model(folder, ov_config=properties, kv_cache_gb=kv_cache_gb).paged
    assert model is not None, "this machine can't run the paged engine"
    return model


def open_unmeasured(folder: Path, kv_cache_gb: float, **options: Any) -> PagedModel:
    """As `open_paged`, without the measurements that a model begins by itself in pauses: they would run beside ours.

    Args:
        options: further ones of `open_model`.
    """
    with patch.object(PagedModel, "measure_in_pauses"):
        model = open_model(folder, kv_cache_gb=kv_cache_gb, **options).paged
    assert model is not None, "this machine can't run the paged engine"
    return model


def open_genai(folder: Path) -> openvino_genai.LLMPipeline:
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size, scheduler.enable_prefix_caching = 1, True
    return openvino_genai.LLMPipeline(folder, "CPU", scheduler_config=scheduler)


def first_token(pipeline: openvino_genai.LLMPipeline, ids: list[int]) -> float:
    config = openvino_genai.GenerationConfig(max_new_tokens=1, ignore_eos=True)
    return pipeline.generate(ov.Tensor(np.array([ids])), config).perf_metrics.get_ttft().mean / 1000


def timed(action: Callable[..., object], *arguments: object) -> float:
    started = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - started


def in_chunks(feed: Feed, ids: list[int]) -> None:
    for start in range(0, len(ids), CHUNK):
        feed(ids[start : start + CHUNK])


def random_ids(length: int, seed: int) -> list[int]:
    return np.random.default_rng(seed).integers(100, 40_000, length).tolist()


def report(what: str, **times: list[float]) -> None:
    """Prints the medians in ms, and the ratios of the first to each of the others."""
    medians = {name: statistics.median(values) for name, values in times.items()}
    first, *others = medians
    parts = [f"{name} {1000 * seconds:.0f} ms" for name, seconds in medians.items()]
    ratios = [f"{first}/{other} {medians[first] / medians[other]:.2f}" for other in others]
    print(f"{what:<28} {', '.join(parts)}; {', '.join(ratios)}", flush=True)


def next_turns(paged: PagedModel, stateful: KVCache, genai: openvino_genai.LLMPipeline, repeats: int) -> None:
    """Time to the first token of a turn of `TURN` tokens, after several lengths of history."""
    for past in PASTS:
        before = random_ids(past, seed=past)
        cache = paged.new_cache()
        stateful.reset()
        if before:
            in_chunks(cache.feed, before)
            in_chunks(stateful.feed, before)
            first_token(genai, before)
        times: dict[str, list[float]] = {"paged": [], "stateful": [], "genai": []}
        for seed in range(repeats):
            turn = random_ids(TURN, seed=1000 + seed)
            cache.trim_to_prefix(before)
            times["paged"].append(timed(cache.feed, turn))
            stateful.trim_to_prefix(before)
            times["stateful"].append(timed(stateful.feed, turn))
            times["genai"].append(first_token(genai, before + turn))
        report(f"{TURN} tokens after {past}", **times)
        cache.release()


def long_prompts(paged: PagedModel, stateful: KVCache, genai: openvino_genai.LLMPipeline, repeats: int) -> None:
    times: dict[str, list[float]] = {"paged": [], "stateful": [], "genai": []}
    for seed in range(repeats):
        ids = random_ids(4000, seed=2000 + seed)
        cache = paged.new_cache()
        times["paged"].append(timed(in_chunks, cache.feed, ids))
        cache.release()
        stateful.reset()
        times["stateful"].append(timed(in_chunks, stateful.feed, ids))
        times["genai"].append(first_token(genai, ids))
    report("4000 tokens", **times)


def greedy(feed: Feed, ids: list[int], length: int) -> Iterator[float]:
    """Yields the seconds for each token after the first."""
    logits = feed(ids)
    for _ in range(length):
        started = time.perf_counter()
        logits = feed([int(logits.argmax())])
        yield time.perf_counter() - started


def decoding(paged: PagedModel, stateful: KVCache, genai: openvino_genai.LLMPipeline, repeats: int) -> None:
    config = openvino_genai.GenerationConfig(max_new_tokens=65, ignore_eos=True)
    times: dict[str, list[float]] = {"paged": [], "stateful": [], "genai": []}
    for seed in range(repeats):
        ids, cache = random_ids(50, seed=3000 + seed), paged.new_cache()
        times["paged"] += greedy(cache.feed, ids, 64)
        cache.release()
        stateful.reset()
        times["stateful"] += greedy(stateful.feed, ids, 64)
        metrics = genai.generate(ov.Tensor(np.array([ids])), config).perf_metrics
        times["genai"].append(metrics.get_tpot().mean / 1000)
    report("one token", **times)


def several(paged: PagedModel, folder: Path, repeats: int) -> dict[int, tuple[float, float]]:
    """Total tokens per second of 1, 4 and 16 conversations: ours, and GenAI's continuous batching."""
    found = {}
    scheduler = openvino_genai.SchedulerConfig()
    scheduler.cache_size = 1
    batching = openvino_genai.ContinuousBatchingPipeline(folder, scheduler, "CPU")
    config = openvino_genai.GenerationConfig(max_new_tokens=48, ignore_eos=True)
    for count in (1, 4, 16):
        rates: dict[str, list[float]] = {"paged": [], "genai": []}
        for seed in range(repeats):
            prompts = [random_ids(30, seed=100 * seed + place) for place in range(count)]
            caches = [paged.new_cache() for _ in prompts]
            with ThreadPoolExecutor(count) as threads:
                run = lambda cache, ids: list(greedy(cache.feed, ids, 47))  # noqa: E731
                rates["paged"].append(48 * count / timed(lambda: list(threads.map(run, caches, prompts))))  # noqa: B023
            for cache in caches:
                cache.release()
            tensors = [ov.Tensor(np.array([ids])) for ids in prompts]
            rates["genai"].append(48 * count / timed(batching.generate, tensors, [config] * count))
        ours, theirs = (statistics.median(values) for values in rates.values())
        found[count] = ours, theirs
        print(
            f"{count:>2} conversations: paged {ours:.0f} tokens/s, genai {theirs:.0f}; {ours / theirs:.2f}", flush=True
        )
    return found


def branches(paged: PagedModel, repeats: int) -> dict[str, float]:
    """Time to the first token of an edited, regenerated or branched turn, as a multiple of that of a new turn."""
    before, turn, other = (random_ids(length, seed=length) for length in (1000, TURN, TURN + 1))
    times: dict[str, list[float]] = {"new": [], "edited": [], "regenerated": [], "branched": []}
    for _ in range(repeats + 1):
        cache, branch = paged.new_cache(), paged.new_cache()
        in_chunks(cache.feed, before)
        times["new"].append(timed(cache.feed, turn))
        times["edited"].append(timed(ask, cache, [*before, *other[:TURN]]))
        times["regenerated"].append(timed(ask, cache, [*before, *other[:TURN]]))
        times["branched"].append(timed(ask, branch, [*before[:-1], *turn]))
        cache.release()
        branch.release()
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    return {name: seconds / medians["new"] for name, seconds in medians.items() if name != "new"}


def ask(cache: PagedCache, ids: list[int]) -> None:
    """Reads a prompt as a session does: only what isn't cached, and always the last token."""
    cache.feed(ids[cache.trim_to_prefix(ids[:-1]) :])


def lookup(paged: PagedModel, folder: Path, repeats: int) -> dict[str, float]:
    """The speed with prompt lookup, as a multiple of that without; the same tokens are fed.

    All conversations are private, so that none finds what another has read, but those that are to be found.
    """
    tokenizer = AutoTokenizer.from_pretrained(folder)
    source = (Path(__file__).resolve().parents[1] / "llm_chatbot/engine/decode/sampling.py").read_text(encoding="utf-8")
    passage = passages()["en"][:2500]
    sentences = passage.split(". ")
    edit = source[:1500].replace("logits", "scores")
    cases: dict[str, tuple[str, str | None]] = {
        **{text: (text, None) for text in NEW_TEXT},
        SUMMARY: ("Summarise this with its own sentences:\n\n" + passage, ". ".join(sentences[:9:2])),
        ASKED_AGAIN: ("What is a good name for a cat?", None),
        OTHER_FILE: ("How does the text begin that I showed you?", passage[:900]),
        CODE_EDIT: ("Rename logits to scores:\n\n" + source[:3000], edit),
    }
    found = {}

    def asked(text: str) -> list[int]:
        messages = [{"role": "user", "content": text}]
        return tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_dict=True)["input_ids"]

    for name, (text, answer) in cases.items():
        prompt = asked(text)
        given = tokenizer(answer)["input_ids"] if answer else sampled(paged, prompt, 200)
        if name == ASKED_AGAIN:
            fed(paged.new_cache(), prompt + given)
        elif name == OTHER_FILE:
            fed(paged.new_cache(), asked("Read this:\n\n" + passage))
        ratios = []
        for _ in range(repeats):
            seconds = [
                timed(lambda cache: [cache.feed([token]) for token in given], cache)  # noqa: B023
                for cache in (private(paged.new_cache(), prompt), private(paged.new_lookup_cache(), prompt))
            ]
            ratios.append(seconds[0] / seconds[1])
        found[name] = statistics.median(ratios)
        print(f"lookup, {name}: {found[name]:.2f} × without", flush=True)
    return found


def fed(cache, ids: list[int]):
    cache.feed(ids)
    return cache


def private(cache, ids: list[int]):
    cache.make_private()
    return fed(cache, ids)


def sampled(paged: PagedModel, prompt: list[int], length: int) -> list[int]:
    """An answer sampled at temperature 1, which rarely repeats itself."""
    cache, chance = paged.new_cache(), np.random.default_rng(0)
    cache.make_private()
    answer: list[int] = []
    logits = cache.feed(prompt)
    while len(answer) < length:
        answer.append(int((logits + chance.gumbel(size=logits.size)).argmax()))
        logits = cache.feed(answer[-1:])
    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a converted model")
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    folder, repeats = arguments.folder, arguments.repeats
    paged, genai = open_paged(folder), open_genai(folder)
    stateful = open_model(folder, paged=False).new_stateful_cache()
    print(f"cost of calls, and of a change: {paged.prices and (paged.prices.measured, paged.prices.change)}")
    next_turns(paged, stateful, genai, repeats)
    long_prompts(paged, stateful, genai, max(repeats // 2, 1))
    decoding(paged, stateful, genai, repeats)
    several(paged, folder, max(repeats // 2, 1))
    print({name: f"{ratio:.2f} × a new turn" for name, ratio in branches(paged, repeats).items()})
    lookup(paged, folder, repeats)


if __name__ == "__main__":
    main()
