#!/usr/bin/env bash
# Library: openvino-tokenizers 2026.4.1.0 (with transformers 5.5.4)
# Guess:   in a vocabulary with byte fallback, <0x0A> is the name of a token. The six characters typed as text stay
#          text.
# Happens: the converted tokenizer takes the typed characters for the byte, a line feed here.
# Output:  'a<0x0A>b' is ['a', '<', '0', 'x', '0', 'A', '>', 'b'] for transformers
#          'a<0x0A>b' is ['a', '<0x0A>', 'b'] for openvino-tokenizers
# Matters: a text about tokenizers, or a hex dump, reaches a Llama-like model changed.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show openvino==2026.4.1 openvino-tokenizers==2026.4.1.0 transformers==5.5.4 <<'PY'
import openvino as ov
import openvino_tokenizers
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

TEXT = "a<0x0A>b"
pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "\u2581", *"ab<>0xA"]
model = models.BPE({piece: i for i, piece in enumerate(pieces)}, [], unk_token="<unk>", byte_fallback=True)
tokenizer = Tokenizer(model)
tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
hf_tokenizer = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
converted = ov.compile_model(openvino_tokenizers.convert_tokenizer(hf_tokenizer), "CPU")
expected = hf_tokenizer.tokenize(TEXT)
found = hf_tokenizer.convert_ids_to_tokens(converted([TEXT])["input_ids"][0].tolist())
print(f"{TEXT!r} is {expected} for transformers")
print(f"{TEXT!r} is {found} for openvino-tokenizers")
assert expected == list(TEXT) and found == ["a", "<0x0A>", "b"]
PY
