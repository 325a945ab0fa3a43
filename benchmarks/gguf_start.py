"""Measures the time from the start of a process to the first token of an answer from a GGUF file as it is.

    python -m benchmarks.gguf_start [FILE] [--rounds N] [--llama-cpp PYTHON]

ours       llm-chatbot ask FILE
llama.cpp  llama-cpp-python on the same file, with its default settings

Each figure is the median of the rounds, after one warm-up round; the programs take turns. Prints a table.
"""

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

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


def seconds_to_first_byte(command: Sequence[str]) -> float:
    """
    Raises:
        RuntimeError: the program wrote nothing.
    """
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        first = process.stdout.read(1)
        seconds = time.perf_counter() - started
        process.stdout.read()
    if not first:
        raise RuntimeError(f"{command[0]} ended with code {process.returncode} and wrote nothing.")
    return seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="a GGUF file (default: the embedded model's)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--llama-cpp", default=sys.executable, metavar="PYTHON", help="a Python with llama-cpp-python")
    arguments = parser.parse_args()
    file = str(arguments.file or gguf_path(get_model_config(DEFAULT_MODEL)))
    commands = {
        "ours": [sys.executable, "-m", "llm_chatbot", "ask", file, QUESTION, "--max-new-tokens", "1"],
        "llama.cpp": [arguments.llama_cpp, "-c", LLAMA_CPP, file, QUESTION],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(1 + arguments.rounds):
        for name, command in commands.items():
            seconds[name].append(seconds_to_first_byte(command))
    print("| | first token after |\n|---|---|")
    for name, measured in seconds.items():
        print(f"| {name} | {median(measured[1:]):.1f} s |")


if __name__ == "__main__":
    main()
