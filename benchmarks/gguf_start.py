"""Measures the start of a process with a GGUF file as it is: time to the first token of an answer, and peak memory.

    python -m benchmarks.gguf_start [FILE …] [--random vocabulary 7B F16] [--folder DIR] [--rounds N]
                                    [--llama-cpp PYTHON]

ours       llm-chatbot ask FILE
llama.cpp  llama-cpp-python on the same file, with its default settings

`--random vocabulary` writes a file in the shape of Gemma 3 270M, with 262,144 tokens, `--random 7B` one of 7B in Q4_K_M
and `--random F16` one of 1.1B in 16 bits to DIR, which take 260 MB, 4.4 GB and 2.2 GB and are removed at the end.
Without FILE and `--random`, the embedded file is measured.

Each figure is the median of the rounds, after one warm-up round; the programs take turns. Memory is the highest of
samples up to the first token: anonymous, and mapped from files, which the system can take back. Prints a table.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import psutil
from gguf import GGMLQuantizationType as GGML

from benchmarks.conversion import SHAPES
from benchmarks.random_gguf import write_gemma, write_llama
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.sources.gguf_files import gguf_path

QUESTION = "Name the capital of France."

LLAMA_CPP = """
import sys
from llama_cpp import Llama
llama = Llama(sys.argv[1], verbose=False)
messages = [{"role": "user", "content": sys.argv[2]}]
print(llama.create_chat_completion(messages, max_tokens=1, temperature=0)["choices"][0]["message"]["content"])
"""

RANDOM: dict[str, Callable[[Path], None]] = {
    "vocabulary": write_gemma,
    "7B": lambda path: write_llama(path, SHAPES["7B"]),
    "F16": lambda path: write_llama(path, SHAPES["1.1B"], GGML.F16),
}

INTERVAL = 0.02  # seconds between two samples of memory


class Start(NamedTuple):
    """The cost of a process up to its first token: seconds, seconds of processors, peaks of memory in bytes."""

    seconds: float
    processors: float
    anonymous: int
    mapped: int


def start_of(command: Sequence[str]) -> Start:
    """
    Raises:
        RuntimeError: the program wrote nothing.
    """
    started, done = time.perf_counter(), threading.Event()
    samples: list[tuple[int, int]] = []
    with psutil.Popen(command, stdout=subprocess.PIPE) as process:

        def sample() -> None:
            while not done.wait(INTERVAL):
                info = process.memory_info()
                mapped = getattr(info, "shared", 0)  # on Linux
                samples.append((info.rss - mapped, mapped))

        watching = threading.Thread(target=sample)
        watching.start()
        first = process.stdout.read(1)
        seconds, cpu = time.perf_counter() - started, process.cpu_times()
        done.set()
        watching.join()
        process.stdout.read()
    if not first:
        raise RuntimeError(f"{command[0]} ended with code {process.returncode} and wrote nothing.")
    anonymous, mapped = (max(column) for column in zip(*samples, strict=True))
    return Start(seconds, cpu.user + cpu.system, anonymous, mapped)


def measure(file: Path, llama_cpp: str, rounds: int) -> None:
    """Prints the lines of a file."""
    commands = {
        "ours": [sys.executable, "-m", "llm_chatbot", "ask", str(file), QUESTION, "--max-new-tokens", "1"],
        "llama.cpp": [llama_cpp, "-c", LLAMA_CPP, str(file), QUESTION],
    }
    starts: dict[str, list[Start]] = {name: [] for name in commands}
    for _ in range(1 + rounds):
        for name, command in commands.items():
            starts[name].append(start_of(command))
    for name, measured in starts.items():
        seconds, processors, anonymous, mapped = (median(column) for column in zip(*measured[1:], strict=True))
        memory = f"{anonymous / 1e6:,.0f} | {mapped / 1e6:,.0f}"
        print(f"| {file.stem} | {name} | {seconds:.1f} | {processors:.1f} | {memory} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, help="GGUF files")
    parser.add_argument("--random", nargs="+", choices=RANDOM, default=[], help="files that are made for this")
    parser.add_argument("--folder", type=Path, help="for these files (default: the system's for temporary files)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--llama-cpp", default=sys.executable, metavar="PYTHON", help="a Python with llama-cpp-python")
    arguments = parser.parse_args()
    files = arguments.files
    if not files and not arguments.random:
        files = [gguf_path(get_model_config(DEFAULT_MODEL))]
    print("| file | program | seconds | of processors | anonymous, MB | mapped, MB |\n|---|---|---:|---:|---:|---:|")
    for file in files:
        measure(file, arguments.llama_cpp, arguments.rounds)
    for name in arguments.random:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as work:
            file = Path(work) / f"random-{name}.gguf"
            RANDOM[name](file)
            measure(file, arguments.llama_cpp, arguments.rounds)


if __name__ == "__main__":
    main()
