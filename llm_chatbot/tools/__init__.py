"""Tools of MCP servers, which the user names: https://modelcontextprotocol.io/specification.

In the order of the data: `configuration` reads the file that names the servers; `server` is one of them, with its
session; `servers` runs all sessions on the event loop of one thread; `offers` names the tools for a model; `calls`
keeps each call until whoever asked for it has its result. The SDK, `mcp`, is imported when a server is first started.
"""
