"""Makes llama_cpp_logits.npz: what llama.cpp says to a small model with an adapter.

pip install llama-cpp-python
python -m tests.convert.adapters.make_llama_cpp_logits
"""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from llama_cpp import Llama

from tests.convert.adapters.test_gguf_base import SCALES, SMALL_LLAMA, write_both
from tests.decoder.small_decoders import AFTER, CONTEXT, IDS

FLOAT32 = 0  # ggml's number for the type


def logits_of(model: Path, adapter: Path, scale: float) -> np.ndarray:
    """After some of the tokens, float16 [tokens, vocabulary]."""
    types = {"type_k": FLOAT32, "type_v": FLOAT32}
    lora = {"lora_path": str(adapter), "lora_scale": scale}
    loaded = Llama(str(model), n_ctx=CONTEXT, n_batch=CONTEXT, logits_all=True, verbose=False, **types, **lora)
    loaded.eval(IDS)
    return loaded.scores[AFTER].astype(np.float16)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        model, adapter = write_both(Path(folder), SMALL_LLAMA)
        logits: dict[str, Any] = {f"{scale:g}": logits_of(model, adapter, scale) for scale in SCALES}
    np.savez_compressed(Path(__file__).with_name("llama_cpp_logits.npz"), **logits)


if __name__ == "__main__":
    main()
