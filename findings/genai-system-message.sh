#!/usr/bin/env bash
# Library: openvino-genai 2026.4.1.0 (with openvino-tokenizers 2026.4.1.0, transformers 5.5.4), Jinja2 3.1.6
# Guess:   apply_chat_template hands the messages to the template as they are.
# Happens: it first renders a probe, and looks for the probe's system text in the result. A template that writes system
#          messages otherwise (upper case here) is taken for one without them: the text moves into the user's turn.
# Output:  Jinja2: [system]BE KIND.[user]Hello
#          openvino-genai: [user]Be kind.\nHello
# Matters: a template that leaves system messages out on purpose, or changes them, gets them as the user's words.
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

TEMPLATE = (
    "{% for message in messages %}[{{ message.role }}]"
    "{% if message.role == 'system' %}{{ message.content | upper }}{% else %}{{ message.content }}{% endif %}"
    "{% endfor %}"
)
characters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE({character: i for i, character in enumerate(characters)}, []))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["</s>"])
hf_tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="</s>")
converted = openvino_tokenizers.convert_tokenizer(hf_tokenizer, with_detokenizer=True)
ov.save_model(converted[0], "openvino_tokenizer.xml")
ov.save_model(converted[1], "openvino_detokenizer.xml")
messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello"}]
expected = jinja2.Environment().from_string(TEMPLATE).render(messages=messages)
found = openvino_genai.Tokenizer(".").apply_chat_template(messages, False, chat_template=TEMPLATE)
print("Jinja2:", expected)
print("openvino-genai:", found.replace("\n", "\\n"))
assert expected == "[system]BE KIND.[user]Hello" and found == "[user]Be kind.\nHello"
PY
