"""Measures the arithmetics that the engine chooses from (`engine/graph/arithmetic.py`): speed, and cost in precision.

    python -m benchmarks.arithmetic FOLDER [--groups N…] [--no-speed | --no-divergence]
    python -m benchmarks.arithmetic --forms

Times are the processor's for a call after 128 tokens, of models that take turns; the divergence is that of the
next-token distribution from the one with 32-bit arithmetic, on the shipped passages. That of a model of random weights
says nothing. `--forms` times a product instead, with weights in each form that a GGUF file's blocks have or could have,
and in bitsandbytes' NF4.
"""

import argparse
from pathlib import Path

import openvino as ov

from benchmarks.graph_rewrites import ROUNDS, divergences, open_form, seconds
from llm_chatbot.engine.graph.arithmetic import GROUP_SIZE, PRECISION, TRIAL_COLUMNS, WeightForm, trial_graph
from llm_chatbot.engine.graph.trial import shortest_times

FORMS: dict[str, dict[str, str]] = {
    "the runtime's own": {},
    "32 bits, no groups": {PRECISION: "f32", GROUP_SIZE: "0"},
    "32 bits, groups of 16": {PRECISION: "f32", GROUP_SIZE: "16"},
    "32 bits, groups of 32": {PRECISION: "f32", GROUP_SIZE: "32"},
    "32 bits, groups of 64": {PRECISION: "f32", GROUP_SIZE: "64"},
    "32 bits, groups of 128": {PRECISION: "f32", GROUP_SIZE: "128"},
}
TOKENS = (1, 2, 4, 8, 16, 64, 256)

# Weights, and the group of activations that is the fastest one for them; None: no such groups are faster.
WEIGHTS: dict[str, tuple[WeightForm, int | None]] = {
    "8 bits, groups of 16 (Q6_K)": (WeightForm(ov.Type.i8, 16, False), 16),
    "8 bits, groups of 32 (Q5_0, Q8_0, IQ4)": (WeightForm(ov.Type.i8, 32, False), 32),
    "8 bits, groups of 128": (WeightForm(ov.Type.i8, 128, False), 128),
    "8 bits, rows": (WeightForm(ov.Type.i8, TRIAL_COLUMNS, False), 128),
    "4 bits, groups of 32 (Q4_0)": (WeightForm(ov.Type.i4, 32, False), 32),
    "4 bits with zero points, groups of 32 (Q4_1, Q4_K)": (WeightForm(ov.Type.u4, 32, True), 32),
    "4 bits, groups of 64": (WeightForm(ov.Type.i4, 64, False), 64),
    "NF4, groups of 64": (WeightForm(ov.Type.nf4, 64, False), None),
    "4 bits, groups of 128": (WeightForm(ov.Type.i4, 128, False), 128),
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the arithmetics of compressed products.")
    parser.add_argument("folder", type=Path, nargs="?", help="a converted model")
    parser.add_argument("--forms", action="store_true", help="time a product with each form of weights, on one thread")
    parser.add_argument("--groups", type=int, nargs="+", help="only these sizes of groups, beside the runtime's own")
    parser.add_argument("--tokens", type=int, nargs="+", default=TOKENS, help="of a call (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="of each number of tokens (default: %(default)s)")
    parser.add_argument("--no-speed", action="store_true", help="measure the divergence only")
    parser.add_argument("--no-divergence", action="store_true", help="measure the speed only")
    arguments = parser.parse_args()
    if arguments.forms:
        print_times_of_forms()
        return
    if arguments.folder is None:
        parser.error("name a converted model, or --forms")
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


def print_times_of_forms() -> None:
    """Prints the shortest milliseconds of a product with weights of each form, where they take turns."""
    compiled = []
    for form, group in WEIGHTS.values():
        arithmetic = {PRECISION: "f32", GROUP_SIZE: str(group)} if group else {}
        compiled.append(ov.Core().compile_model(trial_graph(form), "CPU", {**arithmetic, "INFERENCE_NUM_THREADS": 1}))
    tokens = (1, 4, 16, 256)
    columns = [[1000 * time for time in shortest_times(compiled, count, TRIAL_COLUMNS)] for count in tokens]
    heads = ["one token, ms" if count == 1 else f"{count} tokens, ms" for count in tokens]
    print(f"| | {' | '.join(heads)} |\n|---|{'---:|' * len(tokens)}")
    for name, *times in zip(WEIGHTS, *columns, strict=True):
        print(f"| {name} | {' | '.join(f'{time:.2f}' for time in times)} |")


if __name__ == "__main__":
    main()
