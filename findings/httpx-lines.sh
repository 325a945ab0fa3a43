#!/usr/bin/env bash
# Library: httpx 0.28.1
# Guess:   iter_lines ends a line at \n, \r\n or \r, so that each event of a server-sent stream is one line.
# Happens: it ends a line wherever str.splitlines does, also at U+2028, U+2029 and U+0085, which JSON may hold as they
#          are.
# Output:  one event arrived as ['data: {"text": "a', 'b', 'c', 'd"}']
# Matters: a streamed answer with such a character breaks the client's JSON. Servers had better escape the three.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show httpx==0.28.1 <<'PY'
import json

import httpx

event = "data: " + json.dumps({"text": "a\u2028b\u2029c\x85d"}, ensure_ascii=False) + "\n"
server = httpx.MockTransport(lambda request: httpx.Response(200, content=event.encode("utf-8")))
with httpx.Client(transport=server) as client:
    lines = list(client.get("http://localhost/").iter_lines())
print(f"one event arrived as {lines}")
assert lines == ['data: {"text": "a', "b", "c", 'd"}']
PY
