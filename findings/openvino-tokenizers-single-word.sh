#!/usr/bin/env bash
# Library: openvino-tokenizers 2026.4.1.0 (with transformers 5.5.4)
# Guess:   the converted tokenizer keeps an added token's single_word: "cat" is a token only where it is a whole word.
# Happens: single_word is lost in the conversion, and the token is found inside other words too.
# Output:  'cats' is ['c', 'a', 't', 's'] for transformers, ['cat', 's'] for openvino-tokenizers
# Matters: domain words added to a vocabulary split all words that contain them.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 openvino-tokenizers==2026.4.1.0 transformers==5.5.4 <<'PY'
import openvino as ov
import openvino_tokenizers
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TEXT = "cats"
characters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE({character: i for i, character in enumerate(characters)}, []))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_tokens([AddedToken("cat", single_word=True)])
hf_tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
converted = ov.compile_model(openvino_tokenizers.convert_tokenizer(hf_tokenizer), "CPU")
expected = hf_tokenizer.tokenize(TEXT)
found = hf_tokenizer.convert_ids_to_tokens(converted([TEXT])["input_ids"][0].tolist())
print(f"{TEXT!r} is {expected} for transformers, {found} for openvino-tokenizers")
assert expected == list(TEXT) and found == ["cat", "s"]
PY
