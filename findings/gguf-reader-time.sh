#!/usr/bin/env bash
# Library: gguf 0.19.0
# Guess:   GGUFReader reads a header about as fast as any Python loop over its strings.
# Happens: it is dozens of times slower: each string is several slices of a numpy.memmap, and each slice is an object
#          that copies the map's attributes. The time goes with the number of tokens and merges.
# Output:  GGUFReader takes 87 times as long as a plain read of the same 20000 strings
# Matters: a header of 2 MB (49,152 tokens and as many merges) takes seconds, whatever the size of the model.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show gguf==0.19.0 <<'PY'
import struct
import time
from pathlib import Path

import gguf

tokens = [f"token{i}" for i in range(20_000)]
writer = gguf.GGUFWriter("model.gguf", "llama")
writer.add_token_list(tokens)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.close()


def plain_read():
    contents = Path("model.gguf").read_bytes()
    position = contents.index(tokens[0].encode()) - 8
    for _ in tokens:
        (length,) = struct.unpack_from("<Q", contents, position)
        yield contents[position + 8 : position + 8 + length].decode("utf-8")
        position += 8 + length


def seconds(read):
    begin = time.perf_counter()
    read()
    return time.perf_counter() - begin


assert list(plain_read()) == gguf.GGUFReader("model.gguf").fields["tokenizer.ggml.tokens"].contents() == tokens
plain = min(seconds(lambda: list(plain_read())) for _ in range(3))
ratio = min(seconds(lambda: gguf.GGUFReader("model.gguf")) for _ in range(3)) / plain
print(f"GGUFReader takes {ratio:.0f} times as long as a plain read of the same {len(tokens)} strings")
assert ratio > 10
PY
