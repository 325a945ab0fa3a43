#!/usr/bin/env bash
# Library: OpenVINO 2026.4.1, CPU
# Guess:   the group size of INT4 weights may be any divisor of the row: it changes the speed, never the product.
# Happens: with groups of 72 or 144 the products of one to four rows are wrong; those of five and more are right.
# Output:  groups of  64: error 0.00000 for 1 row, 0.00000 for 4 rows, 0.00000 for 8 rows
#          groups of  72: error 0.45663 for 1 row, 0.23201 for 4 rows, 0.00000 for 8 rows
#          groups of 144: error 0.21885 for 1 row, 0.35469 for 4 rows, 0.00000 for 8 rows
# Matters: a hidden size of 576 asks for such groups. The prompt is read well, and each new token, a product of one row,
#          is computed wrongly. Seen with AVX2 (there also with groups of 40, 48, 56, 80, 88, 104, 112, 120, 136, 176,
#          208, 240 and 272) and, for 72 and 144, with AVX512.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 numpy==2.4.6 <<'PY'
import numpy as np
import openvino as ov
from openvino import opset13 as op

OUTPUTS, GROUPS = 64, 8
rng = np.random.default_rng(0)


def errors(group_size):
    """The largest error, relative to the largest product, for 1, 4 and 8 rows."""
    inputs = GROUPS * group_size
    weights = rng.integers(-8, 8, (OUTPUTS, GROUPS, group_size))
    scales = rng.uniform(0.01, 0.02, (OUTPUTS, GROUPS, 1)).astype(np.float16)
    packed = ((weights[..., ::2] & 15) | (weights[..., 1::2] & 15) << 4).astype(np.uint8)
    constant = ov.op.Constant(ov.Tensor(packed, ov.Shape(weights.shape), ov.Type.i4))
    matrix = op.multiply(op.convert(constant, "f16"), op.constant(scales))
    matrix = op.convert(op.reshape(matrix, op.constant(np.array([OUTPUTS, inputs])), False), "f32")
    rows = op.parameter([-1, -1, inputs], np.float32)
    model = ov.Model([op.matmul(rows, matrix, False, True)], [rows], "linear")
    compiled = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    exact = (weights * scales.astype(np.float32)).reshape(OUTPUTS, inputs).T
    for count in (1, 4, 8):
        values = rng.standard_normal((1, count, inputs)).astype(np.float32)
        yield float(np.abs(compiled(values)[0] - values @ exact).max() / np.abs(values @ exact).max())


for group_size in (64, 72, 144):
    one, four, eight = errors(group_size)
    print(f"groups of {group_size:3}: error {one:.5f} for 1 row, {four:.5f} for 4 rows, {eight:.5f} for 8 rows")
    assert (min(one, four) > 0.05) == (group_size != 64)
    assert eight < 0.05
PY
