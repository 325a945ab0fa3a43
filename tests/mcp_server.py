"""An MCP server in a process of its own, with tools that behave and tools that don't.

It talks over its standard input and output, or over HTTP on the port that it is started with.
"""

import json
import os
import sys
import time
from pathlib import Path

import anyio
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError

server = MCPServer("notes")


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two numbers."""
    return a + b


@server.tool()
def knows() -> str:
    """What the server knows of its user."""
    return f"{os.environ.get('NOTES_KEY', 'no key')} {os.environ.get('LLM_CHATBOT_AUTH', 'no secret')}"


@server.tool()
def fail() -> str:
    """Fails."""
    raise ToolError("There is no such note.")


@server.tool()
def huge(characters: int) -> str:
    """A long text."""
    return "word " * (characters // 5)


@server.tool()
async def slow(file: str) -> str:
    """Waits for a minute, and says in a file how that ended."""
    try:
        await anyio.sleep(60)
    except BaseException:
        Path(file).write_text("stopped", encoding="utf-8")
        raise
    return "done"


@server.tool()
def say(text: str) -> str:
    """Says what it is told."""
    return text


@server.tool()
def malformed() -> str:
    """Writes what is no JSON beside its result."""
    print('{"jsonrpc": "2.0", "id": [', flush=True)
    return "after all"


@server.tool()
async def learn(context: Context) -> str:
    """Adds a tool, and says that there is one more."""
    server.add_tool(lambda: "new", name="learned", description="Is new.")
    await context.notify_tools_changed()
    return "learned"


@server.tool()
def die() -> str:
    """Ends its process."""
    os._exit(3)


def serve_earlier_protocol() -> None:
    """Answers as servers of 2025 do: the SDK speaks with its own clients as in 2026 only."""
    tools = ["learn"]
    for line in sys.stdin:
        request = json.loads(line)
        method, version = request["method"], {"protocolVersion": "2025-06-18"}
        capabilities = {"tools": {"listChanged": True}}
        results: dict[str, dict[str, object]] = {
            "initialize": version | {"capabilities": capabilities, "serverInfo": {"name": "earlier", "version": "1"}},
            "tools/list": {"tools": [{"name": name, "inputSchema": {"type": "object"}} for name in tools]},
            "tools/call": {"content": [{"type": "text", "text": "learned"}]},
        }
        if "id" in request:
            known = {"result": results[method]} if method in results else {"error": {"code": -32601, "message": "no"}}
            print(json.dumps({"jsonrpc": "2.0", "id": request["id"], **known}), flush=True)
        if method == "tools/call":
            tools.append("learned")
            print(json.dumps({"jsonrpc": "2.0", "method": "notifications/tools/list_changed"}), flush=True)


def main() -> None:
    if sys.argv[1:2] == ["earlier"]:
        serve_earlier_protocol()
    elif sys.argv[1:2] == ["silent"]:
        time.sleep(60)
    elif sys.argv[1:2] == ["broken"]:
        sys.exit("The key of this server is missing.")
    elif sys.argv[1:]:
        server.run("streamable-http", port=int(sys.argv[1]))
    else:
        server.run()


if __name__ == "__main__":
    main()
