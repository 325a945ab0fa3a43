"""Compares OpenVINO GenAI's own engine for chat templates with Jinja, on probe conversations of a converted folder."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from llm_chatbot.folder.chat_templates import CALLED, PROBE_TOOL, Templates, only_one, read_templates, template_for
from llm_chatbot.folder.json_files import read_json
from llm_chatbot.folder.template_sandbox import compiled, variables_of

USER = {"role": "user", "content": "How warm is it in Paris? ½ 日本"}
CALL: dict[str, Any] = {
    "id": "abcdEFG12",
    "type": "function",
    "function": {"name": CALLED, "arguments": {"city": "Paris", "days": 2, "exact": 0.5}},
}
# Named by what is in them.
PROBES: dict[str, list[dict[str, Any]]] = {
    "a question": [USER],
    "a system prompt": [{"role": "system", "content": "Be brief."}, USER],
    "an answer": [USER, {"role": "assistant", "content": "Warm, 21 °C."}, USER],
}
WITH_TOOLS: dict[str, list[dict[str, Any]]] = {
    "tools": [USER],
    "a call": [
        USER,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": CALL["id"], "name": CALLED, "content": '{"t": 21}'},
    ],
}


def main() -> None:
    """Prints the comparison of the folder that is named as the argument as JSON; null without OpenVINO GenAI."""
    print(json.dumps(compare_templates(Path(sys.argv[1]))))


def compare_templates(folder: Path) -> dict[str, Any] | None:
    """Renders conversations in both ways.

    Returns:
        The "version" of OpenVINO GenAI, and the names of the conversations that it renders "otherwise", or has
        "refused" though Jinja renders them; None if it is not installed.

    Raises:
        RuntimeError: it can't read the folder.
    """
    try:
        import openvino_genai
    except ImportError:
        return None
    settings = {**read_json(folder / "special_tokens_map.json"), **read_json(folder / "tokenizer_config.json")}
    templates = only_one(read_templates(folder, settings))
    tokens = {name: _content(token) for name, token in settings.items() if name.endswith("_token")}
    tokenizer = openvino_genai.Tokenizer(folder)
    found: dict[str, Any] = {"version": openvino_genai.__version__, "otherwise": [], "refused": []}
    takes_tools = "tools" in variables_of(template_for(templates, tools=True) or "")
    for conversations, tools in ((PROBES, []), (WITH_TOOLS if takes_tools else {}, [PROBE_TOOL])):
        for name, messages in conversations.items():
            expected = _rendered_here(templates, tokens, messages, tools)
            if expected is None:
                continue
            try:
                rendered = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tools=tools or None)
            except RuntimeError:
                found["refused"].append(name)
                continue
            if rendered != expected:
                found["otherwise"].append(name)
    return found


def _rendered_here(
    templates: Templates, tokens: Mapping[str, str], messages: list[dict[str, Any]], tools: list[dict[str, Any]]
) -> str | None:
    template = template_for(templates, tools=bool(tools)) or ""
    variables = {"tools": tools or None, "documents": None, **tokens}
    try:
        return compiled(template).render(messages=messages, add_generation_prompt=True, **variables)
    except (TemplateError, ValueError, TypeError, LookupError, AttributeError):
        return None


def _content(token: Any) -> str:
    return str(token["content"] if isinstance(token, dict) else token)
