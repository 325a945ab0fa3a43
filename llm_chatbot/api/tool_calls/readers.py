"""The reader of each syntax of `llm_chatbot.catalogue.tool_formats`.

A reader gets a text, a place in it and whether the answer has ended, and says which calls begin there, where they end,
and which one is begun.
"""

from collections.abc import Callable

from llm_chatbot.api.tool_calls.gemma_calls import read_gemma
from llm_chatbot.api.tool_calls.json_calls import read_named, read_objects
from llm_chatbot.api.tool_calls.python_calls import read_python
from llm_chatbot.api.tool_calls.written import Reading, Tools
from llm_chatbot.api.tool_calls.xml_calls import read_xml
from llm_chatbot.catalogue.tool_formats import ToolFormat

CALL_READERS: dict[str, Callable[[str, int, Tools, ToolFormat, bool], Reading]] = {
    "json": read_objects,
    "named": read_named,
    "xml": read_xml,
    "python": read_python,
    "gemma": read_gemma,
}
