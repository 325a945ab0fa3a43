"""Makes gguf_logits.json: what llama.cpp says to the small GGUF models of the tests, one of each architecture.

    pip install llama-cpp-python
    python -m tests.data.make_gguf_logits

llama.cpp rounds activations to 8 bits where
weights are blocks, so its logits are near ours and not the same.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
from llama_cpp import Llama

from tests.gguf_files import ARCHITECTURES, write_architecture

HERE = Path(__file__).resolve().parent

IDS = list(range(0, 120, 3))


def main() -> None:
    logits = {}
    with tempfile.TemporaryDirectory() as folder:
        for architecture in ARCHITECTURES:
            path = Path(folder, f"{architecture}.gguf")
            write_architecture(path, architecture)
            model = Llama(str(path), n_ctx=256, n_batch=256, logits_all=True, verbose=False)
            model.eval(IDS)
            logits[architecture] = np.round(model.scores[len(IDS) - 1].astype(float), 3).tolist()
    with (HERE / "gguf_logits.json").open("w", encoding="utf-8") as file:
        json.dump({"ids": IDS, "logits": logits}, file)


if __name__ == "__main__":
    main()
