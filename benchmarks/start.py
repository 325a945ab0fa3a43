"""Measures the time to the first answer when everything is installed and converted.

    python -m benchmarks.start [--rounds N]

Runs `converter.py` on an up-to-date folder, then `chat_ui.py` until the page has answered a short question through its
API. `benchmarks/gguf_start.py` measures a GGUF file that is opened as it is. Each figure is the median of the rounds,
after one warm-up round. Prints a table.
"""

import argparse
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from gradio_client import Client

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.convert.conversion import convert_model

ROOT = Path(__file__).resolve().parents[1]

QUESTION = "Name the capital of France."
POLL_SECONDS = 0.02


def seconds(call: Callable[[], None]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def convert_again() -> None:
    """Runs the converter, which finds the folder up to date."""
    subprocess.run([sys.executable, "converter.py", DEFAULT_MODEL], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def wait_for(port: int, page: subprocess.Popen) -> None:
    """Waits until the page listens on its port; raises a `RuntimeError` if it exits before."""
    while page.poll() is None:
        with socket.socket() as client:
            if client.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(POLL_SECONDS)
    raise RuntimeError(f"chat_ui.py exited with code {page.returncode} before it listened.")


def chat_once() -> None:
    """Starts the page, asks a question and reads the whole answer; does not wait for the page to exit."""
    port = free_port()
    page = subprocess.Popen([sys.executable, "chat_ui.py", "--port", str(port)], cwd=ROOT, stdout=subprocess.DEVNULL)
    try:
        wait_for(port, page)
        client = Client(f"http://127.0.0.1:{port}", verbose=False)
        answer = client.predict(QUESTION, temperature=0, repetition_penalty=1, api_name="/chat")
        assert "Paris" in answer, answer
    finally:
        page.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the start of the command line and of the page.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds

    convert_model(DEFAULT_MODEL, output_root=ROOT)
    times = [(seconds(convert_again), seconds(chat_once)) for _ in range(rounds + 1)][1:]
    converting, chatting = (median(column) for column in zip(*times, strict=True))
    print(f"| | seconds, median of {rounds} |\n|---|---:|")
    print(f"| `python converter.py {DEFAULT_MODEL}` on an up-to-date folder | {converting:.1f} |")
    print(f"| `python chat_ui.py` to its first answer through `/chat` | {chatting:.1f} |")
    print(f"| both, as `make chat` | {median(map(sum, times)):.1f} |")


if __name__ == "__main__":
    main()
