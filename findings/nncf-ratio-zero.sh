#!/usr/bin/env bash
# Library: NNCF 3.4.0 (with OpenVINO 2026.4.1)
# Guess:   `ratio` is the share of layers in 4 bits, so with ratio=0.0 none is, as with ratio=0.01.
# Happens: ratio=0.0 is taken for "not given", which means 1.0: each layer but the last is in 4 bits.
# Output:  ratio 0.0: 5 of 6 matrices in 4 bits
#          ratio 0.01: 0 of 6 matrices in 4 bits
#          ratio 1.0: 5 of 6 matrices in 4 bits
# Matters: a search over ratios that begins at 0 compares against the wrong end.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show nncf==3.4.0 openvino==2026.4.1 <<'PY'
import nncf
import numpy as np
import openvino as ov
from openvino import opset13 as op

LAYERS, SIZE = 6, 256


def model():
    rng = np.random.default_rng(0)
    rows = hidden = op.parameter([-1, -1, SIZE], np.float32)
    for _ in range(LAYERS):
        weights = op.constant(rng.standard_normal((SIZE, SIZE)).astype(np.float32))
        hidden = op.relu(op.matmul(hidden, weights, False, True))
    return ov.Model([hidden], [rows], "layers")


def four_bit_matrices(ratio):
    compressed = nncf.compress_weights(
        model(), mode=nncf.CompressWeightsMode.INT4_SYM, ratio=ratio, group_size=64
    )
    constants = [node for node in compressed.get_ops() if node.get_type_name() == "Constant"]
    return sum(node.get_element_type() == ov.Type.i4 for node in constants)


counts = {ratio: four_bit_matrices(ratio) for ratio in (0.0, 0.01, 1.0)}
for ratio, count in counts.items():
    print(f"ratio {ratio}: {count} of {LAYERS} matrices in 4 bits")
assert counts == {0.0: LAYERS - 1, 0.01: 0, 1.0: LAYERS - 1}
PY
