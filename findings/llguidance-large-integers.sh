#!/usr/bin/env bash
# Library: llguidance 1.9.1
# Guess:   {"const": N} lets exactly the integer N through.
# Happens: above 2^53 it lets the nearest double through instead, and refuses N itself.
# Output:  const 9007199254740991 allows 9007199254740991
#          const 9007199254740993 allows 9007199254740992
# Matters: identifiers of 64 bits (rows, messages, users) in a const or an enum can't be written by the model.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show llguidance==1.9.1 tokenizers==0.22.2 <<'PY'
import json

from llguidance import LLMatcher, LLTokenizer
from tokenizers import Tokenizer, decoders, models, pre_tokenizers

characters = sorted(pre_tokenizers.ByteLevel.alphabet())
tokenizer = Tokenizer(models.BPE({character: i for i, character in enumerate(characters)}, []))
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
tokenizer.add_special_tokens(["</s>"])
ll_tokenizer = LLTokenizer(tokenizer.to_str(), eos_token=tokenizer.token_to_id("</s>"))


def allows(schema, text):
    matcher = LLMatcher(ll_tokenizer, LLMatcher.grammar_from_json_schema(json.dumps(schema)))
    ids = tokenizer.encode(text).ids
    return matcher.try_consume_tokens(ids) == len(ids) and matcher.is_accepting()


for value, allowed in ((2**53 - 1, 2**53 - 1), (2**53 + 1, 2**53)):
    found = [near for near in range(value - 3, value + 4) if allows({"const": value}, str(near))]
    print(f"const {value} allows {found[0]}")
    assert found == [allowed]
PY
