#!/usr/bin/env bash
# Library: OpenVINO 2026.4.1
# Guess:   "u8" names the type with eight bits wherever OpenVINO's Python API takes a type's name, as in
#          opset13.convert.
# Happens: ov.Type("u8") is numpy's u8, an integer of eight bytes, and ov.Type("i4") is one of 32 bits. ov.Type("u4") is
#          not the 4-bit type either. The attributes ov.Type.u8, ov.Type.i4 are the short ones.
# Output:  "u8": convert makes u8, Type("u8") is u64
#          "i4": convert makes i4, Type("i4") is i32
# Matters: a tensor of bytes made with Type("u8") is eight times as large, and weights of Type("i4") are not compressed.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 <<'PY'
import numpy as np
import openvino as ov
from openvino import opset13 as op

for name, short, long in (("u8", ov.Type.u8, ov.Type.u64), ("i4", ov.Type.i4, ov.Type.i32)):
    made = op.convert(op.parameter([1], np.float32), name).get_output_element_type(0)
    print(f'"{name}": convert makes {made.to_string()}, Type("{name}") is {ov.Type(name).to_string()}')
    assert made == short and ov.Type(name) == long
PY
