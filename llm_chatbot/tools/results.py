"""Results of the SDK → texts."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from llm_chatbot.engine.text.history import LEFT_OUT
from llm_chatbot.tools.tool import MAX_DESCRIPTION, ServerTool, ToolResult

if TYPE_CHECKING:
    import mcp


def offered_tool(server: str, tool: "mcp.Tool") -> ServerTool:
    return ServerTool(server, tool.name, (tool.description or "")[:MAX_DESCRIPTION], dict(tool.input_schema))


def tool_result(result: Any) -> ToolResult:
    """
    Args:
        result: a `CallToolResult` of the SDK.
    """
    texts = [text for block in result.content for text in _texts_of(block)]
    if not texts and result.structured_content is not None:
        texts = [json.dumps(result.structured_content, ensure_ascii=False)]
    return ToolResult("\n\n".join(texts), bool(result.is_error))


def _texts_of(block: Any) -> Iterator[str]:
    if block.type == "text":
        yield block.text
    elif block.type == "resource_link":
        yield f"{block.name}: {block.uri}"
    elif block.type == "resource" and hasattr(block.resource, "text"):
        yield block.resource.text
    else:
        yield LEFT_OUT.format(what=block.type)
