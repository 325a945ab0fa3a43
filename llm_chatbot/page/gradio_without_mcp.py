"""Gradio without the SDK of MCP, which it imports wherever it is installed, for a server that the page doesn't have.

That takes half a second of the page's start. The page's own servers of tools import the SDK when the first one starts.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def without_module(name: str) -> Iterator[None]:
    """Lets a module that wasn't imported yet seem not to be installed.

    See https://docs.python.org/3/reference/import.html#the-module-cache.
    """
    modules: dict[str, Any] = sys.modules
    is_absent = name not in modules
    if is_absent:
        modules[name] = None
    try:
        yield
    finally:
        if is_absent:
            del modules[name]


with without_module("mcp"):
    import gradio

__all__ = ["gradio"]
