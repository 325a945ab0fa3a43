import subprocess
import sys

import pytest

from llm_chatbot.page.gradio_without_mcp import without_module

IMPORTED = "import llm_chatbot.page.app, sys; print(sorted({'mcp', 'mcp_types', 'httpx2'} & sys.modules.keys()))"


def test_the_page_imports_the_sdk_of_mcp_neither_itself_nor_by_gradio():
    done = subprocess.run([sys.executable, "-c", IMPORTED], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout == "[]\n"


def test_a_module_is_missing_for_a_while_unless_it_was_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "this", raising=False)
    with without_module("this"), pytest.raises(ModuleNotFoundError):
        __import__("this")
    assert "this" not in sys.modules
    with without_module("sys"):
        assert __import__("sys") is sys
