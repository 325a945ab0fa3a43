#!/usr/bin/env bash
# Library: tokenizers 0.22.2
# Guess:   an added token has the id that tokenizer.json gives it, or the file is refused.
# Happens: ids that leave a gap after the vocabulary are replaced by the next free ones, silently.
# Output:  tokenizer.json says <|im_end|> is 500; the tokenizer says 3
# Matters: a vocabulary that was padded before tokens were added gives ids that mean other rows of the embedding.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show tokenizers==0.22.2 <<'PY'
import json

from tokenizers import Tokenizer, models

original = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
original.add_special_tokens(["<|im_end|>"])
contents = json.loads(original.to_str())
(added,) = contents["added_tokens"]
added["id"] = 500
read = Tokenizer.from_str(json.dumps(contents)).token_to_id("<|im_end|>")
print(f"tokenizer.json says <|im_end|> is {added['id']}; the tokenizer says {read}")
assert read == 3
PY
