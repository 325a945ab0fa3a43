"""Runs real clients against a server with the embedded model: `make clients`.

    python -m tests.clients.run [--write] [--only NAME …]

Each client is a short script in this folder, and runs in an environment that this makes in build/clients: with pip from
requirements.txt, and with npm from package.json. `--write` puts what each did, with its version and the date, into the
table in docs/api.md, and leaves the rows of other clients as they are.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
import venv
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import httpx

from llm_chatbot.catalogue.encoders import DEFAULT_ENCODER
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from tests.ports import free_port

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
PLACE = ROOT / "build" / "clients"
PAGE = ROOT / "docs" / "api.md"
BEGIN, END = "<!-- clients -->\n", "<!-- /clients -->\n"

CHECKS = ("chat", "stream", "tools", "structured", "responses", "embeddings", "rerank", "choices")
SECONDS = 600  # for one client

# The script of each client, and the package whose version it is.
CLIENTS = {
    "openai (Python)": ("openai_client.py", "openai"),
    "openai (JavaScript)": ("openai_client.mjs", "openai"),
    "anthropic": ("anthropic_client.py", "anthropic"),
    "ollama": ("ollama_client.py", "ollama"),
    "LangChain": ("langchain_client.py", "langchain-openai"),
    "AutoGen": ("autogen_client.py", "autogen-ext"),
    "AI SDK": ("ai_sdk_client.mjs", "ai"),
    "OpenAI Agents": ("agents_client.py", "openai-agents"),
    "LiteLLM": ("litellm_client.py", "litellm"),
    "lm-eval": ("lm_eval_client.py", "lm-eval"),
    "llm": ("llm_client.py", "llm"),
}


@dataclass
class Result:
    """The checks that a client went through.

    Attributes:
        version: of its package.
        faults: by the names of the checks; empty texts for what went well.
    """

    version: str
    faults: dict[str, str]


def python() -> Path:
    return PLACE / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def install() -> None:
    """Installs the clients: some hundred MB from PyPI and npm."""
    PLACE.mkdir(parents=True, exist_ok=True)
    if not python().is_file():
        venv.create(PLACE / "venv", with_pip=True)
    subprocess.run([python(), "-m", "pip", "install", "-q", "-r", HERE / "requirements.txt"], check=True)
    for path in [*HERE.glob("*.mjs"), HERE / "package.json"]:  # Node.js looks for packages beside a script
        shutil.copy(path, PLACE)
    npm = shutil.which("npm", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(
        [npm or "npm", "install", "--silent", "--no-audit", "--no-fund"], cwd=PLACE, check=True, env=with_node()
    )


def with_node() -> dict[str, str]:
    """The environment with the Node.js of requirements.txt, where there is no other."""
    return {**os.environ, "PATH": f"{os.environ['PATH']}{os.pathsep}{Path(sys.executable).parent}"}


@contextmanager
def server() -> Iterator[str]:
    """A server with the embedded model, as it is in its file, and the encoder; yields its address."""
    port = free_port()
    command = [sys.executable, "-m", "llm_chatbot", "serve", "--embedding-model", DEFAULT_ENCODER, "--port", str(port)]
    process = subprocess.Popen([*command, "--log-level", "error"], cwd=ROOT)
    try:
        url, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 300
        while not answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("the server does not start")
            time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait(60)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health").is_success
    except httpx.TransportError:
        return False


def run(name: str, url: str) -> Result:
    """Runs a client's script against the server at this address."""
    script, package = CLIENTS[name]
    is_python = script.endswith(".py")
    command = [str(python()), str(HERE / script)] if is_python else ["node", script]
    place = {"SERVER": url, "MODEL": DEFAULT_MODEL, "ENCODER": DEFAULT_ENCODER, "OPENAI_API_KEY": "none"}
    quiet = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        command,
        cwd=PLACE,
        env={**with_node(), **place, **quiet},
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=SECONDS,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"check"')]
    faults = {line["check"]: line["fault"] for line in lines}
    if not faults or any(faults.values()):
        print(done.stderr[-3000:], file=sys.stderr)
    return Result(python_version(package) if is_python else node_version(package), faults or {"chat": "it ended"})


def python_version(package: str) -> str:
    code = f"from importlib.metadata import version; print(version({package!r}))"
    return subprocess.run([python(), "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def node_version(package: str) -> str:
    path = PLACE / "node_modules" / package / "package.json"
    return json.loads(path.read_text(encoding="utf-8"))["version"]


def rows(results: dict[str, Result]) -> dict[str, str]:
    """The rows of the table in docs/api.md, by the names of the clients."""
    cells = {
        name: [name, result.version, f"{date.today()}", *(mark(result.faults.get(check)) for check in CHECKS)]
        for name, result in results.items()
    }
    return {name: f"| {' | '.join(row)} |" for name, row in cells.items()}


def table(lines: dict[str, str]) -> str:
    head = ["client", "version", "date", *CHECKS]
    first = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head))]
    return "\n".join([*first, *(lines[name] for name in CLIENTS if name in lines)]) + "\n"


def mark(fault: str | None) -> str:
    return "" if fault is None else "✗" if fault else "✓"


def write(lines: dict[str, str]) -> None:
    """Puts rows in their places in the table of docs/api.md."""
    page = PAGE.read_text(encoding="utf-8")
    before = page.partition(BEGIN)[2].partition(END)[0].splitlines()
    kept = {line.split("|")[1].strip(): line for line in before if line.startswith("| ")}
    text = table({**kept, **lines})
    page = re.sub(f"(?s){BEGIN}.*?{END}", lambda _: f"{BEGIN}{text}{END}", page)
    PAGE.write_text(page, encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description="Run real clients against a server with the embedded model.")
    parser.add_argument("--write", action="store_true", help="write the table in docs/api.md")
    parser.add_argument("--only", choices=CLIENTS, action="append", help="a client; may be given more than once")
    arguments = parser.parse_args()
    install()
    with server() as url:
        results = {name: run(name, url) for name in arguments.only or CLIENTS}
    print(table(rows(results)))
    for name, result in results.items():
        for check, fault in result.faults.items():
            if fault:
                print(f"{name}, {check}: {fault}")
    if arguments.write:
        write(rows(results))
    return int(any(fault for result in results.values() for fault in result.faults.values()))


if __name__ == "__main__":
    sys.exit(main())
