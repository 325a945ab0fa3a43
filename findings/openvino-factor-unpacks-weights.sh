#!/usr/bin/env bash
# Library: OpenVINO 2026.4.1, CPU
# Guess:   a constant factor after a product with INT4 weights costs one small multiplication.
# Happens: where the input has rank 2, the factor is moved into the weights: they are unpacked to float32, and the
#          product reads eight times the bytes. With rank 3 it stays where it is.
# Output:  input of rank 2, no factor: the product reads weights of type i4
#          input of rank 2, factor 0.5: the product reads weights of type f32
#          input of rank 3, factor 0.5: the product reads weights of type i4
# Matters: in a graph whose hidden states have rank 2, multipliers such as Granite's and Cohere's undo the compression.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 <<'PY'
import numpy as np
import openvino as ov
from openvino import opset13 as op

SIZE, GROUP = 512, 32
packed = np.random.default_rng(0).integers(0, 256, SIZE * SIZE // 2).astype(np.uint8)
tensor = ov.Tensor(packed, ov.Shape([SIZE, SIZE // GROUP, GROUP]), ov.Type.i4)
scales = np.full((SIZE, SIZE // GROUP, 1), 0.01, np.float16)


def read_weights(rank, factor):
    """The type of the matrix that the compiled product reads."""
    matrix = op.multiply(op.convert(ov.op.Constant(tensor), "f16"), op.constant(scales))
    matrix = op.convert(op.reshape(matrix, op.constant(np.array([SIZE, SIZE])), False), "f32")
    rows = op.parameter([-1] * (rank - 1) + [SIZE], np.float32)
    product = op.matmul(rows, matrix, False, True)
    if factor:
        product = op.multiply(product, op.constant(np.float32(factor)))
    compiled = ov.compile_model(ov.Model([product], [rows], "linear"), "CPU")
    compiled(np.ones([1] * (rank - 1) + [SIZE], np.float32))
    nodes = compiled.get_runtime_model().get_ops()
    (executed,) = [node for node in nodes if node.get_rt_info()["layerType"].astype(str) == "FullyConnected"]
    shape = ov.PartialShape([SIZE, SIZE])
    weights = next(source for source in executed.input_values() if source.get_partial_shape() == shape)
    kind = weights.get_node().get_rt_info()["outputPrecisions"].astype(str)
    after = f"factor {factor}" if factor else "no factor"
    print(f"input of rank {rank}, {after}: the product reads weights of type {kind}")
    return kind


assert read_weights(2, None) == "i4"
assert read_weights(2, 0.5) == "f32"
assert read_weights(3, 0.5) == "i4"
PY
