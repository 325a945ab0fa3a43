"""Time and memory that loading a folder takes, in a process that does nothing else."""

import json
import subprocess
import sys
import time
from pathlib import Path

import psutil

from llm_chatbot.engine.loading import open_model


def measure_loading(folder: Path) -> tuple[float, int]:
    """Seconds to open a folder in a process of its own, and the bytes that the process has in memory then."""
    command = [sys.executable, "-m", "llm_chatbot.evaluation.loading", str(folder.resolve())]
    run = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=True)
    seconds, memory = json.loads(run.stdout)
    return seconds, memory


def main() -> None:
    start = time.perf_counter()
    model = open_model(sys.argv[1])
    seconds = time.perf_counter() - start
    print(json.dumps([seconds, psutil.Process().memory_info().rss]))
    del model


if __name__ == "__main__":
    main()
