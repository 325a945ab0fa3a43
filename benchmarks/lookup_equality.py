"""How often are greedy answers with prompt lookup the same as without, and how many tokens until they differ?

    python -m benchmarks.lookup_equality [--prompts 200] [--tokens 24]

Uses the embedded model, with the runtime's default hints and with exact ones. Half of the prompts ask to
repeat a sentence, so that much is drafted.
"""

import argparse
from itertools import islice
from pathlib import Path

from transformers import AutoTokenizer

from benchmarks.paged import open_paged
from benchmarks.soak import answer
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model
from llm_chatbot.engine.cache.block_pool import common_length
from llm_chatbot.engine.precisions import EXACT
from llm_chatbot.evaluation.texts import passages

ROOT = Path(__file__).resolve().parents[1]

REQUESTS = ("Repeat this, and then repeat it again: {}", "What does this mean? {}")


def prompts(count: int) -> list[str]:
    """Questions about pieces of the shipped passages."""
    pieces = (text[start : start + 80] for start in range(0, 10_000, 45) for text in passages().values())
    texts = (request.format(piece) for piece in pieces if piece for request in REQUESTS)
    return list(islice(texts, count))


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare greedy answers with and without prompt lookup.")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=24)
    arguments = parser.parse_args()
    folder = convert_model(DEFAULT_MODEL, output_root=ROOT)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    print("| hints | prompts | the same | tokens in common |\n|---|---:|---:|---:|")
    for hints, properties in {"default": {}, "exact": EXACT}.items():
        model = open_paged(folder, None, **properties)
        plain, guessing = model.new_cache(), model.new_lookup_cache()
        common = []
        for text in prompts(arguments.prompts):
            message = [{"role": "user", "content": text}]
            ids = tokenizer.apply_chat_template(message, add_generation_prompt=True, return_dict=True)["input_ids"]
            common.append(common_length(*(answer(cache, ids, arguments.tokens) for cache in (plain, guessing))))
        same = sum(length == arguments.tokens for length in common)
        share = sum(common) / arguments.tokens / len(common)
        print(f"| {hints} | {len(common)} | {same} | {share:.1%} |", flush=True)


if __name__ == "__main__":
    main()
