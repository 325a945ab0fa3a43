#!/usr/bin/env bash
# Library: Transformers 5.5.4 (with gguf 0.19.0)
# Guess:   tokenizers need no PyTorch, so AutoTokenizer also reads a GGUF file's tokenizer without it.
# Happens: it asks for PyTorch, though nothing that it reads is a tensor.
# Output:  Please install torch and gguf>=0.10.0 to load a GGUF checkpoint in PyTorch.
# Matters: a server without PyTorch has to build the tokenizer of a GGUF file itself.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show transformers==5.5.4 gguf==0.19.0 <<'PY'
import gguf
from tokenizers import pre_tokenizers
from transformers import AutoTokenizer

tokens = ["<|endoftext|>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "he"]
writer = gguf.GGUFWriter("model.gguf", "llama")
writer.add_tokenizer_model("gpt2")
writer.add_token_list(tokens)
writer.add_token_types([gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (len(tokens) - 1))
writer.add_token_merges(["h e"])
writer.add_eos_token_id(0)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.close()
try:
    AutoTokenizer.from_pretrained(".", gguf_file="model.gguf")
except ImportError as error:
    print(error)
    assert "torch" in str(error)
else:
    raise AssertionError("the tokenizer was read without PyTorch")
PY
