#!/usr/bin/env bash
# Library: openvino-genai 2026.4.1.0 (with openvino-tokenizers 2026.4.1.0, transformers 5.5.4)
# Guess:   with do_sample=True, the same question asked twice is sampled anew, so that the answers differ.
# Happens: rng_seed is 0 unless given, and each generate() begins from it again: the answers are the same for ever.
# Output:  twice without a seed: equal; with rng_seed=1: another
# Matters: "regenerate" gives the same answer again, and best-of-n over calls picks from n equal ones. Give each call a
#          seed.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 openvino-genai==2026.4.1.0 openvino-tokenizers==2026.4.1.0 transformers==5.5.4 <<'PY'
from pathlib import Path

import numpy as np
import openvino as ov
import openvino_genai
import openvino_tokenizers
from openvino import opset13 as op
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

characters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE({character: i for i, character in enumerate(characters)}, []))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["</s>"])
hf_tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
converted = openvino_tokenizers.convert_tokenizer(hf_tokenizer, with_detokenizer=True)
ov.save_model(converted[0], "openvino_tokenizer.xml")
ov.save_model(converted[1], "openvino_detokenizer.xml")

# The model: each printable ASCII character is as likely as the others, whatever comes before.
size = tokenizer.get_vocab_size()
logits = np.full((size, size), -100, np.float32)
logits[:, [tokenizer.token_to_id(chr(code)) for code in range(ord("!"), ord("~") + 1)]] = 0
inputs = [op.parameter([-1, -1], np.int64, name=name) for name in ("input_ids", "attention_mask", "position_ids")]
inputs.append(op.parameter([-1], np.int32, name="beam_idx"))
for node in inputs:
    node.output(0).set_names({node.friendly_name})
result = op.result(op.gather(op.constant(logits), inputs[0], op.constant(0)))
result.output(0).set_names({"logits"})
ov.save_model(ov.Model([result], inputs, "model"), "openvino_model.xml")
Path("config.json").write_text('{"model_type": "llama"}', encoding="utf-8")

pipeline = openvino_genai.LLMPipeline(".", "CPU", ATTENTION_BACKEND="SDPA")
settings = {"apply_chat_template": False, "max_new_tokens": 20, "do_sample": True}
first, second = (pipeline.generate("a", **settings) for _ in range(2))
other = pipeline.generate("a", rng_seed=1, **settings)
print(f"twice without a seed: {'equal' if first == second else 'different'}; with rng_seed=1: ", end="")
print("the same" if other == first else "another")
assert len(first) == 20 and first == second != other
PY
