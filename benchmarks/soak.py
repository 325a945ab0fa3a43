"""Twenty tabs at once, stopped and closed at random: is every answer right, every block returned, and memory flat?

    python -m benchmarks.soak [--minutes 5] [--tabs 20]

Runs on the embedded model with exact hints, with a pool that is too small for all tabs. An answer is right
if it is the beginning of the answer to the same prompt that was generated alone, without others or prompt lookup.
"""

import argparse
import random
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import psutil
from transformers import AutoTokenizer

from benchmarks.paged import open_paged
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.decode.generation import stream_ids
from llm_chatbot.engine.decode.sampling import Sampling
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.evaluation.texts import passages

ROOT = Path(__file__).resolve().parents[1]

CLOSED = 0.3  # how often a tab is closed after an answer, and another one opened


@dataclass
class Soak:
    """The counts of a run.

    Attributes:
        answers, stopped, wrong: numbers of answers.
        lost: blocks that were not returned after all tabs were closed.
        memory: MB at equal intervals.
    """

    answers: int = 0
    stopped: int = 0
    wrong: int = 0
    lost: int = 0
    memory: list[float] = field(default_factory=list)


def answer(cache, ids: Sequence[int], length: int) -> list[int]:
    """The first tokens of the greedy answer; a shorter `length` stops it as closing the stream does."""
    new = ids[cache.trim_to_prefix(ids[:-1]) :]
    with closing(stream_ids(cache, new, Sampling(), stop_ids=set())) as stream:
        return list(islice(stream, length))


def soak(model: PagedModel, prompts: Sequence[list[int]], tabs: int, seconds: float, tokens: int) -> Soak:
    """Keeps `tabs` threads busy for some seconds, each with answers of at most `tokens` tokens to random prompts."""
    expected = []
    for ids in prompts:
        cache = model.new_cache()
        expected.append(answer(cache, ids, tokens))
        cache.reset()
    result, lock, end = Soak(), threading.Lock(), time.monotonic() + seconds

    def use_tab(seed: int) -> None:
        chance = random.Random(seed)
        cache = model.new_lookup_cache()
        while time.monotonic() < end:
            number, length = chance.randrange(len(prompts)), chance.randrange(1, tokens + 1)
            found = answer(cache, prompts[number], length)
            with lock:
                result.answers += 1
                result.stopped += length < tokens
                result.wrong += found != expected[number][:length]
            if chance.random() < CLOSED:
                cache.reset()
                cache = model.new_lookup_cache()
        cache.reset()

    threads = [threading.Thread(target=use_tab, args=(seed,)) for seed in range(tabs)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        time.sleep(seconds / 20)
        result.memory.append(psutil.Process().memory_info().rss / 1e6)
    result.lost = model.pool.blocks - model.pool.free
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description="Use many conversations at once, and check their answers.")
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--tabs", type=int, default=20)
    arguments = parser.parse_args()
    folder = convert_model(DEFAULT_MODEL, output_root=ROOT)
    ids = [AutoTokenizer.from_pretrained(folder)(text)["input_ids"] for text in passages().values()]
    prompts = [text[:length] for text in ids for length in (20, 40, 90, 150, 260)]
    model = open_paged(folder, 0.1, **EXACT)
    result = soak(model, prompts, arguments.tabs, 60 * arguments.minutes, 32)
    half = result.memory[len(result.memory) // 2]
    print(
        f"{arguments.tabs} tabs for {arguments.minutes:g} minutes: {result.answers} answers, {result.stopped} of them "
        f"stopped, {result.wrong} wrong; {result.lost} of {model.pool.blocks} blocks lost; "
        f"{half:.0f} MB after half of the time, {result.memory[-1]:.0f} MB at the end"
    )
    return int(result.wrong > 0 or result.lost > 0)


if __name__ == "__main__":
    sys.exit(main())
