"""Models as Ollama lists and describes them."""

import hashlib
from typing import Any

from llm_chatbot.answering.served import ServedFacts
from llm_chatbot.api.model_info import ModelInfo
from llm_chatbot.api.ollama.writer import timestamp
from llm_chatbot.folder.chat_templates import only_one, template_for

# Programs compare it with what they need: the version of Ollama whose requests and answers these are.
OLLAMA_VERSION = "0.40.0"
NEVER = "2262-04-11T23:47:16Z"  # the last second that nanoseconds of 64 bits since 1970 can say


def card(facts: ServedFacts) -> dict[str, Any]:
    weights = facts.weights
    identity = f"{facts.name} {weights.size} {weights.modified}"
    return {
        "name": facts.name,
        "model": facts.name,
        "modified_at": timestamp(weights.modified),
        "size": weights.size,
        "digest": hashlib.sha256(identity.encode()).hexdigest(),
        "details": details(facts),
    }


def running(facts: ServedFacts) -> dict[str, Any]:
    """A model in memory. The weights are mapped, and none of them are a GPU's alone."""
    expires = NEVER if facts.expires is None else timestamp(facts.expires)
    return {**card(facts), "expires_at": expires, "size_vram": 0, "context_length": facts.context_length}


def details(facts: ServedFacts) -> dict[str, Any]:
    weights = facts.weights
    return {
        "parent_model": facts.parent,
        "format": weights.format,
        "family": weights.architecture,
        "families": [weights.architecture],
        "parameter_size": count_text(weights.parameters),
        "quantization_level": weights.precision,
    }


def description(facts: ServedFacts, info: ModelInfo) -> dict[str, Any]:
    architecture = facts.weights.architecture
    template = template_for(only_one(facts.chat_template), tools=bool(info.tool_format))
    return {
        "modelfile": "",
        "parameters": "",
        "template": template if isinstance(template, str) else "",
        "modified_at": timestamp(facts.weights.modified),
        "details": details(facts),
        "model_info": {
            "general.architecture": architecture,
            "general.parameter_count": facts.weights.parameters,
            f"{architecture}.context_length": facts.context_length,
        },
        "capabilities": capabilities(info),
    }


def capabilities(info: ModelInfo) -> list[str]:
    tools = ["tools"] if info.tool_format is not None else []
    more = {"vision": info.reads_images, "thinking": info.thinks}
    return ["completion", *tools, *(name for name, has in more.items() if has)]


def count_text(parameters: int | None) -> str:
    """A number of weights as Ollama writes it, such as 134.5M; empty if it is not known."""
    if parameters is None:
        return ""
    unit, name = (1e9, "B") if parameters >= 1e9 else (1e6, "M")
    return f"{parameters / unit:.1f}{name}"
