"""Makes bitsandbytes_matrices.npz: matrices that bitsandbytes packs, and what it unpacks them to.

    pip install bitsandbytes==0.50.2 torch
    python -m tests.data.make_bitsandbytes_matrices

Each case has the arrays of one matrix by the ends of the names of a checkpoint, as "nf4 4/weight.absmax", and
"nf4 4/values". A case's name has the method and the bits first.
"""

from pathlib import Path

import bitsandbytes.functional
import numpy as np
import torch

OUTPUT = Path(__file__).with_name("bitsandbytes_matrices.npz")
ROWS, COLUMNS = 32, 128

Case = dict[str, np.ndarray]


def main() -> None:
    torch.manual_seed(0)
    cases = {
        "nf4 4": packed("nf4"),
        "nf4 4 double": packed("nf4", double=True),
        "nf4 4 blocks of 128": packed("nf4", block=128),
        "nf4 4 in bfloat16": packed("nf4", storage=torch.bfloat16),
        "fp4 4": packed("fp4"),
        "fp4 4 double, of float16": packed("fp4", double=True, type=torch.float16),
        "llm.int8 8": integers(),
    }
    arrays = {f"{name}/{end}": array for name, case in cases.items() for end, array in case.items()}
    np.savez_compressed(OUTPUT, allow_pickle=False, **arrays)


def packed(
    kind: str,
    double: bool = False,
    block: int = 64,
    storage: torch.dtype = torch.uint8,
    type: torch.dtype = torch.float32,
) -> Case:
    """The values are those that the library computes with, in the type that was quantized."""
    weight, state = bitsandbytes.functional.quantize_4bit(
        torch.randn(ROWS, COLUMNS).to(type), None, None, block, double, kind, storage
    )
    values = bitsandbytes.functional.dequantize_4bit(weight, state)
    parts = {f"weight.{end}": tensor.numpy() for end, tensor in state.as_dict(packed=True).items()}
    stored = weight.view(torch.uint16) if storage == torch.bfloat16 else weight  # NumPy has no type for it
    return {"weight": stored.numpy(), "values": values.numpy(), **parts}


def integers() -> Case:
    weight, largest, _ = bitsandbytes.functional.int8_vectorwise_quant(torch.randn(ROWS, COLUMNS).half())
    values = bitsandbytes.functional.int8_vectorwise_dequant(weight, largest)
    return {"weight": weight.numpy(), "SCB": largest.numpy(), "weight_format": np.uint8(0), "values": values.numpy()}


if __name__ == "__main__":
    main()
