#!/usr/bin/env bash
# Library: openvino-genai 2026.4.1.0 (with openvino-tokenizers 2026.4.1.0, transformers 5.5.4), Jinja2 3.1.6
# Guess:   apply_chat_template computes a template's expressions as Jinja does, for which the templates are written.
# Happens: its own engine divides integers without a remainder, counts bytes for characters, and gives True for `a and
#          b`.
# Output:  {{ 7 / 2 }}: Jinja2 3.5, openvino-genai 3
#          {{ "é" | length }}: Jinja2 1, openvino-genai 2
#          {{ 1 and "yes" }}: Jinja2 yes, openvino-genai True
# Matters: a prompt that a template computes from lengths or by `and` differs from the one of the training, silently.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 openvino-genai==2026.4.1.0 openvino-tokenizers==2026.4.1.0 \
    transformers==5.5.4 jinja2==3.1.6 <<'PY'
import jinja2
import openvino as ov
import openvino_genai
import openvino_tokenizers
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
genai_tokenizer = openvino_genai.Tokenizer(".")
messages = [{"role": "user", "content": "Hello"}]
found = {}
for template in ("{{ 7 / 2 }}", '{{ "é" | length }}', '{{ 1 and "yes" }}'):
    expected = jinja2.Environment().from_string(template).render(messages=messages)
    found[expected] = genai_tokenizer.apply_chat_template(messages, True, chat_template=template)
    print(f"{template}: Jinja2 {expected}, openvino-genai {found[expected]}")
assert found == {"3.5": "3", "1": "2", "yes": "True"}
PY
