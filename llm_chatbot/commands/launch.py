"""Programs that talk to a model, pointed at a server of this machine: `llm-chatbot launch --help`."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from llm_chatbot.answering.variables import KEY_VARIABLE
from llm_chatbot.commands.options import Caller, Parser
from llm_chatbot.errors import UserError

CALLER = Caller("python -m llm_chatbot.commands.launch")
NO_KEY = "none"  # programs want one, and a server without keys reads none


@dataclass(frozen=True)
class Target:
    """The server and model that a program is pointed at.

    Attributes:
        url: of the server, without a path.
        model: its name.
        context_length: of prompt and answer together, in tokens; None: unknown.
        key: of the API.
    """

    url: str
    model: str
    context_length: int | None
    key: str


@dataclass(frozen=True)
class Program:
    """How a program is told where its model is.

    Attributes:
        variables: of its environment.
        arguments: put before the user's.
    """

    variables: Callable[[Target], Mapping[str, str]]
    arguments: Callable[[Target], Sequence[str]] = lambda target: ()


def for_claude(target: Target) -> dict[str, str]:
    """https://code.claude.com/docs/en/llm-gateway"""
    names = ("ANTHROPIC_MODEL", *(f"ANTHROPIC_DEFAULT_{size}_MODEL" for size in ("HAIKU", "SONNET", "OPUS")))
    length = {} if target.context_length is None else {"CLAUDE_CODE_MAX_CONTEXT_TOKENS": str(target.context_length)}
    return {
        "ANTHROPIC_BASE_URL": target.url,
        "ANTHROPIC_AUTH_TOKEN": target.key,
        **dict.fromkeys(names, target.model),
        **length,
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }


def for_codex(target: Target) -> list[str]:
    """https://developers.openai.com/codex/config-advanced, whose values are TOML"""
    url = json.dumps(f"{target.url}/v1")
    provider = f'{{name="llm-chatbot", base_url={url}, wire_api="responses", env_key="{KEY_VARIABLE}"}}'
    settings = ['model_provider="llm_chatbot"', f"model_providers.llm_chatbot={provider}"]
    if target.context_length is not None:
        settings.append(f"model_context_window={target.context_length}")
    return ["--model", target.model, *(word for setting in settings for word in ("--config", setting))]


def for_opencode(target: Target) -> dict[str, str]:
    """https://opencode.ai/docs/providers"""
    options = {"baseURL": f"{target.url}/v1", "apiKey": target.key}
    length = target.context_length
    limits = {} if length is None else {"limit": {"context": length, "output": length // 2}}
    models = {target.model: {"name": target.model, **limits}}
    provider = {"npm": "@ai-sdk/openai-compatible", "name": "llm-chatbot", "options": options, "models": models}
    config = {"provider": {"llm-chatbot": provider}, "model": f"llm-chatbot/{target.model}"}
    return {"OPENCODE_CONFIG_CONTENT": json.dumps(config)}


def for_openai_programs(target: Target) -> dict[str, str]:
    return {"OPENAI_BASE_URL": f"{target.url}/v1", "OPENAI_API_KEY": target.key, "OPENAI_MODEL": target.model}


def for_aider(target: Target) -> dict[str, str]:
    """https://aider.chat/docs/llms/openai-compat.html"""
    model = f"openai/{target.model}"
    return {"OPENAI_API_BASE": f"{target.url}/v1", "OPENAI_API_KEY": target.key, "AIDER_MODEL": model}


def for_goose(target: Target) -> dict[str, str]:
    """https://block.github.io/goose/docs/getting-started/providers"""
    provider = {"GOOSE_PROVIDER": "openai", "GOOSE_MODEL": target.model}
    return {**provider, "OPENAI_HOST": target.url, "OPENAI_API_KEY": target.key}


PROGRAMS = {
    "aider": Program(for_aider),
    "claude": Program(for_claude),
    "codex": Program(lambda target: {KEY_VARIABLE: target.key}, for_codex),
    "goose": Program(for_goose),
    "ollama": Program(lambda target: {"OLLAMA_HOST": target.url, "OLLAMA_API_KEY": target.key}),
    "opencode": Program(for_opencode),
    "qwen": Program(for_openai_programs),
}


def main(argv: Sequence[str] | None = None, caller: Caller = CALLER) -> int:
    try:
        given = sys.argv[1:] if argv is None else list(argv)
        own = given.index("--") if "--" in given else len(given)
        arguments = parser(caller).parse_args(given[:own])
        program = PROGRAMS[arguments.program]
        target = find_target(arguments.url.rstrip("/"), arguments.model, os.environ.get(KEY_VARIABLE) or NO_KEY)
        command = [arguments.program, *program.arguments(target), *given[own + 1 :]]
        if arguments.print:
            print(shell_text(program.variables(target), command))
            return 0
        return run(program.variables(target), command)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


def parser(caller: Caller = CALLER) -> Parser:
    parser = Parser(
        caller, f"Run a program with a model of this server; {KEY_VARIABLE} holds its API key if it has one."
    )
    parser.add_argument("program", choices=PROGRAMS, help="what to run; its own arguments stand at the end, after --")
    parser.add_argument("--url", default="http://127.0.0.1:8000", help="of the server (default: http://127.0.0.1:8000)")
    parser.add_argument("--model", help="as the server names it (default: its first)")
    parser.add_argument("--print", action="store_true", help="show what would be run, for a shell, and don't run it")
    return parser


def find_target(url: str, model: str | None, key: str) -> Target:
    """Asks a server for its models.

    Raises:
        UserError: it doesn't answer, wants another key, or has no such model.
    """
    import httpx

    try:
        response = httpx.get(f"{url}/v1/models", headers={"Authorization": f"Bearer {key}"}, timeout=30)
        cards: list[dict[str, Any]] = response.json()["data"] if response.is_success else []
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, KeyError, TypeError) as error:
        raise UserError("launch.no_server", url=url) from error
    if response.status_code == 401:
        raise UserError("launch.key", url=url, variable=KEY_VARIABLE)
    lengths = {card["id"]: card.get("max_model_len") for card in cards}
    if not lengths:
        raise UserError("launch.no_server", url=url)
    if model is not None and model not in lengths:
        raise UserError("launch.no_model", name=repr(model), models=", ".join(lengths))
    chosen = model or next(iter(lengths))
    return Target(url, chosen, lengths[chosen], key)


def shell_text(variables: Mapping[str, str], command: Sequence[str]) -> str:
    """Lines that set the variables and run the command, for PowerShell on Windows and POSIX shells elsewhere."""
    if os.name == "nt":
        lines = [f"$env:{name} = {powershell_text(value)}" for name, value in variables.items()]
        return "\n".join([*lines, " ".join(["&", *map(powershell_text, command)])])
    return "\n".join(
        [*(f"export {name}={shlex.quote(value)}" for name, value in variables.items()), shlex.join(command)]
    )


def powershell_text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def run(variables: Mapping[str, str], command: Sequence[str]) -> int:
    """Runs a program and returns its exit status.

    Raises:
        UserError: it is not installed.
    """
    path = shutil.which(command[0])
    if path is None:
        raise UserError("launch.not_installed", name=command[0])
    return subprocess.run([path, *command[1:]], env={**os.environ, **variables}).returncode


if __name__ == "__main__":
    sys.exit(main())
