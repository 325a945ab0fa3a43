"""Measures time and anonymous memory of converting a GGUF file that keeps its own blocks.

    python -m benchmarks.gguf_conversion FOLDER [--embedded]

Writes a Llama-like 7B file with random blocks to FOLDER, with the types of Q4_K_M (Q6_K for the output layer and, in
every other layer, for `attn_v` and `ffn_down`; Q4_K for the rest), converts it and removes both. That needs 16 GB of
disk space. With `--embedded` it converts the embedded model's file instead. The conversion runs in its own process, and
its time includes all imports; `conversion.py` describes the samples.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from benchmarks.conversion import SHAPES, sample
from benchmarks.random_gguf import write_llama
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.folder.manifest import MODEL_BIN

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the conversion of a GGUF file with its own blocks.")
    parser.add_argument("folder", type=Path, help="for the file and its conversion, which are removed at the end")
    parser.add_argument("--embedded", action="store_true", help="convert the embedded model")
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(dir=arguments.folder))
    try:
        name = DEFAULT_MODEL
        if not arguments.embedded:
            name = str(work / "random.gguf")
            write_llama(Path(name), SHAPES["7B"])
        samples = sample([sys.executable, str(ROOT / "converter.py"), name, "--output", str(work)], interval=0.05)
        size = next(work.glob(f"*/*/{MODEL_BIN}")).stat().st_size
    finally:
        shutil.rmtree(work, ignore_errors=True)
    seconds, cpu, _ = samples[-1]
    peak = max(memory for _, _, memory in samples) / 2**30
    print("| file | .bin, GB | peak, GiB | seconds | of CPU |\n|---|---:|---:|---:|---:|")
    print(f"| {Path(name).stem} | {size / 1e9:.2f} | {peak:.2f} | {seconds:.0f} | {cpu:.0f} |")


if __name__ == "__main__":
    main()
