#!/usr/bin/env bash
# Library: openvino-genai 2026.4.1.0 (with openvino-tokenizers 2026.4.1.0, transformers 5.5.4)
# Guess:   with stop_strings the answer ends right before the stop string, or right after it if that is to be included.
# Happens: it ends with whole tokens. A stop string inside of a token stays in the answer, and so does what follows it
#          there.
# Output:  the model says 'onetwo.three'; with the stop string 'w': 'onetwo.'
# Matters: an answer carries the mark that it was to stop at, such as "\nUser:" merged with what comes before.
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

WORDS = ["one", "two.", "three", "</s>"]
characters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE({character: i for i, character in enumerate(characters)}, []))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_tokens(WORDS[:-1])
tokenizer.add_special_tokens(WORDS[-1:])
hf_tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
converted = openvino_tokenizers.convert_tokenizer(hf_tokenizer, with_detokenizer=True)
ov.save_model(converted[0], "openvino_tokenizer.xml")
ov.save_model(converted[1], "openvino_detokenizer.xml")

# The model: a character is followed by "one", and each of the words by the next word.
size = tokenizer.get_vocab_size()
start = tokenizer.token_to_id("one")
logits = np.roll(np.eye(size, dtype=np.float32), 1, axis=1)
logits[:start] = np.eye(size, dtype=np.float32)[start]
inputs = [op.parameter([-1, -1], np.int64, name=name) for name in ("input_ids", "attention_mask", "position_ids")]
inputs.append(op.parameter([-1], np.int32, name="beam_idx"))
for node in inputs:
    node.output(0).set_names({node.friendly_name})
result = op.result(op.gather(op.constant(logits), inputs[0], op.constant(0)))
result.output(0).set_names({"logits"})
ov.save_model(ov.Model([result], inputs, "model"), "openvino_model.xml")
Path("config.json").write_text('{"model_type": "llama"}', encoding="utf-8")

pipeline = openvino_genai.LLMPipeline(".", "CPU", ATTENTION_BACKEND="SDPA")
settings = {"apply_chat_template": False, "eos_token_id": tokenizer.token_to_id("</s>"), "max_new_tokens": 9}
whole = pipeline.generate("a", **settings)
stopped = pipeline.generate("a", stop_strings={"w"}, **settings)
print(f"the model says {whole!r}; with the stop string 'w': {stopped!r}")
assert whole == "onetwo.three" and stopped == "onetwo."
PY
