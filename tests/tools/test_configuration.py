import json
from pathlib import Path

import pytest

from llm_chatbot.errors import UserError
from llm_chatbot.tools.configuration import HTTPServer, ProgramServer, read_servers, tool_key


def written(folder: Path, servers: object) -> Path:
    path = folder / "mcp.json"
    path.write_text(servers if isinstance(servers, str) else json.dumps({"mcpServers": servers}), encoding="utf-8")
    return path


def test_the_file_of_other_programs_is_read(tmp_path: Path):
    servers = {
        "files": {"command": "npx", "args": ["-y", "server"], "env": {"KEY": "1"}, "alwaysAllow": ["read"]},
        "search": {"type": "http", "url": "https://example.com/mcp", "headers": {"Authorization": "Bearer 1"}},
        "off": {"command": "npx", "disabled": True},
        "unfinished": {"disabled": True},
        "here": {"command": "notes", "cwd": "/srv"},
    }
    assert read_servers(written(tmp_path, servers)) == [
        ProgramServer("files", "npx", ["-y", "server"], {"KEY": "1"}),
        HTTPServer("search", "https://example.com/mcp", {"Authorization": "Bearer 1"}),
        ProgramServer("here", "notes", [], {}, "/srv"),
    ]


@pytest.mark.parametrize(
    ("servers", "key"),
    [
        ("{", "command.mcp_file_not_json"),
        ("[]", "command.mcp_file_form"),
        ('{"mcpServers": []}', "command.mcp_file_form"),
        ({"a": []}, "command.mcp_server_form"),
        ({"a": {}}, "command.mcp_server_form"),
        ({"a": {"command": "x", "url": "http://x"}}, "command.mcp_server_form"),
        ({"a": {"type": "sse", "url": "http://x"}}, "command.mcp_old_transport"),
        ({"a": {"command": ""}}, "command.mcp_field_text"),
        ({"a": {"command": "x", "cwd": 1}}, "command.mcp_field_text"),
        ({"a": {"command": "x", "args": "y"}}, "command.mcp_field_texts"),
        ({"a": {"command": "x", "env": {"A": 1}}}, "command.mcp_field_texts_by_name"),
        ({"a": {"url": "ftp://x"}}, "command.mcp_field_url"),
        ({"a": {"url": "http://x", "headers": []}}, "command.mcp_field_texts_by_name"),
    ],
)
def test_each_kind_of_mistake_has_a_sentence(tmp_path: Path, servers, key):
    with pytest.raises(UserError) as raised:
        read_servers(written(tmp_path, servers))
    assert raised.value.key == key and "mcp.json" in str(raised.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(UserError, match=r"nowhere\.json, which names the MCP servers, can't be read"):
        read_servers(tmp_path / "nowhere.json")
    (tmp_path / "latin").write_bytes(b"\xff\xff")
    with pytest.raises(UserError, match="no UTF-8"):
        read_servers(tmp_path / "latin")


def test_a_tool_is_named_after_its_server_which_may_have_slashes():
    servers = ["a", "a/b"]
    assert tool_key("a/read", servers) == ("a", "read")
    assert tool_key("a/b/read", servers) == ("a/b", "read")
    for wrong in ("read", "c/read", "a/"):
        with pytest.raises(UserError, match="names no tool for visitors"):
            tool_key(wrong, servers)
