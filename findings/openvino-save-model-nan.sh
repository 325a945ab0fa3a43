#!/usr/bin/env bash
# Library: OpenVINO 2026.4.1
# Guess:   save_model, which stores weights as FP16 unless told otherwise, keeps NaN and infinity: FP16 has both.
# Happens: NaN, infinity and all that is too large for FP16 become 65504, FP16's largest number.
# Output:  float32 [nan, inf, -inf, 100000.0] was saved as float16 [65504.0, 65504.0, -65504.0, 65504.0]
# Matters: a damaged weight, or a mask of -inf, is a large ordinary number when the model is read again.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 <<'PY'
import numpy as np
import openvino as ov
from openvino import opset13 as op

values = np.array([np.nan, np.inf, -np.inf, 1e5, 1, 2], np.float32)  # if most were too large, it would save FP32
row = op.parameter([values.size], np.float32)
ov.save_model(ov.Model([op.add(row, op.constant(values))], [row], "sum"), "model.xml")
(constant,) = [node for node in ov.Core().read_model("model.xml").get_ops() if node.get_type_name() == "Constant"]
print(f"float32 {values[:4].tolist()} was saved as {constant.data.dtype} {constant.data[:4].tolist()}")
assert constant.data.dtype == np.float16
assert constant.data.tolist() == [65504, 65504, -65504, 65504, 1, 2]
PY
