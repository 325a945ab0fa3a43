#!/usr/bin/env bash
# Library: Jinja2 3.1.6 (with transformers 5.5.4)
# Guess:   Transformers' chat templates are Jinja templates, so plain Jinja2 renders them alike.
# Happens: Jinja2's own tojson sorts the keys and escapes <, >, & and '. Transformers replaces that filter by
#          json.dumps.
# Output:  Jinja2: {"a": "\u003cb\u003e", "type": "f"}
#          transformers: {"type": "f", "a": "<b>"}
# Matters: descriptions of tools reach the model in another order and spelling than in training.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show jinja2==3.1.6 transformers==5.5.4 <<'PY'
import jinja2
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

TEMPLATE = "{{ messages[0].content | tojson }}"
messages = [{"role": "user", "content": {"type": "f", "a": "<b>"}}]
tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.BPE({"a": 0}, [])))
plain = jinja2.Environment().from_string(TEMPLATE).render(messages=messages)
transformers = tokenizer.apply_chat_template(messages, chat_template=TEMPLATE, tokenize=False)
print("Jinja2:", plain)
print("transformers:", transformers)
assert plain == r'{"a": "\u003cb\u003e", "type": "f"}' and transformers == '{"type": "f", "a": "<b>"}'
PY
