#!/usr/bin/env bash
# Library: NNCF 3.4.0 (with OpenVINO 2026.4.1)
# Guess:   a NaN among the weights stops compress_weights, or the compressed weight is NaN too.
# Happens: the NaN becomes an ordinary number, in every mode, without a warning.
# Output:  INT8_SYM: NaN became -2.927734375
# Matters: a damaged checkpoint passes the conversion, and no later check can find the damage. Look for NaN before.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show nncf==3.4.0 openvino==2026.4.1 <<'PY'
import nncf
import numpy as np
import openvino as ov
from openvino import opset13 as op

SIZE, ROW, COLUMN = 256, 3, 5


def model():
    weights = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(np.float32)
    weights[ROW, COLUMN] = np.nan
    rows = op.parameter([-1, -1, SIZE], np.float32)
    return ov.Model([op.matmul(rows, op.constant(weights), False, True)], [rows], "linear")


for mode in ("INT8_SYM", "INT8_ASYM", "INT4_SYM", "INT4_ASYM"):
    four_bits = {"group_size": 64, "all_layers": True} if "INT4" in mode else {}
    compressed = nncf.compress_weights(model(), mode=getattr(nncf.CompressWeightsMode, mode), **four_bits)
    compiled = ov.compile_model(compressed, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    weights = compiled(np.eye(SIZE, dtype=np.float32)[None])[0][0].T  # the identity's product is the matrix
    print(f"{mode}: NaN became {weights[ROW, COLUMN]}")
    assert np.isfinite(weights).all()
PY
