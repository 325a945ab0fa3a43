#!/usr/bin/env bash
# Library: OpenVINO 2026.4.1, CPU
# Guess:   an Add whose inputs and output are declared int64 is computed in 64 bits.
# Happens: the CPU plugin computes it in 32 bits and declares the result int64; so it does with float64 and float32.
# Output:  int64: 2147483647 + 1 = -2147483648
#          float64: 1 + 1e-09 = 1.0
# Matters: hashes, time stamps, and products of sizes come out wrong without an error. Values that pass through are
#          right.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 <<'PY'
import numpy as np
import openvino as ov
from openvino import opset13 as op


def add(left, right, dtype):
    number = op.parameter([1], dtype)
    model = ov.Model([op.add(number, op.constant(np.array([right], dtype)))], [number], "sum")
    total = ov.compile_model(model, "CPU")(np.array([left], dtype))[0]
    assert total.dtype == dtype
    print(f"{np.dtype(dtype)}: {left} + {right} = {total[0]}")
    return total[0]


assert add(2**31 - 1, 1, np.int64) == -(2**31)
assert add(1, 1e-9, np.float64) == 1
PY
