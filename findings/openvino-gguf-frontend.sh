#!/usr/bin/env bash
# Library: openvino 2026.4.1 (with gguf 0.19.0)
# Guess:   what `FrontEndManager.get_available_front_ends` lists and `Core.read_model` opens is all that the wheel reads.
# Happens: a frontend for GGUF files is there too. Neither names it, and `read_model` refuses the file, but
#          `load_by_framework("gguf")` opens it. Its graph holds the quantized weights compressed, with inputs and
#          outputs for keys and values in place of a state. Minimums of Q4_K become whole zero points: weights move by
#          up to half a step.
# Output:  listed: False; read_model: refused; by name: gguf
#          a Q4_K matrix: the largest error is 0.50 steps
# Matters: who asks OpenVINO what it reads concludes that GGUF needs a converter, and who takes this frontend gets
#          weights that are not the file's.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 gguf==0.19.0 <<'PY'
import gguf
import numpy as np
import openvino as ov
from openvino.frontend import FrontEndManager

EMBEDDING, HEADS, LAYERS, TOKENS = 256, 4, 1, 64
random = np.random.default_rng(0)


def q4_k(rows: int) -> np.ndarray:
    """Blocks of 256 weights: two halves for scales and minimums, twelve bytes of 6-bit ones, 128 bytes of weights."""
    blocks = random.integers(0, 256, (rows, 144), dtype=np.uint8)
    blocks[:, :2] = np.full((rows, 1), 0.001, np.float16).view(np.uint8)
    blocks[:, 2:4] = np.full((rows, 1), 0.002, np.float16).view(np.uint8)
    blocks[:, 4:16] |= 0x11  # no scale is zero
    return blocks


writer = gguf.GGUFWriter("small.gguf", "llama")
writer.add_block_count(LAYERS)
writer.add_context_length(128)
writer.add_embedding_length(EMBEDDING)
writer.add_feed_forward_length(EMBEDDING)
writer.add_head_count(HEADS)
writer.add_head_count_kv(HEADS)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_dimension_count(EMBEDDING // HEADS)
writer.add_vocab_size(TOKENS)
writer.add_tensor("token_embd.weight", random.standard_normal((TOKENS, EMBEDDING)).astype(np.float32))
writer.add_tensor("output.weight", random.standard_normal((TOKENS, EMBEDDING)).astype(np.float32))
for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up"):
    matrix = random.standard_normal((EMBEDDING, EMBEDDING)).astype(np.float32)
    writer.add_tensor(f"blk.0.{name}.weight", matrix)
packed = q4_k(EMBEDDING)
writer.add_tensor("blk.0.ffn_down.weight", packed, raw_dtype=gguf.GGMLQuantizationType.Q4_K)
for name in ("blk.0.attn_norm", "blk.0.ffn_norm", "output_norm"):
    writer.add_tensor(f"{name}.weight", np.ones(EMBEDDING, np.float32))
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()

manager = FrontEndManager()
listed = "gguf" in manager.get_available_front_ends()
try:
    ov.Core().read_model("small.gguf")
    opened = "opened"
except RuntimeError:
    opened = "refused"
frontend = manager.load_by_framework("gguf")
model = frontend.convert(frontend.load("small.gguf"))
print(f"listed: {listed}; read_model: {opened}; by name: {frontend.get_name()}")



def reader(node: ov.Node) -> ov.Node:
    return next(iter(node.output(0).get_target_inputs())).get_node()


constants = [node for node in model.get_ops() if node.get_type_name() == "Constant"]
(integers,) = (node for node in constants if node.get_element_type() == ov.Type.u4)
scaled = reader(reader(reader(integers)))  # the constant → Convert → Subtract zero points → Multiply by scales
assert scaled.get_type_name() == "Multiply"
weights = ov.Model([scaled.output(0)], [], "weights")
exact = {"INFERENCE_PRECISION_HINT": "f32"}
found = next(iter(ov.Core().compile_model(weights, "CPU", exact)({}).values())).astype(np.float32)
expected = gguf.dequantize(packed, gguf.GGMLQuantizationType.Q4_K).reshape(found.shape)
scale = scaled.input_value(1).get_node().data.astype(np.float32)
error = float((np.abs(found - expected) / scale).max())
print(f"a Q4_K matrix: the largest error is {error:.2f} steps")
assert not listed and opened == "refused" and 0.45 < error < 0.55
PY
