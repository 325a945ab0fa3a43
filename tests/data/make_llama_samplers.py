"""Makes llama_samplers.json: what llama.cpp's samplers make of logits, for those that we define as it does.

    pip install llama-cpp-python==0.3.36
    python -m tests.data.make_llama_samplers FILE.gguf    # the embedded model's file

Each case has the tokens before, the options, the logits of a few tokens, and what became of these; null is excluded.
"""

import ctypes
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import llama_cpp as llama

OUTPUT = Path(__file__).with_name("llama_samplers.json")

# Of the embedded model: words, and tokens in which a breaker occurs, begins or ends.
TEXTS = [" the", " cat", " sat", "a", "b", "\n", "\n\n", ":", ":\n", '"', '."', "*", " **", "-", "->", ">"]
BREAKERS = ["\n", ":", '"', "*", "->"]


def main() -> None:
    model = llama.Llama(sys.argv[1], vocab_only=True, verbose=False)
    vocab = llama.llama_model_get_vocab(model.model)
    ids = [id for text in TEXTS for id in model.tokenize(text.encode(), add_bos=False, special=False)]
    ids = list(dict.fromkeys(ids))
    rng = random.Random(0)
    cases = [*map(dry_case, [vocab] * 60, [ids] * 60, [rng] * 60), *(penalties_case(ids, rng) for _ in range(20))]
    cases += [xtc_case(ids, rng) for _ in range(20)]
    OUTPUT.write_text(json.dumps(cases, separators=(",", ":")) + "\n", encoding="utf-8")


def dry_case(vocab: Any, ids: Sequence[int], rng: random.Random) -> dict[str, Any]:
    some = rng.sample(ids, rng.choice([2, 3, 6]))
    before = [rng.choice(some) for _ in range(rng.randint(0, 40))]
    breakers = rng.sample(BREAKERS, rng.randint(0, 3))
    options = {
        "multiplier": rng.choice([0.5, 0.8, 2.0]),
        "base": rng.choice([1.0, 1.75, 3.0]),
        "allowed_length": rng.randint(0, 4),
        "last_n": rng.choice([64, 10, 30]),
    }
    strings = (ctypes.c_char_p * max(len(breakers), 1))(*(text.encode() for text in breakers))
    sampler = llama.llama_sampler_init_dry(vocab, *options.values(), strings, len(breakers))
    return {"kind": "dry", "options": {**options, "breakers": breakers}, **applied(sampler, before, ids, rng)}


def penalties_case(ids: Sequence[int], rng: random.Random) -> dict[str, Any]:
    options = {
        "repetition_penalty": rng.choice([1.0, 1.3]),
        "frequency_penalty": rng.choice([0.0, 0.4]),
        "presence_penalty": rng.choice([0.0, -0.6]),
    }
    before = [rng.choice(ids[:5]) for _ in range(rng.randint(1, 12))]
    sampler = llama.llama_sampler_init_penalties(50_000, 64, *options.values())
    return {"kind": "penalties", "options": options, **applied(sampler, before, ids, rng)}


def xtc_case(ids: Sequence[int], rng: random.Random) -> dict[str, Any]:
    threshold = rng.choice([0.05, 0.1, 0.2, 0.5, 0.6])
    sampler = llama.llama_sampler_init_xtc(1.0, threshold, 1, 0)
    return {"kind": "xtc", "options": {"xtc_threshold": threshold}, **applied(sampler, [], ids, rng)}


def applied(sampler: Any, before: Sequence[int], ids: Sequence[int], rng: random.Random) -> dict[str, Any]:
    for token in before:
        llama.llama_sampler_accept(sampler, token)
    logits = [round(rng.uniform(-3, 3), 4) for _ in ids]
    data = (llama.llama_token_data * len(ids))(
        *(llama.llama_token_data(*pair, 0.0) for pair in zip(ids, logits, strict=True))
    )
    array = llama.llama_token_data_array(data=data, size=len(ids), selected=-1, sorted=False)
    llama.llama_sampler_apply(sampler, ctypes.byref(array))
    left = {array.data[place].id: array.data[place].logit for place in range(array.size)}
    llama.llama_sampler_free(sampler)
    return {
        "before": before,
        "ids": list(ids),
        "logits": logits,
        "left": [round(left[id], 4) if id in left else None for id in ids],
    }


if __name__ == "__main__":
    main()
