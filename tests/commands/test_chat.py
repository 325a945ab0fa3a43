"""The command line that starts the page."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest
from gradio_client import Client

from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.commands.chat import (
    AUTH_VARIABLE,
    api_middleware,
    check_page,
    check_port,
    credentials,
    main,
    may_get_models,
    parser,
    settle_cache,
)
from llm_chatbot.commands.options import memory_options
from llm_chatbot.errors import UserError
from tests.ports import free_port

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT = 60  # seconds, for a busy machine
SERVERS = str(ROOT / "tests" / "data" / "mcp.json")


def start_page(*arguments: str, **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, str(ROOT / "chat_ui.py"), "--no-cache-on-disk", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1", **environment},
    )


def mapped_files(pid: int) -> list[str]:
    """The libraries that a process has loaded; none are known on macOS, which asks for rights of the administrator."""
    return [] if sys.platform == "darwin" else [file.path for file in psutil.Process(pid).memory_maps()]


def test_the_page_starts_behind_a_password_and_a_proxy(models_root: Path):
    port = free_port()
    arguments = ("--output", str(models_root), "--port", str(port), "--root-path", "/chat", "--max-concurrent", "1")
    process = start_page(*arguments, **{AUTH_VARIABLE: "ann:secret"})
    try:
        assert process.stdout is not None
        line = next(line for line in process.stdout if "http://" in line)
        assert f"http://127.0.0.1:{port}" in line
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=TIMEOUT) as client:
            join = {"data": ["Hello"], "fn_index": 0, "session_hash": "x"}
            assert client.post("/gradio_api/queue/join", json=join).status_code == 401
            assert client.post("/login", data={"username": "ann", "password": "wrong"}).status_code == 400
            assert client.post("/login", data={"username": "ann", "password": "secret"}).status_code == 200
            assert client.get("/config").json()["root"].endswith("/chat")
    finally:
        process.terminate()
        rest, errors = process.communicate(timeout=TIMEOUT)
    assert line.startswith("Chat page: ") and rest == "" and errors == ""


def test_the_page_has_the_api_and_stands_in_front_of_another_page_that_has_it(models_root: Path):
    ports = free_port(), free_port()
    url = f"http://127.0.0.1:{ports[0]}/v1"
    pages = [start_page("--output", str(models_root), "--port", str(ports[0]))]
    try:
        assert pages[0].stdout is not None and f":{ports[0]}" in pages[0].stdout.readline()
        with httpx.Client(base_url=f"http://127.0.0.1:{ports[0]}", timeout=TIMEOUT) as web:
            assert web.get("/v1/models").json()["data"][0]["id"] == DEFAULT_MODEL
            assert web.get("/health").json() == {"status": "ok"}
            assert web.get("/v1/models", headers={"Host": "evil.example"}).status_code == 403

        pages.append(start_page("--base-url", url, "--output", "nowhere", "--port", str(ports[1])))
        assert pages[1].stdout is not None and f":{ports[1]}" in pages[1].stdout.readline()
        client = Client(f"http://127.0.0.1:{ports[1]}", verbose=False, httpx_kwargs={"timeout": TIMEOUT})
        texts = list(client.submit("Write a story about a dragon.", max_new_tokens=100, api_name="/chat"))
        assert len(texts) > 1 and texts[-1]
        loaded = {part for page in pages for name in mapped_files(page.pid) for part in Path(name).parts}
        assert not {"pandas", "cryptography", "matplotlib", "sentencepiece", "tensorflow"} & loaded, "no page uses them"
        assert not [name for name in loaded if "intel_gpu_plugin" in name], "no GPU was asked for"
        assert httpx.get(f"http://127.0.0.1:{ports[1]}/v1/models", timeout=TIMEOUT).status_code == 404
    finally:
        for page in pages:
            page.terminate()
            page.communicate(timeout=TIMEOUT)


LEFT_OUT = """
import sys
from llm_chatbot.commands.chat import leave_out_converters, leave_out_parts_of_gradio
leave_out_converters(), leave_out_parts_of_gradio()
import gguf, openvino, llm_chatbot.page.app
names = {"IPython", "matplotlib", "openvino.tools.ovc", "sentencepiece"}
print(sorted(name for name in names if sys.modules.get(name)))
"""


def test_the_page_imports_nothing_for_notebooks_plots_and_conversions():
    done = subprocess.run([sys.executable, "-c", LEFT_OUT], capture_output=True, text=True, check=True, timeout=TIMEOUT)
    assert done.stdout == "[]\n"


def test_the_api_is_not_open_behind_a_login():
    arguments = parser().parse_args(["--auth", "ann:secret"])
    assert api_middleware(None, arguments) == []  # type: ignore[arg-type]


def test_a_port_that_is_taken_or_that_there_is_not_is_refused():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for port in (taken.getsockname()[1], 99_999):
            with pytest.raises(UserError, match=rf"Port {port} on 127.0.0.1 is in use or not available"):
                check_port("127.0.0.1", port)
    with pytest.raises(UserError):
        check_port("no.such.host.invalid", 7860)


def imported_by(*arguments: str) -> set[str]:
    """The modules that the command imports before it refuses the arguments."""
    command = [sys.executable, "-X", "importtime", str(ROOT / "chat_ui.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    return {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}


def test_wrong_arguments_are_refused_before_anything_heavy_is_imported():
    imported = imported_by("--output", "nowhere")
    heavy = {"gradio", "mcp", "openvino", "torch", "transformers"}
    assert "llm_chatbot.catalogue.rows" in imported and not heavy & imported


def test_a_device_that_is_not_there_is_refused_before_the_page_is_imported(models_root: Path):
    imported = imported_by("--output", str(models_root), "--port", "0", "--device", "TPU")
    assert "openvino" in imported and not {"gradio", "torch", "transformers"} & imported


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model", "no-such-model"], DEFAULT_MODEL),
        (["--precision", "INT2"], "FP16, INT8, INT4"),
        (["--output", "nowhere"], "There is no folder nowhere; name the folder of the converted models with --output"),
        (
            ["--output", str(Path(__file__).parent), "--precision", "INT4"],
            f"python converter.py {DEFAULT_MODEL} --precision INT4",
        ),
        (["--auth", "ann"], "USER:PASSWORD"),
        (["--max-concurrent", "0"], "at least 1"),
        (["--kv-cache-gb", "0"], "--kv-cache-gb: a number above 0, not 0"),
        (["--idle", "0"], "--idle"),
        (["--idle", "nan"], "--idle"),
        (["--port", "99999"], "--port"),
        (["--port", "many"], "invalid int value: 'many'; see python"),
        (["--host", "300.1.1.1"], "300.1.1.1 is no address of this machine; choose another with --host"),
        (["--mcp", "nowhere.json"], "nowhere.json, which names the MCP servers, can't be read"),
        (["--mcp", SERVERS, "--mcp-for-visitors", "read"], "write SERVER/TOOL, with one of these servers: files"),
        (["--mcp", SERVERS, "--base-url", "http://127.0.0.1:1/v1"], "leave out --mcp or --base-url"),
        (["--mcp-for-visitors", "files/read"], "Name the MCP servers with --mcp FILE"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_one_sentence(arguments: list[str], expected: str, models_root: Path):
    with pytest.raises(UserError) as error:
        check_page(parser().parse_args(["--output", str(models_root), "--port", "0", *arguments]))
    assert expected in str(error.value)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


def test_what_is_found_out_later_is_a_sentence_too(models_root: Path, monkeypatch, capsys: pytest.CaptureFixture):
    monkeypatch.setattr(sys, "argv", ["chat_ui.py", "--output", str(models_root), "--port", "0", "--device", "TPU"])
    assert main() == 2
    errors = capsys.readouterr().err
    assert "choose one of" in errors and errors.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "warned"),
    [
        (["--host", "0.0.0.0"], True),
        (["--host", "0.0.0.0", "--auth", "ann:secret"], False),
        (["--host", "localhost"], False),
        ([], False),
    ],
)
def test_a_page_open_to_the_network_without_a_password_is_warned_of(
    arguments: list[str], warned: bool, models_root: Path, capsys: pytest.CaptureFixture
):
    check_page(parser().parse_args(["--output", str(models_root), "--port", "0", *arguments]))
    assert ("require a login with --auth" in capsys.readouterr().err) == warned


def test_a_password_may_hold_colons():
    assert credentials("ann:a:b") == ("ann", "a:b")
    assert credentials(None) is None and credentials("") is None


@pytest.mark.parametrize(
    ("arguments", "may"),
    [
        ([], True),
        (["--host", "::1"], True),
        (["--host", "0.0.0.0"], False),
        (["--root-path", "/chat"], False),
        (["--host", "0.0.0.0", "--auth", "ann:secret"], True),
        (["--root-path", "/chat", "--auth", "ann:secret"], True),
    ],
)
def test_only_people_at_this_machine_or_with_a_password_may_get_models(arguments: list[str], may: bool, monkeypatch):
    monkeypatch.delenv(AUTH_VARIABLE, raising=False)
    assert may_get_models(parser().parse_args(arguments)) is may


@pytest.mark.parametrize(
    ("arguments", "kept"),
    [
        ([], True),
        (["--host", "0.0.0.0"], False),
        (["--root-path", "/chat"], False),
        (["--auth", "ann:secret"], False),
        (["--host", "0.0.0.0", "--cache-on-disk"], True),
        (["--no-cache-on-disk"], False),
    ],
)
def test_only_what_the_user_of_this_machine_says_is_kept_on_the_disk(arguments: list[str], kept: bool, monkeypatch):
    monkeypatch.delenv(AUTH_VARIABLE, raising=False)
    parsed = parser().parse_args(arguments)
    settle_cache(parsed)
    assert memory_options(parsed)["cache_on_disk"] is kept
