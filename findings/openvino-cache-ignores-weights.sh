#!/usr/bin/env bash
# Library: OpenVINO 2026.4.1, CPU
# Guess:   the cache of compiled models (CACHE_DIR) notices when a model's files change.
# Happens: another .bin file beside the same .xml file goes unnoticed: the old weights go on answering.
# Output:  weights 1: 1.0; weights 2, compiled from the cache: 1.0; without the cache: 2.0
# Matters: fine-tuned weights copied over a model's .bin file have no effect while the cache is there.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 <<'PY'
from pathlib import Path

import numpy as np
import openvino as ov
from openvino import opset13 as op


def save(weight, name):
    number = op.parameter([1], np.float32)
    weights = op.constant(np.array([weight], np.float32))
    ov.save_model(ov.Model([op.multiply(number, weights)], [number], "product"), name)


def product(**properties):
    return float(ov.Core().compile_model("model.xml", "CPU", properties)(np.ones(1, np.float32))[0][0])


save(1, "model.xml")
first = product(CACHE_DIR="cache")
save(2, "finetuned.xml")
Path("model.bin").write_bytes(Path("finetuned.bin").read_bytes())
cached, uncached = product(CACHE_DIR="cache"), product()
print(f"weights 1: {first}; weights 2, compiled from the cache: {cached}; without the cache: {uncached}")
assert (first, cached, uncached) == (1, 1, 2)
PY
