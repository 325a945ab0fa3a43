#!/usr/bin/env bash
# Library: openvino-tokenizers 2026.4.1.0 (with transformers 5.5.4)
# Guess:   a number is one piece by \p{N} and Isolated, so the space before it is a piece of its own for ² as for 2.
# Happens: for a number that isn't ASCII, the converted tokenizer leaves the space with it, and merges the two.
# Output:  'a 2': ['a', 'Ġ', '2'] for transformers, ['a', 'Ġ', '2'] for openvino-tokenizers
#          'a ²': ['a', 'Ġ', 'Â', '²'] for transformers, ['a', 'ĠÂ', '²'] for openvino-tokenizers
# Matters: Arabic and Indian digits, fractions, and exponents reach the model as tokens it was not trained with.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 openvino-tokenizers==2026.4.1.0 transformers==5.5.4 <<'PY'
import openvino as ov
import openvino_tokenizers
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

WORDS = Regex(r" ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")
pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "ĠÂ"]  # Ġ is a space, Â the first of the bytes of ²
tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [("Ġ", "Â")]))
tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [
        pre_tokenizers.Split(Regex(r"\p{N}"), "isolated"),
        pre_tokenizers.Split(WORDS, "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ]
)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["</s>"])
hf_tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
converted = ov.compile_model(openvino_tokenizers.convert_tokenizer(hf_tokenizer), "CPU")
for text, agrees in (("a 2", True), ("a ²", False)):
    expected = hf_tokenizer.tokenize(text)
    found = hf_tokenizer.convert_ids_to_tokens(converted([text])["input_ids"][0].tolist())
    print(f"{text!r}: {expected} for transformers, {found} for openvino-tokenizers")
    assert (expected == found) == agrees
PY
