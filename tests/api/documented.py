"""The commands that README and docs/api.md show."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
API_PAGE = ROOT / "docs" / "api.md"

ENCODERS = ("embeddings", "rerank")  # the ends of addresses that a server without an encoder does not have


def documented_commands(encoders: bool) -> list[str]:
    """The curl commands in the shell blocks.

    Args:
        encoders: those that ask an encoder, or the others.
    """
    blocks = [
        block
        for path in (ROOT / "README.md", API_PAGE)
        for block in re.findall(r"```sh\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    ]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    found = [line for line in lines if line.startswith("curl ")]
    return [line for line in found if any(f"/v1/{end} " in line for end in ENCODERS) == encoders]
