#!/usr/bin/env bash
# Library: tokenizers 0.22.2
# Guess:   a BPE model without an unknown token raises on a character outside of its vocabulary, or at least keeps what
#          stood on its two sides apart.
# Happens: the character vanishes, and its neighbours are merged into one token across the gap.
# Output:  'azb' is ['ab'], which decodes to 'ab'
# Matters: text is lost without a sign where a vocabulary has neither all bytes nor an unknown token.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show tokenizers==0.22.2 <<'PY'
from tokenizers import Tokenizer, models

tokenizer = Tokenizer(models.BPE({"a": 0, "b": 1, "ab": 2}, [("a", "b")]))
encoding = tokenizer.encode("azb")
decoded = tokenizer.decode(encoding.ids)
print(f"'azb' is {encoding.tokens}, which decodes to {decoded!r}")
assert encoding.tokens == ["ab"] and decoded == "ab"
PY
