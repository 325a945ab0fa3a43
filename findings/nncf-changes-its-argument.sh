#!/usr/bin/env bash
# Library: NNCF 3.4.0 (with OpenVINO 2026.4.1)
# Guess:   compress_weights returns a new model, so that the original is still there to compare with.
# Happens: it compresses the model that it is given, and returns that same object.
# Output:  returned the same object: True; the "original" now holds: i4
# Matters: "before" and "after" in a comparison are the same model, and the error measured is 0. Use model.clone().
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show nncf==3.4.0 openvino==2026.4.1 <<'PY'
import nncf
import numpy as np
import openvino as ov
from openvino import opset13 as op

SIZE = 128
weights = np.random.default_rng(0).standard_normal((SIZE, SIZE)).astype(np.float32)
rows = op.parameter([-1, -1, SIZE], np.float32)
original = ov.Model([op.matmul(rows, op.constant(weights), False, True)], [rows], "linear")
compressed = nncf.compress_weights(
    original, mode=nncf.CompressWeightsMode.INT4_SYM, group_size=64, all_layers=True
)
constants = [node for node in original.get_ops() if node.get_type_name() == "Constant"]
held = max(constants, key=lambda node: np.prod(node.shape)).get_element_type().get_type_name()
print(f'returned the same object: {compressed is original}; the "original" now holds: {held}')
assert compressed is original and held == "i4"
PY
