"""Measures the arithmetics that the engine chooses from (`engine/graph/arithmetic.py`): speed, and cost in precision.

    python -m benchmarks.arithmetic FOLDER [--groups N…] [--no-speed | --no-divergence]

Times are the processor's for a call after 128 tokens, of models that take turns; the divergence is that of the
next-token distribution from the one with 32-bit arithmetic, on the shipped passages. That of a model of random weights
says nothing.
"""

import argparse
from pathlib import Path

from benchmarks.graph_rewrites import ROUNDS, divergences, open_form, seconds
from llm_chatbot.engine.graph.arithmetic import GROUP_SIZE, PRECISION

FORMS: dict[str, dict[str, str]] = {
    "the runtime's own": {},
    "32 bits, no groups": {PRECISION: "f32", GROUP_SIZE: "0"},
    "32 bits, groups of 16": {PRECISION: "f32", GROUP_SIZE: "16"},
    "32 bits, groups of 32": {PRECISION: "f32", GROUP_SIZE: "32"},
    "32 bits, groups of 64": {PRECISION: "f32", GROUP_SIZE: "64"},
    "32 bits, groups of 128": {PRECISION: "f32", GROUP_SIZE: "128"},
}
TOKENS = (1, 2, 4, 8, 16, 64, 256)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the arithmetics of compressed products.")
    parser.add_argument("folder", type=Path, help="a converted model")
    parser.add_argument("--groups", type=int, nargs="+", help="only these sizes of groups, beside the runtime's own")
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS, help="of a call (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each number of tokens (default: %(default)s)")
    parser.add_argument("--no-speed", action="store_true", help="measure the divergence only")
    parser.add_argument("--no-divergence", action="store_true", help="measure the speed only")
    arguments = parser.parse_args()
    wanted = {None, *map(str, arguments.groups)} if arguments.groups else None
    forms = {name: form for name, form in FORMS.items() if wanted is None or form.get(GROUP_SIZE) in wanted}
    models = [
        open_form(arguments.folder, {"faster_arithmetic": lambda graph, properties, form=form: form})
        for form in forms.values()
    ]
    columns: list[str] = []
    rows: list[list[str]] = [[] for _ in models]
    if not arguments.no_speed:
        columns += [f"{count} tokens, ms" if count > 1 else "one token, ms" for count in arguments.tokens]
        for count in arguments.tokens:
            for row, time in zip(rows, seconds(models, count, arguments.rounds), strict=True):
                row.append(f"{1000 * time:.0f}")
    if not arguments.no_divergence:
        columns += ["KL", "same token"]
        for row, found in zip(rows, divergences(arguments.folder, models), strict=True):
            row += [f"{found.kl.mean():.4f}", f"{found.same_top.mean():.1%}"]
    print(f"| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for name, row in zip(forms, rows, strict=True):
        print(f"| {name} | {' | '.join(row)} |")


if __name__ == "__main__":
    main()
