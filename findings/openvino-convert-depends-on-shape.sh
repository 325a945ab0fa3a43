#!/usr/bin/env bash
# Library: OpenVINO 2026.4.1, CPU
# Guess:   Convert from float32 to u8 gives the same numbers whether the input's length is known or not.
# Happens: with an unknown length, 300 becomes 255 and -1 becomes 0 (the nearest value). With a known length, 300
#          becomes 44 and -1 becomes 255 (modulo 256), and so it does for constants.
# Output:  [300.0, -1.0, 2.5] with shape [?]: [255, 0, 2]; with shape [3]: [44, 255, 2]
# Matters: a quantizer written as a graph works without its Clamp until somebody reshapes the model. Seen with AVX2.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 <<'PY'
import numpy as np
import openvino as ov
from openvino import opset13 as op

values = np.array([300, -1, 2.5], np.float32)


def converted(length):
    numbers = op.parameter([length], np.float32)
    model = ov.Model([op.convert(numbers, "u8")], [numbers], "convert")
    return ov.compile_model(model, "CPU")(values)[0].tolist()


dynamic, static = converted(-1), converted(3)
print(f"{values.tolist()} with shape [?]: {dynamic}; with shape [3]: {static}")
assert dynamic == [255, 0, 2] and static == [44, 255, 2]
PY
