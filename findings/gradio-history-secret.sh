#!/usr/bin/env bash
# Library: Gradio 6.31.0
# Guess:   ChatInterface(save_history=True) keeps conversations in the browser, so a restarted server finds them again.
# Happens: they are encrypted with a secret that is drawn anew at each start, and ChatInterface takes no secret.
# Output:  two starts: same place in the browser: True; same secret: False
# Matters: what one start has encrypted, the next can't decrypt. A gr.BrowserState of one's own takes a fixed secret.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show gradio==6.31.0 <<'PY'
import inspect
import subprocess
import sys

import gradio as gr

START = """
import gradio as gr
history = gr.ChatInterface(lambda message, history: message, save_history=True).saved_conversations
print(history.storage_key, history.secret)
"""


def start():
    return subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True).stdout.split()


(place, secret), (next_place, next_secret) = start(), start()
print(f"two starts: same place in the browser: {place == next_place}; same secret: {secret == next_secret}")
assert place == next_place and secret != next_secret
assert "secret" not in inspect.signature(gr.ChatInterface).parameters
PY
