"""Chat formats: how a conversation becomes a prompt, and how the model's answer is read.

Data only. Newer checkpoints have their own chat template. The templates here are for older models and follow the model
cards named above them. Where a card leaves something open:

- A format without a system role gets the system message before the next user message, with an empty line between.
- Texts are not stripped, unless the original code strips them.
- `<s>` is written where the original prompt has it; tokenizing the prompt adds no special tokens.
"""

from dataclasses import dataclass

# The generic format of tools, for chat templates that take none. The functions stand in the system message, or before
# the first message of the user where the template takes no system message; each is a line of JSON. Calls and results
# are the text of messages of the assistant and the user. The marks are those of Hermes, which most models have seen.
TOOLS_PROMPT = """\
You may call functions. Each of these lines describes one, with a JSON schema of its arguments:
<tools>
{tools}
</tools>
To call a function, write a JSON object with its name and its arguments, and nothing else:
<tool_call>
{{"name": "the name", "arguments": {{"an argument": "its value"}}}}
</tool_call>
Its result comes as <tool_response>the result</tool_response>. Answer without a call where none is needed."""
TOOL_CALL, TOOL_RESULT = "<tool_call>\n{call}\n</tool_call>", "<tool_response>\n{result}\n</tool_response>"


@dataclass(frozen=True)
class ChatFormat:
    """The prompt format of a model, and what ends and cleans up its answers.

    Attributes:
        template: a Jinja chat template, as in Transformers; None: the checkpoint's own. The template writes all special
            tokens, BOS included: tokenizing the prompt adds none.
        stop_tokens: tokens that end an answer, besides those in the checkpoint's generation settings.
        stop_strings: texts that end an answer and are not shown. A leading newline also matches the answer's start.
        replacements: pairs of a text in the answer and what is shown instead; newlines match as above.
        strip_start: characters to remove from the answer's start, after the replacements.
    """

    template: str | None = None
    stop_tokens: tuple[str, ...] = ()
    stop_strings: tuple[str, ...] = ()
    replacements: tuple[tuple[str, str], ...] = ()
    strip_start: str = ""


CHECKPOINTS_OWN = ChatFormat()

# https://huggingface.co/HuggingFaceH4/zephyr-7b-beta, https://huggingface.co/TinyLlama/TinyLlama-1.1B-Chat-v1.0 and
# https://huggingface.co/argilla/notus-7b-v1. Roles are plain text to these tokenizers, `</s>` is a token. A model that
# does not end its answer goes on with the next role.
ZEPHYR = ChatFormat(
    template=r"""
{%- for message in messages %}
{{ '<|' + message['role'] + '|>\n' + message['content'] + '</s>\n' -}}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|assistant|>\n' -}}
{% endif %}""",
    stop_strings=("<|user|>", "<|system|>"),
    strip_start="\n ",
)

# https://huggingface.co/togethercomputer/RedPajama-INCITE-Chat-3B-v1. The system message
# comes first, like the preamble in the makers' chat program:
# https://github.com/togethercomputer/OpenChatKit/blob/main/inference/conversation.py
# After an answer the model goes on with the human's next message.
RED_PAJAMA = ChatFormat(
    template=r"""
{%- for message in messages %}
{% if message['role'] == 'system' %}
{{ message['content'] + '\n\n' -}}
{% elif message['role'] == 'user' %}
{{ '<human>: ' + message['content'] + '\n' -}}
{% else %}
{{ '<bot>: ' + message['content'] + '\n' -}}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '<bot>:' -}}
{% endif %}""",
    stop_strings=("\n<human>", "<human>"),
    replacements=(("<bot>:", ""),),
    strip_start="\n ",
)

# https://github.com/meta-llama/llama/blob/main/llama/generation.py (`chat_completion`), to which the card links:
# https://huggingface.co/meta-llama/Llama-2-7b-chat-hf
LLAMA_2 = ChatFormat(
    template=r"""
{%- set ns = namespace(system='') %}
{% for message in messages %}
{% if message['role'] == 'system' %}
{% set ns.system = '<<SYS>>\n' + message['content'] + '\n<</SYS>>\n\n' %}
{% elif message['role'] == 'user' %}
{{ '<s>[INST] ' + (ns.system + message['content']) | trim + ' [/INST]' -}}
{% set ns.system = '' %}
{% else %}
{{ ' ' + message['content'] | trim + ' </s>' -}}
{% endif %}
{% endfor %}""",
    strip_start=" ",
)

# A base model has no chat format. This is that of the instruction-tuned model made from it:
# https://huggingface.co/mistralai/Mistral-7B-Instruct-v0.1#instruction-format
# The base model was not trained to end its answer; next in the format is the user's mark.
MISTRAL = ChatFormat(
    template=r"""
{{- '<s>' -}}
{% set ns = namespace(system='') %}
{% for message in messages %}
{% if message['role'] == 'system' %}
{% set ns.system = message['content'] + '\n\n' %}
{% elif message['role'] == 'user' %}
{{ '[INST] ' + ns.system + message['content'] + ' [/INST]' -}}
{% set ns.system = '' %}
{% else %}
{{ ' ' + message['content'] + '</s>' -}}
{% endif %}
{% endfor %}""",
    stop_strings=("[INST]",),
    replacements=(("[/INST]", ""),),
    strip_start="\n ",
)

_CHATML = r"""
{%- if messages[0]['role'] != 'system' %}
{{ '<|im_start|>system\nDEFAULT_SYSTEM_PROMPT<|im_end|>\n' -}}
{% endif %}
{% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' -}}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\n' -}}
{% endif %}"""

# `make_context` in https://huggingface.co/Qwen/Qwen-7B-Chat/blob/main/qwen_generation_utils.py, with the system prompt
# of `chat` in modeling_qwen.py beside it. Its stop words are the first two tokens.
QWEN = ChatFormat(
    template=_CHATML.replace("DEFAULT_SYSTEM_PROMPT", "You are a helpful assistant."),
    stop_tokens=("<|im_end|>", "<|im_start|>", "<|endoftext|>"),
)

# https://huggingface.co/mosaicml/mpt-7b-chat shows no prompt. The makers' chat program uses ChatML:
# https://github.com/mosaicml/llm-foundry/blob/main/scripts/inference/hf_chat.py. The newlines and the system prompt are
# those of https://huggingface.co/TheBloke/mpt-7b-chat-GGML.
MPT = ChatFormat(
    template=_CHATML.replace(
        "DEFAULT_SYSTEM_PROMPT",
        "A conversation between a user and an LLM-based AI assistant. The assistant gives helpful and honest answers.",
    ),
    stop_tokens=("<|im_end|>", "<|endoftext|>"),
)

# `build_chat_input` in https://huggingface.co/zai-org/chatglm3-6b/blob/main/tokenization_chatglm.py, and
# https://github.com/zai-org/ChatGLM3/blob/main/PROMPT.md. The space after a role's newline is the one
# that SentencePiece puts before each text. An answer begins with that newline, and may contain a placeholder for the
# date of the training, which `process_response` in modeling_chatglm.py fills in.
CHATGLM3 = ChatFormat(
    template=r"""
{{- '[gMASK]sop' -}}
{% for message in messages %}
{{ '<|' + message['role'] + '|>\n ' + message['content'] -}}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|assistant|>' -}}
{% endif %}""",
    stop_tokens=("<|user|>", "<|observation|>"),
    replacements=(("[[训练时间]]", "2023年"),),
    strip_start="\n ",
)

_MARKED_ROLES = r"""
{%- set marks = MARKS %}
{% for message in messages %}
{{ marks[message['role']] + message['content'] + '\n' -}}
{% endfor %}
{% if add_generation_prompt %}
{{ marks['assistant'] -}}
{% endif %}"""

# https://huggingface.co/Intel/neural-chat-7b-v3-1, whose example tokenizes the prompt without `<s>`. It shows one turn;
# further turns are written in the same way, each block on a new line.
NEURAL_CHAT = ChatFormat(
    template=_MARKED_ROLES.replace(
        "MARKS", r"{'system': '### System:\n', 'user': '### User:\n', 'assistant': '### Assistant:\n'}"
    ),
    stop_strings=("\n### User:", "### User:", "\n### System:"),
    strip_start="\n ",
)

# https://huggingface.co/rinna/youri-7b-chat, whose example tokenizes the prompt without `<s>`. The space after the last
# mark is the card's too.
YOURI = ChatFormat(
    template=_MARKED_ROLES.replace("MARKS", "{'system': '設定: ', 'user': 'ユーザー: ', 'assistant': 'システム: '}"),
    stop_strings=("\nユーザー:", "\n設定:"),
    replacements=(("\nシステム: ", "\n"), ("\nシステム:", "\n")),
    strip_start="\n ",
)
