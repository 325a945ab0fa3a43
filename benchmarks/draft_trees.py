"""Whether trees of drafts would be faster than chains: a draft model's first choices, with second ones beside them.

    python -m benchmarks.draft_trees [--noise 0.2 0.3] [--tokens 96]

The embedded model drafts for itself made wider, as in `benchmarks/drafts.py`. Both read the wide model's greedy
answers; where the draft model's first choice is wrong, its second one may be right. From these follows exactly what a
round writes with a chain of each length, with leaves beside those of its places where the draft model is least
certain, and with a chain that ends where the draft model itself doubts it. A leaf is one more token that the model
reads, and none that the draft model reads. Times are those of calls of either model with so many tokens in a row of
like calls, on a straight line through them, and some assumed ones. That a call with another number of tokens than the
last one costs more, is left out, and so is what it takes to move the rows of an accepted leaf.
"""

import argparse
import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.drafts import QUESTIONS
from benchmarks.paged import open_unmeasured
from benchmarks.widened import write_widened
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.decode.sampling import log_softmax
from llm_chatbot.engine.loading import open_files
from llm_chatbot.engine.text.prompt import prompt_ids
from llm_chatbot.sources.gguf_files import gguf_path

LONGEST, LEAVES = 6, (0, 1, 2)
CERTAIN = (0.1, 0.3)  # with which a chain goes on
ROW_PRICES, DRAFT_PRICE = (0.02, 0.05, 0.08, 0.1, 0.15), 0.2  # as shares of a call with one token
CALLS = 7


@dataclass(frozen=True)
class Place:
    """A token of an answer, and what the draft model would have written there.

    Attributes:
        rank: 0: its first choice is the token; 1: its second one; 2: neither.
        chance: of its first choice.
    """

    rank: int
    chance: float


def answer(model: PagedModel, prompt: list[int], tokens: int, ends: set[int]) -> list[int]:
    cache, ids = model.new_cache(), list[int]()
    logits = cache.feed(prompt)
    while len(ids) < tokens and (token := int(logits.argmax())) not in ends:
        ids.append(token)
        logits = cache.feed([token])
    return ids


def places(draft: PagedModel, prompt: list[int], ids: list[int]) -> list[Place]:
    cache, found = draft.new_cache(), []
    logits = cache.feed(prompt)
    for token in ids:
        first, second = np.argsort(-logits)[:2]
        found.append(
            Place(0 if token == first else 1 if token == second else 2, float(np.exp(log_softmax(logits).max())))
        )
        logits = cache.feed([token])
    return found


@dataclass(frozen=True)
class Round:
    """What a round of drafts has on average: tokens that it writes, that the model reads, and that are drafted."""

    written: float
    rows: float
    drafted: float

    def speed(self, row_price: float, draft_price: float) -> float:
        """As a multiple of the speed without drafts; prices are shares of a call with one token."""
        return self.written / (1 + row_price * (self.rows - 1) + draft_price * self.drafted)


def mean_round(answers: list[list[Place]], length: int, leaves: int = 0, least: float = 0.0) -> Round:
    """The rounds over all answers.

    Args:
        length: of a chain.
        leaves: that stand beside its least certain places.
        least: a chain ends before the place where the draft model believes less in the whole of it.
    """
    rounds = rows = drafted = 0
    for found in answers:
        start = 0
        while start < len(found):
            chain, belief = list[Place](), 1.0
            for place in found[start : start + length]:
                drafted += 1
                belief *= place.chance
                if belief < least:
                    break
                chain.append(place)
            uncertain = sorted(range(len(chain)), key=lambda place: chain[place].chance)[:leaves]
            accepted = next((place for place, each in enumerate(chain) if each.rank), len(chain))
            if accepted in uncertain and chain[accepted].rank == 1:
                accepted += 1
            start += accepted + 1
            rounds += 1
            rows += 1 + len(chain) + len(uncertain)
    return Round(sum(map(len, answers)) / rounds, rows / rounds, drafted / rounds)


def best_speed(
    answers: list[list[Place]], row_price: float, draft_price: float, leaves: int = 0, least: float = 0.0
) -> float:
    """With the best length of a chain; see `mean_round`."""
    lengths = range(1, LONGEST + 1)
    return max(mean_round(answers, length, leaves, least).speed(row_price, draft_price) for length in lengths)


def milliseconds(model: PagedModel, rows: int) -> float:
    return 1000 * statistics.median([model.time_call(rows) for _ in range(CALLS + 1)][1:])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.2, 0.3])
    parser.add_argument("--times", type=int, default=3, help="how many times as wide")
    parser.add_argument("--tokens", type=int, default=96)
    arguments = parser.parse_args()
    file = gguf_path(get_model_config(DEFAULT_MODEL))
    files, draft = open_files(file), open_unmeasured(file, kv_cache_gb=0.5)
    prompts = [prompt_ids(files.tokenizer, [{"role": "user", "content": question}]) for question in QUESTIONS]
    with tempfile.TemporaryDirectory() as folder:
        for noise in arguments.noise:
            write_widened(file, wide := Path(folder) / "wide.gguf", arguments.times, noise)
            model = open_unmeasured(wide, kv_cache_gb=0.5)
            answers = [answer(model, prompt, arguments.tokens, files.stop_ids) for prompt in prompts]
            found = [places(draft, prompt, ids) for prompt, ids in zip(prompts, answers, strict=True)]
            report(noise, found, model, draft)


def report(noise: float, found: list[list[Place]], model: PagedModel, draft: PagedModel) -> None:
    ranks = [place.rank for answer in found for place in answer]
    share = [ranks.count(rank) / len(ranks) for rank in (0, 1)]
    rows = list(range(1, LONGEST + max(LEAVES) + 2))
    slope, start = np.polyfit(rows, [milliseconds(model, count) for count in rows], 1)
    drafted = milliseconds(draft, 1)
    print(f"\nnoise {noise:g}: the first choice is right in {share[0]:.0%}, the second in {share[1]:.0%}")
    print(f"a call with n tokens {start:.0f} + {slope:.1f} n ms, a drafted token {drafted:.1f} ms\n")
    single = start + slope
    names = [f"{leaves} leaves" for leaves in LEAVES] + [f"chain while {least:g} certain" for least in CERTAIN]
    print(f"| a further token in a call | a drafted one | {' | '.join(names)} |\n|---:|---:|{'---:|' * len(names)}")
    for prices in [(slope / single, drafted / single), *((row, DRAFT_PRICE) for row in ROW_PRICES)]:
        speeds = [best_speed(found, *prices, leaves=leaves) for leaves in LEAVES]
        speeds += [best_speed(found, *prices, least=least) for least in CERTAIN]
        print(f"| {prices[0]:.2f} | {prices[1]:.2f} | {' | '.join(f'{speed:.2f}' for speed in speeds)} |", flush=True)


if __name__ == "__main__":
    main()
