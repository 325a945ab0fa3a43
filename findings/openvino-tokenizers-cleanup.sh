#!/usr/bin/env bash
# Library: openvino-tokenizers 2026.4.1.0 (with transformers 5.5.4)
# Guess:   the converted detokenizer cleans up spaces as the Transformers tokenizer it comes from does.
# Happens: with clean_up_tokenization_spaces it also drops a space before a backslash.
# Output:  'cd a \b' comes back as 'cd a \b' from transformers, as 'cd a\b' from openvino-tokenizers
# Matters: shell commands, LaTeX, and Windows paths in an answer lose their spaces.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 openvino-tokenizers==2026.4.1.0 transformers==5.5.4 <<'PY'
import numpy as np
import openvino as ov
import openvino_tokenizers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TEXT = r"cd a \b"
characters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE({character: i for i, character in enumerate(characters)}, []))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["</s>"])
hf_tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, clean_up_tokenization_spaces=True)
_, detokenizer = openvino_tokenizers.convert_tokenizer(hf_tokenizer, with_detokenizer=True)
ids = hf_tokenizer(TEXT)["input_ids"]
expected = hf_tokenizer.decode(ids)
(converted,) = ov.compile_model(detokenizer, "CPU")(np.array([ids], np.int64))[0]
print(f"'{TEXT}' comes back as '{expected}' from transformers, as '{converted}' from openvino-tokenizers")
assert expected == TEXT and converted == r"cd a\b"
PY
