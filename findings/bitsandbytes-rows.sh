#!/usr/bin/env bash
# Library: bitsandbytes 0.50.2, CPU
# Guess:   What `quantize_4bit` packs, `dequantize_4bit` unpacks, whatever the shape.
# Happens: Blocks of 64 weights go on in the next row where rows are no multiple of 64 when they are packed, but begin
#          anew in each row when they are unpacked: most weights get another block's scale. Nothing is raised.
# Output:  rows of 128: mean error 0.073 by the library, 0.073 with each block's own scale
#          rows of  96: mean error 0.183 by the library, 0.073 with each block's own scale
# Matters: such a layer computes garbage on a processor, and a reader of checkpoints can't be tested by the library alone.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show bitsandbytes==0.50.2 torch==2.13.0 numpy <<'PY'
import torch
from bitsandbytes.functional import dequantize_4bit, quantize_4bit

BLOCK = 64


def errors(rows, columns):
    """The mean errors of a random matrix, unpacked by the library and by its table and scales."""
    torch.manual_seed(0)
    weight = torch.randn(rows, columns)
    packed, state = quantize_4bit(weight, blocksize=BLOCK, quant_type="nf4")
    places = torch.stack([packed >> 4, packed & 15], dim=-1).reshape(-1, BLOCK).long()
    own = (state.code[places] * state.absmax[:, None]).reshape(rows, columns)
    return [(found - weight).abs().mean().item() for found in (dequantize_4bit(packed, state), own)]


found = {columns: errors(32, columns) for columns in (128, 96)}
for columns, (library, own) in found.items():
    print(f"rows of {columns:3}: mean error {library:.3f} by the library, {own:.3f} with each block's own scale")
assert found[128][0] == found[128][1]
assert found[96][0] > 2 * found[96][1]
PY
