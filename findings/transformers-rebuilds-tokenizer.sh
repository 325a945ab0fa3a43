#!/usr/bin/env bash
# Library: Transformers 5.5.4
# Guess:   where a folder has a tokenizer.json, AutoTokenizer does what that file says.
# Happens: it takes the vocabulary and the merges from the file, and builds the rest anew as the class that is named in
#          tokenizer_config.json does. The file's own splitting into words and its decoder are left out, silently.
# Output:  tokenizer.json: ['a', 'Ġ', '1', '2']
#          as GPT2Tokenizer: ['a', 'Ġ', '12']
#          as LlamaTokenizer: ['a', '12']
# Matters: a model whose files name a Llama class, but which splits text otherwise (DeepSeek V3), gets other token ids
#          than in its training.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show transformers==5.5.4 tokenizers==0.22.2 <<'PY'
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import AutoTokenizer

TEXT = "a 12"
pieces = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "12"]
tokenizer = Tokenizer(models.BPE({piece: i for i, piece in enumerate(pieces)}, [("1", "2")]))
tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
    [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["</s>"])
tokenizer.save("tokenizer.json")
expected = tokenizer.encode(TEXT).tokens
print(f"tokenizer.json: {expected}")
for name in ("GPT2Tokenizer", "LlamaTokenizer"):
    Path("tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": name, "eos_token": "</s>"}), encoding="utf-8"
    )
    found = AutoTokenizer.from_pretrained(".").tokenize(TEXT)
    print(f"as {name}: {found}")
    assert found != expected
PY
