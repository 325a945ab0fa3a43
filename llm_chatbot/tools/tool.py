"""A tool, and what a call of it gives."""

from dataclasses import dataclass, field
from typing import Any

MAX_DESCRIPTION = 2_000  # characters, of which a model reads each with every question


@dataclass(frozen=True)
class ServerTool:
    """
    Attributes:
        server, name: which it is.
        description: what its server says of it; cut at `MAX_DESCRIPTION`.
        parameters: the JSON schema of its arguments.
    """

    server: str
    name: str
    description: str = ""
    parameters: dict[str, Any] = field(default_factory=lambda: {"type": "object", "properties": {}})


@dataclass(frozen=True)
class ToolResult:
    """
    Attributes:
        text: what the tool said; words stand for images and sounds.
        is_error: whether the tool says that it failed.
        left_out: how many characters of what it said are not in `text`.
    """

    text: str
    is_error: bool = False
    left_out: int = 0
