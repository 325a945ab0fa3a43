#!/usr/bin/env bash
# Library: tokenizers 0.22.2
# Guess:   a byte that makes no character becomes one replacement character, and the text before it stays as it is.
# Happens: the ByteFallback decoder (Llama 2, Gemma) gives up the whole run of byte tokens: a letter that was complete
#          turns into replacement characters. DecodeStream, which has shown the letter, raises at this and each later
#          step.
# Output:  bytes C3 A9: 'é'
#          bytes C3 A9 C3, then 'a': '���a'
#          streamed: 'é', then Invalid prefix encountered while decoding stream.
# Matters: a sampled answer can stop in the middle of a rare character, and the stream never recovers from it.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show tokenizers==0.22.2 <<'PY'
from tokenizers import Tokenizer, decoders, models
from tokenizers.decoders import DecodeStream

pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "a"]
vocabulary = {piece: i for i, piece in enumerate(pieces)}
tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
ids = [vocabulary[piece] for piece in ("<0xC3>", "<0xA9>", "<0xC3>", "a", "a")]
whole, broken = tokenizer.decode(ids[:2]), tokenizer.decode(ids[:4])
print(f"bytes C3 A9: {whole!r}")
print(f"bytes C3 A9 C3, then 'a': {broken!r}")
assert whole == "é" and broken == "\ufffd\ufffd\ufffda"

stream = DecodeStream(skip_special_tokens=False)
assert [stream.step(tokenizer, token) for token in ids[:3]] == [None, "é", None]
for token in ids[3:]:
    try:
        stream.step(tokenizer, token)
    except Exception as error:  # the library raises no narrower one
        message = str(error)
    else:
        raise AssertionError("the step did not raise")
print(f"streamed: 'é', then {message.split(' Token ID')[0]}")
PY
