#!/usr/bin/env bash
# Library: transformers 5.5.4
# Guess:   an image processor made with other limits for one model leaves the default limits of the next one alone.
# Happens: `min_pixels` and `max_pixels` are written into the dictionary that all processors of the class share.
# Output:  default before: {'shortest_edge': 3136, 'longest_edge': 1003520}; after: {'shortest_edge': 100, 'longest_edge': 5000}
# Matters: a process that serves two models scales the second one's images to the first one's size. Give `size` instead.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show transformers==5.5.4 pillow==12.3.0 numpy==2.4.6 <<'PY'
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil as Processor

before = dict(Processor.size)
Processor(min_pixels=100, max_pixels=5000)
after = dict(Processor.size)
print(f"default before: {before}; after: {after}")
assert before["longest_edge"] == 1003520 and after["longest_edge"] == Processor().size.longest_edge == 5000
PY
