"""Makes logits.npz: what llama.cpp says to the small models of the tests, one or more of each architecture.

    pip install llama-cpp-python
    python -m tests.decoder.make_logits

With weights of 32 bits llama.cpp rounds nothing but GELU, so its logits are ours but for the order of sums.
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from llama_cpp import Llama

from tests.decoder.small_decoders import AFTER, CONTEXT, IDS, SMALL, Small, write

FLOAT32 = 0  # ggml's number for the type


def logits_of(small: Small, folder: Path) -> np.ndarray:
    """After some of the tokens, float16 [tokens, vocabulary]."""
    path = folder / "small.gguf"
    write(path, small)
    model = Llama(
        str(path),
        n_ctx=CONTEXT,
        n_batch=CONTEXT,
        logits_all=True,
        verbose=False,
        type_k=FLOAT32,
        type_v=FLOAT32,
        swa_full=True,
    )
    model.eval(IDS)
    return model.scores[AFTER].astype(np.float16)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        logits: dict[str, Any] = {name: logits_of(small, Path(folder)) for name, small in SMALL.items()}
    np.savez_compressed(Path(__file__).with_name("logits.npz"), **logits)


if __name__ == "__main__":
    main()
