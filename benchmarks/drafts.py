"""Speed with a draft model over its acceptance: the embedded model drafts for itself, made wider.

    python -m benchmarks.drafts --noise 0 0.1 0.2 --tokens 96

The wide model computes what the embedded one does (`benchmarks/widened.py`), with 1.0 billion weights; noise on its
scales makes it another one, for which fewer drafted tokens are right. Each line is one wide model, with greedy answers
to the same questions with drafts and without, in turns. With `--peer PYTHON`, llama-cpp-python decodes the same files
without drafts: its Python API takes prompt lookup for a draft model, and no other model.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
from pathlib import Path

import psutil

from benchmarks.widened import write_widened
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.engine.decode.draft_model import DraftFigures
from llm_chatbot.engine.loading import open_files, open_model
from llm_chatbot.engine.model import ChatModel
from llm_chatbot.engine.session import ChatSession
from llm_chatbot.engine.text.tokenizer import ChatTokenizer
from llm_chatbot.sources.gguf_files import gguf_path

QUESTIONS = ("Write a short story about a dragon.", "Explain how rain forms.", "Describe a market in the morning.")

PEER = """
import json, sys, time
from llama_cpp import Llama
path, tokens, threads, *questions = sys.argv[1:]
model = Llama(path, n_ctx=1024, n_threads=int(threads), verbose=False)
speeds = []
for question in questions:
    messages = [{"role": "user", "content": question}]
    stream = model.create_chat_completion(messages, max_tokens=int(tokens), temperature=0, stream=True)
    times = [time.perf_counter() for chunk in stream if chunk["choices"][0]["delta"].get("content")]
    speeds.append((len(times) - 1) / (times[-1] - times[0]))
print(json.dumps(speeds))
"""


def answer(model: ChatModel, tokenizer: ChatTokenizer, question: str, tokens: int) -> tuple[float, DraftFigures]:
    """Tokens per second of an answer, and how its drafts did."""
    session = ChatSession(model, tokenizer)
    *_, last = session.stream(question, max_new_tokens=tokens)
    return last.tokens_per_second, session._cache.draft_figures or DraftFigures()


def measure(file: Path, draft: Path, tokens: int) -> tuple[float, float, float]:
    """Tokens per second without drafts and with them, and the share of drafted tokens that were accepted in turn."""
    files = open_files(file)
    model = open_model(files, draft=draft, kv_cache_gb=1)
    drafting = model.draft
    plain, drafted, accepted, reached = [], [], 0, 0
    for question in QUESTIONS:
        model.draft = None
        plain.append(answer(model, files.tokenizer, question, tokens)[0])
        model.draft = drafting
        speed, figures = answer(model, files.tokenizer, question, tokens)
        drafted.append(speed)
        accepted, reached = accepted + figures.accepted, reached + figures.reached
    return statistics.median(plain), statistics.median(drafted), accepted / max(reached, 1)


def peer_speed(python: Path, file: Path, tokens: int) -> float:
    """llama.cpp's tokens per second without drafts."""
    threads = str(psutil.cpu_count(logical=False) or 1)
    command = [str(python), "-c", PEER, str(file), str(tokens), threads, *QUESTIONS]
    return statistics.median(json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--noise", type=float, nargs="+", default=[0.0, 0.1, 0.2, 0.4])
    parser.add_argument("--times", type=int, default=3, help="how many times as wide")
    parser.add_argument("--tokens", type=int, default=96)
    parser.add_argument("--peer", type=Path, help="Python with llama-cpp-python")
    arguments = parser.parse_args()
    draft = gguf_path(get_model_config(DEFAULT_MODEL))
    print("| noise | accepted | tokens/s without | with drafts | times | llama.cpp without |")
    print("|---:|---:|---:|---:|---:|---:|")

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "wide.gguf"
        for noise in arguments.noise:
            write_widened(draft, file, arguments.times, noise)
            plain, drafted, share = measure(file, draft, arguments.tokens)
            peer = f"{peer_speed(arguments.peer, file, arguments.tokens):.1f}" if arguments.peer else ""
            row = f"{noise:g} | {share:.0%} | {plain:.1f} | {drafted:.1f} | {drafted / plain:.2f} | {peer}"
            print(f"| {row} |", flush=True)


if __name__ == "__main__":
    main()
