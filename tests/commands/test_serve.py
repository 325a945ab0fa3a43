"""The command line that starts the service."""

import os
import signal
import subprocess
import sys
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai import APIError, OpenAI

from llm_chatbot.api.keys import KEYS_VARIABLE
from llm_chatbot.catalogue.lookup import get_model_config
from llm_chatbot.catalogue.rows import DEFAULT_MODEL
from llm_chatbot.commands.options import Caller
from llm_chatbot.commands.serve import check_service, parser, served_sources
from llm_chatbot.errors import UserError
from llm_chatbot.folder.served import Source
from llm_chatbot.sources.gguf_files import gguf_path
from tests.convert.adapters.small_adapters import write_gguf_adapter
from tests.ports import free_port


def test_the_service_starts_asks_for_a_key_and_ends(models_root: Path):
    port = free_port()
    command = [sys.executable, "-m", "llm_chatbot", "serve", "--output", str(models_root), "--port", str(port)]
    command += ["--allowed-host", "host.docker.internal", "--cors-origin", "http://page.example"]
    environment = {**os.environ, KEYS_VARIABLE: "secret"}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment, encoding="utf-8"
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == f"API: http://127.0.0.1:{port}/v1\n"
        with httpx.Client(base_url=f"http://127.0.0.1:{port}/v1/", timeout=60) as client:
            assert client.get("models").status_code == 401
            cards = client.get("models", headers={"Authorization": "Bearer secret"}).json()["data"]
            assert [card["id"] for card in cards] == [DEFAULT_MODEL]
            headers = {"Host": "host.docker.internal", "Origin": "http://page.example", "x-api-key": "secret"}
            response = client.get("models", headers=headers)
            assert response.is_success and "Access-Control-Allow-Origin" in response.headers
            assert client.get("models", headers={**headers, "Host": "evil.example"}).status_code == 403
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors


LONG = {"type": "array", "items": {"const": 1}, "minItems": 2000}  # an answer that doesn't end of itself


@pytest.mark.parametrize("command", ["serve", "chat"])
def test_a_service_that_is_ended_says_so_to_those_who_listen(command: str, models_root: Path):
    """To a real client, over the API of either, and the page's own way of following."""
    port = free_port()
    arguments = [sys.executable, "-m", "llm_chatbot", command, "--output", str(models_root), "--port", str(port)]
    precision = ["--precision", "INT4", "--no-cache-on-disk"]
    process = subprocess.Popen(
        [*arguments, *precision], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
    )
    try:
        assert process.stdout is not None
        assert f":{port}" in process.stdout.readline()
        with OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0) as client:
            name = client.models.list().data[0].id
            messages: list[Any] = [{"role": "user", "content": "Count from 1 to 100000."}]
            stream = client.chat.completions.create(
                model=name,
                messages=messages,
                stream=True,
                response_format={"type": "json_schema", "json_schema": {"name": "long", "schema": LONG}},
            )
            received = [next(stream), next(stream)]
            followed = page_state(port) if command == "chat" else None
            process.send_signal(signal.SIGTERM)
            with pytest.raises(APIError, match="is being stopped") as error:
                received += stream
            assert error.value.code == "server_closed" and len(received) > 1
            if followed:
                state = followed.result(timeout=60)
                assert state["finish_reason"] == "error" and state["error"]["key"] == "answering.closed"
        _, errors = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 0 and errors == ""


def page_state(port: int) -> Future[dict[str, Any]]:
    """Asks as the page does; the last state of the answer."""
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}/page/", timeout=60)
    asked = {"id": "a", "messages": [{"role": "user", "content": "Count from 1 to 100000."}], "conversation": "c"}
    response = client.post("ask", json={**asked, "settings": {"max_new_tokens": 4096}})
    assert response.status_code == 202, response.text

    def follow() -> dict[str, Any]:
        state: dict[str, Any] = {"version": -1, "finish_reason": None}
        while state["finish_reason"] is None:
            state = client.post("follow", json={"a": {"version": state["version"]}}).json()["a"]
        return state

    return ThreadPoolExecutor(1).submit(follow)


def test_several_models_are_served_by_their_names(models_root: Path, tmp_path: Path):
    """A converted folder and the GGUF file as it is, from which it was made; each is loaded when it is asked for."""
    (tmp_path / "as-in-file.gguf").symlink_to(gguf_path(get_model_config(DEFAULT_MODEL)))
    port = free_port()
    command = [sys.executable, "-m", "llm_chatbot", "serve", DEFAULT_MODEL, "--precision", "INT4", "--exact"]
    command += [
        "--output",
        str(models_root),
        "--models-dir",
        str(tmp_path),
        "--port",
        str(port),
        "--kv-cache-gb",
        "0.1",
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    try:
        assert process.stdout is not None and process.stdout.readline().startswith("API: ")
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
        names = [model.id for model in client.models.list()]
        assert names == [DEFAULT_MODEL, "as-in-file.gguf"]
        question: Any = [{"role": "user", "content": "Name the capital of France."}]
        for name in [*names, names[0]]:
            answer = client.chat.completions.create(model=name, messages=question, max_tokens=16, temperature=0)
            assert answer.model == name and "Paris" in (answer.choices[0].message.content or "")
        with pytest.raises(openai.NotFoundError, match=f"choose one of: {DEFAULT_MODEL}, as-in-file.gguf"):
            client.chat.completions.create(model="other", messages=question)
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors


def test_an_adapter_is_a_model_by_its_own_name(tmp_path: Path):
    (tmp_path / "small.gguf").symlink_to(gguf_path(get_model_config(DEFAULT_MODEL)))
    write_gguf_adapter(tmp_path / "adapter.gguf", {"blk.0.attn_v.weight": (192, 576)})
    port = free_port()
    command = [sys.executable, "-m", "llm_chatbot", "serve", str(tmp_path / "small.gguf"), "--kv-cache-gb", "0.1"]
    command += ["--adapter", f"mine={tmp_path / 'adapter.gguf'}", "--port", str(port), "--exact"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8")
    try:
        assert process.stdout is not None and process.stdout.readline().startswith("API: ")
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="none", max_retries=0)
        assert [model.id for model in client.models.list()] == ["small.gguf", "small.gguf:mine"]
        tags = httpx.get(f"http://127.0.0.1:{port}/api/tags").json()["models"]
        assert [tag["details"]["parent_model"] for tag in tags] == ["", "small.gguf"]
        question: Any = [{"role": "user", "content": "Name the capital of France."}]
        best: dict[str, float] = {}
        for name in ("small.gguf", "small.gguf:mine", "small.gguf"):
            answer = client.chat.completions.create(
                model=name, messages=question, max_tokens=1, temperature=0, logprobs=True
            )
            assert answer.model == name and answer.choices[0].logprobs and answer.choices[0].logprobs.content
            found = answer.choices[0].logprobs.content[0].logprob
            assert best.setdefault(name, found) == found
        assert best["small.gguf"] != best["small.gguf:mine"]
    finally:
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert "Traceback" not in errors


def sources(*arguments: str) -> dict[str, Source]:
    return served_sources(parser().parse_args(arguments), Caller("llm-chatbot serve", converts=True))


def test_models_are_named_one_by_one_or_by_their_folder(tmp_path: Path):
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    file = str(tmp_path / "a.gguf")
    assert {name: source.precision for name, source in sources().items()} == {DEFAULT_MODEL: "GGUF"}
    assert list(sources("qwen3-1.7b", "--model", file, "--model", DEFAULT_MODEL)) == [
        "qwen3-1.7b",
        "a.gguf",
        DEFAULT_MODEL,
    ]
    assert sources(file)["a.gguf"] == Source(file, "GGUF", Path())
    assert list(sources("--models-dir", str(tmp_path))) == ["a.gguf", "b.gguf"]
    with pytest.raises(UserError, match=r"Two models have the name a\.gguf"):
        sources(file, "--models-dir", str(tmp_path))
    with pytest.raises(UserError, match="There is no model in"):
        (tmp_path / "none").mkdir()
        sources("--models-dir", str(tmp_path / "none"))


def test_adapters_belong_to_one_model_and_have_each_a_name(models_root: Path, tmp_path: Path):
    write_gguf_adapter(tmp_path / "adapter.gguf", {"blk.0.attn_v.weight": (192, 576)})
    adapter = f"mine={tmp_path / 'adapter.gguf'}"
    for name in ("a.gguf", "b.gguf"):
        (tmp_path / name).touch()
    for wrong, expected in (
        (["--models-dir", str(tmp_path), "--adapter", adapter], "--adapter belongs to one model"),
        (["--adapter", adapter, "--adapter", adapter], "Two adapters have the name mine"),
        (["--adapter", adapter.replace("mine", "latest", 1)], "Ollama's clients call the model itself latest"),
    ):
        with pytest.raises(UserError, match=expected):
            check_service(parser().parse_args(["--output", str(models_root), "--port", "0", *wrong]))


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--model", "no-such-model"], DEFAULT_MODEL),
        (["--idle", "0"], "--idle takes minutes"),
        (["--exact", "--kv-cache-precision", "u8"], "--exact keeps keys and values in 32 bits"),
        (["--output", "nowhere"], "There is no folder nowhere"),
        (["--port", "99999"], "--port"),
        (["--max-concurrent", "0"], "--max-concurrent must be at least 1"),
        (["--kv-cache-gb", "nan"], "--kv-cache-gb: a number above 0, not nan"),
        (["--max-waiting", "-1"], "--max-waiting must be at least 0"),
        (["--api-keys", "nowhere"], "nowhere can't be read"),
        (["--adapter", "some/folder"], "'some/folder' has no name; write NAME=ADAPTER"),
        (["--adapter", "mine=./nowhere"], "There is no adapter 'nowhere'"),
    ],
)
def test_the_command_line_says_what_is_wrong_in_one_sentence(arguments: list[str], expected: str, models_root: Path):
    with pytest.raises(UserError, match=expected) as error:
        check_service(parser().parse_args(["--output", str(models_root), "--port", "0", *arguments]))
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("host", "keys", "warned"), [("0.0.0.0", "", True), ("0.0.0.0", "k", False), ("::1", "", False)]
)
def test_a_service_open_to_the_network_without_a_key_is_warned_of(
    host: str, keys: str, warned: bool, models_root: Path, monkeypatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv(KEYS_VARIABLE, keys)
    check_service(parser().parse_args(["--output", str(models_root), "--port", "0", "--host", host]))
    assert ("require a key with --api-keys" in capsys.readouterr().err) == warned


def test_a_wrong_argument_is_refused_before_anything_heavy_is_imported():
    command = [sys.executable, "-X", "importtime", "-m", "llm_chatbot.commands.serve", "--output", "nowhere"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    imported = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert done.returncode == 2 and not {"openvino", "torch", "transformers", "gradio", "llguidance"} & imported
