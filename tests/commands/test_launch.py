"""Programs that are pointed at a server, and what they are told."""

import json
import os
import socket
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator

import pytest
import uvicorn

from llm_chatbot.answering.served import ServedFacts
from llm_chatbot.answering.variables import KEY_VARIABLE
from llm_chatbot.api.service import create_app
from llm_chatbot.commands.launch import PROGRAMS, Program, Target, main, shell_text
from tests.fake_model import FakeModel, said
from tests.ports import free_port

TARGET = Target("http://127.0.0.1:8000", "org/it's", 4096, "secret")

# Each client finds its server by the variables of the program that is built on it.
ASK = {
    "claude": """
import anthropic, os
messages = [{"role": "user", "content": "Hello"}]
model = os.environ["ANTHROPIC_MODEL"]
print(anthropic.Anthropic().messages.create(model=model, max_tokens=9, messages=messages).content[0].text)""",
    "qwen": """
import openai, os
print(openai.OpenAI().responses.create(model=os.environ["OPENAI_MODEL"], input="Hello").output_text)""",
    "ollama": """
import ollama
print(ollama.chat(ollama.list().models[0].model, [{"role": "user", "content": "Hello"}]).message.content)""",
}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    listener = socket.create_server(("127.0.0.1", 0))
    model = FakeModel(said("Hi there"), about=ServedFacts("fake", 100, 4096))
    server = uvicorn.Server(uvicorn.Config(create_app({"fake": model}, keys=["secret"]), log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join(timeout=30)


@pytest.fixture(autouse=True)
def key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY_VARIABLE, "secret")


@pytest.mark.parametrize("name", ASK)
def test_a_program_that_is_run_finds_the_server(name: str, url: str, monkeypatch: pytest.MonkeyPatch, capfd):
    monkeypatch.setitem(PROGRAMS, sys.executable, Program(PROGRAMS[name].variables))
    assert main([sys.executable, "--url", url, "--", "-c", ASK[name]]) == 0
    assert capfd.readouterr().out.strip() == "Hi there"


@pytest.mark.skipif(os.name == "nt", reason="PowerShell is another shell, tested below")
def test_what_is_printed_does_the_same_in_a_shell(url: str, monkeypatch: pytest.MonkeyPatch, capsys):
    monkeypatch.setitem(PROGRAMS, sys.executable, Program(PROGRAMS["claude"].variables))
    assert main([sys.executable, "--print", "--url", f"{url}/", "--", "-c", ASK["claude"]]) == 0
    script = capsys.readouterr().out
    done = subprocess.run(["sh", "-c", script], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "Hi there", done.stderr


def test_quotes_survive_in_each_shell(monkeypatch: pytest.MonkeyPatch):
    assert shell_text({"A": "it's"}, ["run", "a b"]) == "export A='it'\"'\"'s'\nrun 'a b'"
    monkeypatch.setattr(os, "name", "nt")
    assert shell_text({"A": "it's"}, ["run", "a b"]) == "$env:A = 'it''s'\n& 'run' 'a b'"


def test_configurations_are_what_the_programs_parse():
    model, name, *settings = PROGRAMS["codex"].arguments(TARGET)
    assert (model, name) == ("--model", TARGET.model) and set(settings[::2]) == {"--config"}
    config = tomllib.loads("\n".join(settings[1::2]))
    provider = config["model_providers"][config["model_provider"]]
    assert provider["base_url"] == "http://127.0.0.1:8000/v1" and provider["wire_api"] == "responses"
    assert PROGRAMS["codex"].variables(TARGET) == {provider["env_key"]: "secret"}
    assert config["model_context_window"] == 4096

    config = json.loads(PROGRAMS["opencode"].variables(TARGET)["OPENCODE_CONFIG_CONTENT"])
    provider, model = config["model"].split("/", 1)
    assert model in config["provider"][provider]["models"]
    assert config["provider"][provider]["options"] == {"baseURL": "http://127.0.0.1:8000/v1", "apiKey": "secret"}


def test_what_is_wrong_is_one_sentence(url: str, monkeypatch: pytest.MonkeyPatch, capsys):
    def refusal(*arguments: str) -> str:
        assert main(list(arguments)) == 2
        return capsys.readouterr().err

    assert "start one with llm-chatbot serve" in refusal("claude", "--url", f"http://127.0.0.1:{free_port()}")
    assert "choose one of: fake" in refusal("claude", "--url", url, "--model", "other")
    monkeypatch.setitem(PROGRAMS, "no-such-program", PROGRAMS["claude"])
    assert "no-such-program is not installed" in refusal("no-such-program", "--url", url)
    assert "invalid choice" in refusal("emacs")
    monkeypatch.delenv(KEY_VARIABLE)
    assert f"set {KEY_VARIABLE}" in refusal("claude", "--url", url)
