"""Simon Willison's llm, as its command."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from checks import MODEL, QUESTION, URL, matches, report

folder = tempfile.mkdtemp()
settings = f"- model_id: local\n  model_name: {MODEL}\n  api_base: {URL}/v1\n  supports_schema: true\n"
(Path(folder) / "extra-openai-models.yaml").write_text(settings, encoding="utf-8")


def asked(*arguments: str) -> str:
    command = [sys.executable, "-m", "llm", "-m", "local", "--key", "none", *arguments, QUESTION]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "LLM_USER_PATH": folder})
    assert done.returncode == 0, done.stderr
    return done.stdout


def chat() -> None:
    assert asked("--no-stream").strip()


def stream() -> None:
    assert asked().strip()


def structured() -> None:
    matches(
        asked(
            "--schema",
            '{"type":"object","properties":{"city":{"enum":["Paris","Rome"]},"capital":{"type":"boolean"}},"required":["city","capital"],"additionalProperties":false}',
        )
    )


report(chat=chat, stream=stream, structured=structured)
