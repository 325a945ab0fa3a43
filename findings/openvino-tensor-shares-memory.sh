#!/usr/bin/env bash
# Library: OpenVINO 2026.4.1
# Guess:   Tensor copies a numpy array, with a shape and a type as without, and a Constant owns its values.
# Happens: Tensor(array) copies. Tensor(array, shape, type), the way to 4-bit values, shares the array's memory, and so
#          does the Constant made from it.
# Output:  the array is set to 0; Tensor(array): [7, 7]; Tensor(array, shape, type): [0, 0]
# Matters: a builder that frees or reuses its buffer before the model is compiled or saved changes the model's weights.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 <<'PY'
import numpy as np
import openvino as ov

array = np.array([7, 7], np.uint8)
copied = ov.op.Constant(ov.Tensor(array))
shared = ov.op.Constant(ov.Tensor(array, ov.Shape([2]), ov.Type.u8))
array[:] = 0
print(
    f"the array is set to 0; Tensor(array): {copied.data.tolist()}; Tensor(array, shape, type): {shared.data.tolist()}"
)
assert copied.data.tolist() == [7, 7] and shared.data.tolist() == [0, 0]
PY
