#!/usr/bin/env bash
# Library: Gradio 6.31.0 with mcp 2.3.0
# Guess:   Gradio imports the SDK of MCP for mcp_server=True alone, as a comment beside its import says: it is "to avoid
#          needing to install `mcp` when not using this class".
# Happens: the import stands in the body of a class, which runs with `import gradio` wherever mcp is installed.
# Output:  modules of `import gradio`: 1588 without mcp, 1770 with it installed
# Matters: an app that has mcp for something else starts half a second later. None in sys.modules["mcp"] while Gradio is
#          imported keeps it out, and the SDK is imported later where it is needed.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show gradio==6.31.0 mcp==2.3.0 <<'PY'
import subprocess
import sys

COUNT = "import gradio, sys; print(len(sys.modules), hasattr(sys.modules.get('mcp'), '__path__'))"


def imported(before=""):
    code = [sys.executable, "-c", before + COUNT]
    count, has_mcp = subprocess.run(code, capture_output=True, text=True, check=True).stdout.split()
    return int(count), has_mcp == "True"


count, has_mcp = imported("import sys; sys.modules['mcp'] = None; ")
more, has_mcp_then = imported()
print(f"modules of `import gradio`: {count} without mcp, {more} with it installed")
assert not has_mcp and has_mcp_then and more > count + 100
PY
