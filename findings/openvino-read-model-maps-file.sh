#!/usr/bin/env bash
# Library: OpenVINO 2026.4.1
# Guess:   after read_model, the weights are in memory and the .bin file may change.
# Happens: read_model maps the file. What is written into the file later is what the model computes with.
# Output:  saved 1.0, read, then wrote 2.0 into the file: the model multiplies by 2.0
# Matters: a converter that overwrites a model's files in place changes models that other code has read already.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 <<'PY'
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as op

number = op.parameter([1], np.float32)
weights = op.constant(np.array([1], np.float32))
model = ov.Model([op.multiply(number, weights)], [number], "product")
ov.save_model(model, "model.xml", compress_to_fp16=False)
read = ov.Core().read_model("model.xml")
with Path("model.bin").open("r+b") as weights:  # in place: the file keeps its size
    weights.write(np.float32(2).tobytes())
product = float(ov.compile_model(read, "CPU")(np.ones(1, np.float32))[0][0])
print(f"saved 1.0, read, then wrote 2.0 into the file: the model multiplies by {product}")
assert product == 2
PY
