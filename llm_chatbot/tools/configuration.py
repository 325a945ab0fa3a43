"""The file that names the servers, in the form that other programs use: {"mcpServers": {name: server}}.

A server is {"command": …, "args": […], "env": {…}, "cwd": …}, a program that is started and talks over its standard
input and output; or {"url": …, "headers": {…}}, one that is there already and talks over streamable HTTP. One with
"disabled": true is left out. Other keys, such as those that allow calls in other programs, mean nothing here.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llm_chatbot.errors import UserError
from llm_chatbot.machine.json_value import json_value

OLD_TRANSPORT = "sse"


@dataclass(frozen=True)
class ProgramServer:
    """A server that is started as a program.

    Attributes:
        name: that the user gave it.
        env: variables besides the few that it inherits, such as PATH and HOME.
        cwd: the folder that it is started in; None: the current one.
    """

    name: str
    command: str
    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str | None = None


@dataclass(frozen=True)
class HTTPServer:
    """A server at an address.

    Attributes:
        name: that the user gave it.
        headers: sent with each request, such as a key.
    """

    name: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)


ServerConfig = ProgramServer | HTTPServer


def read_servers(path: Path) -> list[ServerConfig]:
    """The servers that a file names, in its order.

    Raises:
        UserError: it can't be read, or has another form.
    """
    servers = _read_json(path)
    servers = servers.get("mcpServers") if isinstance(servers, dict) else None
    if not isinstance(servers, dict):
        raise UserError("command.mcp_file_form", path=path)
    used = {name: values for name, values in servers.items() if not is_disabled(values)}
    return [_Entry(path, name, values).server() for name, values in used.items()]


def is_disabled(values: Any) -> bool:
    return isinstance(values, dict) and values.get("disabled") is True


def tool_key(name: str, servers: Sequence[str]) -> tuple[str, str]:
    """The server and the tool of a name such as SERVER/TOOL; the names of servers may have slashes too.

    Raises:
        UserError: it names no tool of these servers.
    """
    for server in sorted(servers, key=len, reverse=True):
        if name.startswith(f"{server}/") and name != f"{server}/":
            return server, name.removeprefix(f"{server}/")
    raise UserError("command.mcp_visitor_tool", tool=name, servers=", ".join(servers))


def _read_json(path: Path) -> Any:
    try:
        return json_value(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UserError("command.mcp_file_unread", path=path, reason=error.strerror or error) from error
    except UnicodeDecodeError as error:
        raise UserError("command.mcp_file_not_json", path=path, line=1, reason="no UTF-8") from error
    except json.JSONDecodeError as error:
        raise UserError("command.mcp_file_not_json", path=path, line=error.lineno, reason=error.msg) from error


class _Entry:
    """A server as the file has it. Its methods raise a `UserError` where a field has another form."""

    def __init__(self, path: Path, name: str, values: Any) -> None:
        self._place = {"path": path, "server": name}
        if not isinstance(values, dict) or ("command" in values) == ("url" in values):
            raise UserError("command.mcp_server_form", **self._place)
        self.name, self.values = name, values

    def server(self) -> ServerConfig:
        if self.values.get("type") == OLD_TRANSPORT:
            raise UserError("command.mcp_old_transport", **self._place)
        if "url" in self.values:
            return HTTPServer(self.name, self._url(), self._texts_by_name("headers"))
        cwd = self._text("cwd") if "cwd" in self.values else None
        return ProgramServer(self.name, self._text("command"), self._texts("args"), self._texts_by_name("env"), cwd)

    def _text(self, name: str) -> str:
        value = self.values[name]
        if not isinstance(value, str) or not value:
            raise UserError("command.mcp_field_text", field=name, **self._place)
        return value

    def _url(self) -> str:
        url = self._text("url")
        if not url.startswith(("http://", "https://")):
            raise UserError("command.mcp_field_url", field="url", **self._place)
        return url

    def _texts(self, name: str) -> list[str]:
        values = self.values.get(name, [])
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise UserError("command.mcp_field_texts", field=name, **self._place)
        return values

    def _texts_by_name(self, name: str) -> dict[str, str]:
        values = self.values.get(name, {})
        if not isinstance(values, dict) or not all(isinstance(value, str) for value in values.values()):
            raise UserError("command.mcp_field_texts_by_name", field=name, **self._place)
        return values
