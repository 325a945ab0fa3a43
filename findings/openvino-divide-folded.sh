#!/usr/bin/env bash
# Library: OpenVINO 2026.4.1, CPU
# Guess:   Divide of integers rounds down, as its attribute m_pythondiv (true unless set) promises: -7 / 2 = -4.
# Happens: it does so for constants only. Of an input, the CPU plugin rounds towards zero: -3.
# Output:  -7 / 2 of an input: -3; of a constant: -4
# Matters: relative positions and paddings below zero are off by one, and a check with constants does not show it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 <<'PY'
import numpy as np
import openvino as ov
from openvino import opset13 as op


def half(number, parameter, value):
    divide = op.divide(number, op.constant(np.array([2], np.int32)))
    assert divide.get_attributes()["m_pythondiv"]
    model = ov.Model([op.add(divide, op.constant(np.array([0], np.int32))), parameter], [parameter], "half")
    return int(ov.compile_model(model, "CPU")(np.array([value], np.int32))[0][0])


parameter = op.parameter([1], np.int32)
executed = half(parameter, parameter, -7)
folded = half(op.constant(np.array([-7], np.int32)), op.parameter([1], np.int32), 0)
print(f"-7 / 2 of an input: {executed}; of a constant: {folded}")
assert (executed, folded) == (-3, -4)
PY
