#!/usr/bin/env bash
# Library: AutoGPTQ 0.7.1
# Guess:   A checkpoint's zero points mean the same in each of the library's layers.
# Happens: A stored zero point of 15 is 16 in one and 0 in the other: one adds the 1 that the format leaves out after it
#          has cut the number to four bits, the other before.
# Output:  qlinear_cuda: a stored zero point of 14 gives the weights -15.0, one of 15 gives -16.0
#          qlinear_cuda_old: a stored zero point of 14 gives the weights -15.0, one of 15 gives 0.0
# Matters: who reads such checkpoints has to choose, and a comparison with the library proves only the layer that ran.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show auto-gptq==0.7.1 torch==2.13.0 transformers==5.5.4 <<'PY'
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path

import torch

SIZE = 32


def layer_class(name):
    """The package itself imports models of an older Transformers, so the layer's module is loaded alone."""
    path = Path(find_spec("auto_gptq").origin).parent / "nn_modules" / "qlinear" / f"{name}.py"
    spec = spec_from_file_location(name, path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.QuantLinear


def weight(name, stored):
    """One of the weights of a layer whose integers are 0 and whose scales are 1."""
    layer = layer_class(name)(4, SIZE, SIZE, SIZE, bias=False)
    layer.scales = torch.ones_like(layer.scales, dtype=torch.float32)
    packed = sum(stored << 4 * place for place in range(8))
    layer.qzeros = torch.full_like(layer.qzeros, packed - (1 << 32))
    return layer(torch.eye(SIZE)).unique().item()


found = {}
for name in ("qlinear_cuda", "qlinear_cuda_old"):
    found[name] = weight(name, 14), weight(name, 15)
    print(f"{name}: a stored zero point of 14 gives the weights {found[name][0]}, one of 15 gives {found[name][1]}")
assert found == {"qlinear_cuda": (-15.0, -16.0), "qlinear_cuda_old": (-15.0, 0.0)}
PY
