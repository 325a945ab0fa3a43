"""The first token of a conversation's next turn after a restart, with what was read kept on the disk and without.

    python -m benchmarks.restart --tokens 4000

Each answer is one of a process of its own, with a cache folder of this benchmark. What is printed is the time from the
question to the first token, in a process that has loaded the model.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.engine.loading import open_files, open_model
from llm_chatbot.engine.session import Answer, ChatSession
from llm_chatbot.sources.gguf_files import gguf_path

ROUNDS = 3


def conversation(tokens: int) -> list[dict[str, str]]:
    """A conversation of about so many tokens."""
    items = " ".join(f"Item {number} of the list costs {number * 7 % 13} dollars." for number in range(tokens // 13))
    read = {"role": "assistant", "content": "I have read the list."}
    return [{"role": "user", "content": items}, read, {"role": "user", "content": "What is its first item?"}]


def answer(model: Path, tokens: int, turns: int, cache_on_disk: bool) -> Answer:
    """The last state of an answer to the first message, or after the first two."""
    files = open_files(model)
    session = ChatSession(open_model(files, cache_on_disk=cache_on_disk), files.tokenizer)
    *_, last = session.answer(conversation(tokens)[:turns], max_new_tokens=16)
    return last


def answer_in_a_process(model: Path, tokens: int, turns: int, cache_on_disk: bool, folder: str) -> str:
    arguments = [str(model), "--tokens", str(tokens), "--turns", str(turns), *(["--on-disk"] if cache_on_disk else [])]
    command = [sys.executable, "-m", "benchmarks.restart", *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "LLM_CHATBOT_CACHE": folder}
    ).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, nargs="?", help="folder or GGUF file (default: the embedded model)")
    parser.add_argument("--tokens", type=int, default=4000)
    parser.add_argument("--turns", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--on-disk", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.turns:
        last = answer(arguments.model, arguments.tokens, arguments.turns, arguments.on_disk)
        print(last.time_to_first_token, last.prompt_tokens, last.cached_tokens)
        return
    model = arguments.model or gguf_path(get_model_config(DEFAULT_MODEL))
    seconds: dict[bool, list[float]] = {True: [], False: []}
    with tempfile.TemporaryDirectory() as folder:
        answer_in_a_process(model, arguments.tokens, 1, True, folder)
        size = sum(path.stat().st_size for path in Path(folder).rglob("*.blocks"))
        for on_disk in (True, False) * ROUNDS:
            first, prompt, cached = answer_in_a_process(model, arguments.tokens, 3, on_disk, folder).split()
            seconds[on_disk].append(float(first))
            print(
                f"{'kept' if on_disk else 'not kept':<9}{float(first):6.2f} s, {cached} of {prompt} tokens", flush=True
            )
    medians = [statistics.median(seconds[on_disk]) for on_disk in (True, False)]
    print(f"first token: {medians[0]:.2f} s with {size / 1e6:.0f} MB on the disk, {medians[1]:.2f} s without")


if __name__ == "__main__":
    main()
