"""A model as the API needs to know it."""

from dataclasses import dataclass

from llm_chatbot.answering.served import ServedFacts
from llm_chatbot.catalogue.tool_formats import GENERIC, tool_format
from llm_chatbot.engine.text.channels import writes_channels
from llm_chatbot.engine.text.reasoning import marks_in_template
from llm_chatbot.folder.chat_templates import only_one, template_for

THINKING_VARIABLES = frozenset({"enable_thinking", "reasoning_effort"})


@dataclass(frozen=True)
class ModelInfo:
    """A model's facts, and how it writes tool calls.

    Attributes:
        name, max_tokens, context_length, variables: as in `ServedFacts`.
        tool_format: how the model writes tool calls, one of `llm_chatbot.catalogue.tool_formats.TOOL_FORMATS`.
        has_channels: whether the model answers on channels, see `llm_chatbot.engine.text.channels`.
        thinks: whether its chat template knows of reasoning.
        reads_images: as in `ServedFacts`.
    """

    name: str
    max_tokens: int
    context_length: int | None = None
    tool_format: str = GENERIC
    variables: frozenset[str] = frozenset()
    has_channels: bool = False
    thinks: bool = False
    reads_images: bool = False


def model_info(facts: ServedFacts) -> ModelInfo:
    template = template_for(only_one(facts.chat_template), tools=True)
    has_channels = writes_channels(facts.chat_template)
    thinks = has_channels or bool(facts.variables & THINKING_VARIABLES) or marks_in_template(template) is not None
    length, format = facts.context_length, tool_format(template)
    known = (facts.name, facts.max_tokens, length, format, facts.variables)
    return ModelInfo(*known, has_channels, thinks, facts.reads_images)
