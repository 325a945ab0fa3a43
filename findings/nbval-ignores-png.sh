#!/usr/bin/env bash
# Library: nbval 0.11.0
# Guess:   `pytest --nbval` compares all that a notebook's cells have saved, so a figure that has changed is an error.
# Happens: a PNG is not compared. A red pixel was saved and a blue one is drawn, and the test passes; SVG is compared.
# Output:  image/png changed: passes
#          image/svg+xml changed: fails
# Matters: the figures of a tutorial can go wrong under a green test. Check the numbers behind a figure, or use SVG.
set -euo pipefail
. "$(dirname "$0")/lib.sh"
show nbval==0.11.0 ipykernel==7.4.0 <<'PY'
import base64
import struct
import subprocess
import sys
import zlib

import nbformat

TEST = [sys.executable, "-m", "pytest", "-q", "--nbval", "--nbval-current-env", "figure.ipynb"]


def png(*colour):
    """A picture of one pixel."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
    pixel = chunk(b"IDAT", zlib.compress(bytes([0, *colour])))
    return base64.b64encode(b"\x89PNG\r\n\x1a\n" + header + pixel + chunk(b"IEND", b"")).decode()


def passes(kind, saved, drawn):
    source = f"from IPython.display import display\ndisplay({{{kind!r}: {drawn!r}}}, raw=True)"
    output = nbformat.v4.new_output("display_data", {kind: saved})
    cell = nbformat.v4.new_code_cell(source, outputs=[output], execution_count=1)
    nbformat.write(nbformat.v4.new_notebook(cells=[cell]), "figure.ipynb")
    done = subprocess.run(TEST, capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    print(f"{kind} changed: {'fails' if done.returncode else 'passes'}")
    return not done.returncode


assert passes("image/png", png(255, 0, 0), png(0, 0, 255))
assert not passes("image/svg+xml", "<svg id='red'/>", "<svg id='blue'/>")
PY
