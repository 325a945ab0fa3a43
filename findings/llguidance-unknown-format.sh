#!/usr/bin/env bash
# Library: llguidance 1.9.1
# Guess:   as JSON Schema has it, an unknown "format" is ignored, just as an unknown keyword is.
# Happens: an unknown keyword is ignored, but an unknown format of a string refuses the whole schema.
# Output:  {"type": "string", "colour": "red"}: accepted
#          {"type": "string", "format": "password"}: Unknown format: password
# Matters: OpenAPI's own formats (password, byte, binary) are common in tools' parameters; leave such formats out
#          before.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show llguidance==1.9.1 <<'PY'
import json

from llguidance import LLMatcher

errors = []
for keyword in ({"colour": "red"}, {"format": "password"}):
    schema = json.dumps({"type": "string"} | keyword)
    errors.append(LLMatcher.validate_grammar(LLMatcher.grammar_from_json_schema(schema)))
    print(f"{schema}: {errors[-1] or 'accepted'}")
assert not errors[0] and "Unknown format: password" in errors[1]
PY
