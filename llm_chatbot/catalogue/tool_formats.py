"""How families of models write tool calls. Data only: a format is known by marks in the chat template.

- hermes: Hermes, Qwen2.5, Qwen3, Granite 4, and the generic format of `chat_formats`:
  https://github.com/NousResearch/Hermes-Function-Calling#prompt-format
- qwen-xml: Qwen3-Coder, Qwen3.5: the chat template of https://huggingface.co/Qwen/Qwen3-Coder-30B-A3B-Instruct
- seed-xml: Seed-OSS: the chat template of https://huggingface.co/ByteDance-Seed/Seed-OSS-36B-Instruct
- llama: Llama 3: https://github.com/meta-llama/llama-models/blob/main/models/llama3_1/prompt_format.md
- mistral: up to its tokenizer v3, mistral-named: from v11 on:
  https://docs.mistral.ai/cookbooks/concept-deep-dive-tokenization-tool_calling
- gemma: Gemma 4, function-gemma: https://ai.google.dev/gemma/docs/functiongemma/formatting-and-best-practices
- granite: Granite 3: https://www.ibm.com/granite/docs/models/granite
- lfm: LFM2: https://docs.liquid.ai/lfm/key-concepts/tool-use
- deepseek-fenced: V3 and R1, deepseek: V3.1: the chat templates of https://huggingface.co/deepseek-ai/DeepSeek-V3.1
- phi: Phi-4-mini: https://huggingface.co/microsoft/Phi-4-mini-instruct#tool-enabled-function-calling-format
- harmony: gpt-oss: https://developers.openai.com/cookbook/articles/openai-harmony; the engine has read its calls as
  Hermes'
- json: any other: a JSON object with the name and the arguments of an offered tool.
"""

from dataclasses import dataclass
from typing import Literal

Syntax = Literal["json", "named", "xml", "python", "gemma"]
Notation = Literal["json", "gemma", "function-gemma", "python", "elements", "seed-elements"]


@dataclass(frozen=True)
class ToolFormat:
    """
    Attributes:
        template_marks: texts that the chat template has, all of them.
        start: what a call begins with, or a list of calls; empty if nothing marks it.
        end: what ends it; empty if nothing does.
        syntax: of what is between. "json": an object with name and arguments, or a list of such. "named": the name, and
            the arguments as JSON. "xml": Qwen's elements. "python": a list of Python's calls. "gemma":
            `call:name{key:value}`.
        arguments: the name of a JSON call's arguments.
        bare: what a call begins with where a model leaves `start` out; empty if nothing tells it from text.
        other_marks: further texts around calls that are not shown.
        quote: what strings are between, in Gemma's syntax.
        forced: the texts before, between and after the calls that a grammar makes a model write.
        call: the texts before and after the arguments of such a call, the first with its `{name}`; empty: it is a JSON
            object.
        notation: of the arguments in `call`.
    """

    template_marks: tuple[str, ...]
    start: str
    end: str = ""
    syntax: Syntax = "json"
    arguments: str = "arguments"
    bare: str = ""
    other_marks: tuple[str, ...] = ()
    quote: str = ""
    forced: tuple[str, str, str] = ("", "\n", "")
    call: tuple[str, str] | None = None
    notation: Notation = "json"


_ONE_BY_ONE = ("<tool_call>\n", "\n</tool_call>\n<tool_call>\n", "\n</tool_call>")
_LIST = ("[", ", ", "]")
_FUNCTION = ("<function={name}>\n", "</function>")

_CHANNELS = ("<|start|>", "<|channel|>", "<|message|>")

# The first whose marks are all in a template is its format.
TOOL_FORMATS = {
    "harmony": ToolFormat(_CHANNELS, "<tool_call>", "</tool_call>"),
    "qwen-xml": ToolFormat(
        ("<tool_call>", "<function="),
        "<tool_call>",
        "</tool_call>",
        "xml",
        bare="<function=",
        forced=_ONE_BY_ONE,
        call=_FUNCTION,
        notation="elements",
    ),
    "seed-xml": ToolFormat(
        ("<seed:tool_call>", "<function="),
        "<seed:tool_call>",
        "</seed:tool_call>",
        "xml",
        bare="<function=",
        forced=("<seed:tool_call>\n", "\n</seed:tool_call>\n<seed:tool_call>\n", "\n</seed:tool_call>"),
        call=_FUNCTION,
        notation="seed-elements",
    ),
    "hermes": ToolFormat(("<tool_call>",), "<tool_call>", "</tool_call>", forced=_ONE_BY_ONE),
    "mistral-named": ToolFormat(
        ("[TOOL_CALLS]", "[ARGS]"),
        "[TOOL_CALLS]",
        syntax="named",
        forced=("", "", ""),
        call=("[TOOL_CALLS]{name}[ARGS]", ""),
    ),
    "mistral": ToolFormat(("[TOOL_CALLS]",), "[TOOL_CALLS]", forced=_LIST),
    "gemma": ToolFormat(
        ("<|tool_call>",),
        "<|tool_call>",
        "<tool_call|>",
        "gemma",
        quote='<|"|>',
        forced=("", "", ""),
        call=("<|tool_call>call:{name}", "<tool_call|>"),
        notation="gemma",
    ),
    "function-gemma": ToolFormat(
        ("<start_function_call>",),
        "<start_function_call>",
        "<end_function_call>",
        "gemma",
        quote="<escape>",
        forced=("", "", ""),
        call=("<start_function_call>call:{name}", "<end_function_call>"),
        notation="function-gemma",
    ),
    "lfm": ToolFormat(
        ("<|tool_call_start|>",),
        "<|tool_call_start|>",
        "<|tool_call_end|>",
        "python",
        forced=("<|tool_call_start|>[", ", ", "]<|tool_call_end|>"),
        call=("{name}", ""),
        notation="python",
    ),
    "deepseek-fenced": ToolFormat(
        ("<｜tool▁call▁begin｜>", "```json"),
        "<｜tool▁call▁begin｜>",
        "<｜tool▁call▁end｜>",
        "named",
        other_marks=("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
        forced=("<｜tool▁calls▁begin｜>", "\n", "<｜tool▁calls▁end｜>"),
        call=("<｜tool▁call▁begin｜>function<｜tool▁sep｜>{name}\n```json\n", "\n```<｜tool▁call▁end｜>"),
    ),
    "deepseek": ToolFormat(
        ("<｜tool▁call▁begin｜>",),
        "<｜tool▁call▁begin｜>",
        "<｜tool▁call▁end｜>",
        "named",
        other_marks=("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
        forced=("<｜tool▁calls▁begin｜>", "", "<｜tool▁calls▁end｜>"),
        call=("<｜tool▁call▁begin｜>{name}<｜tool▁sep｜>", "<｜tool▁call▁end｜>"),
    ),
    "phi": ToolFormat(("<|/tool_call|>",), "<|tool_call|>", "<|/tool_call|>", forced=_LIST),
    "granite": ToolFormat(("<|tool_call|>",), "<|tool_call|>", forced=_LIST),
    "llama": ToolFormat(
        ("<|start_header_id|>", '"parameters"'), "<|python_tag|>", arguments="parameters", forced=("", "; ", "")
    ),
    "json": ToolFormat((), "<tool_call>", "</tool_call>"),
}

# The format of a template that takes no tools: the model is told of it, see `chat_formats.TOOLS_PROMPT`.
GENERIC = "hermes"

WITHIN_CALLS = ("[ARGS]", "[CALL_ID]", "<｜tool▁sep｜>", "</parameter>", "</function>")

# Marks that are read in an answer even where a checkpoint has them as special tokens, which else are not shown.
CALL_MARKS = tuple(
    dict.fromkeys(
        mark
        for format in TOOL_FORMATS.values()
        for mark in (format.start, format.end, format.quote, *format.other_marks, *WITHIN_CALLS)
        if mark
    )
)


def tool_format(template: str | None) -> str:
    """The name of the format in which a chat template asks for calls."""
    if not isinstance(template, str):
        return GENERIC
    if "tools" not in template:
        return "harmony" if all(mark in template for mark in _CHANNELS) else GENERIC
    return next(
        name for name, format in TOOL_FORMATS.items() if all(mark in template for mark in format.template_marks)
    )
