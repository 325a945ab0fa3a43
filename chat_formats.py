"""Chat formats: how a conversation is written for a model, and how its answer is read.

Data only. Newer checkpoints bring a chat template of their own. The templates here are for models from before that was
usual, and follow the cards that are named above them. What the cards leave open is decided so:

- A system message in a format that knows none goes before the user's next message, with an empty line between.
- Texts go in as they are, unless the original code strips them.
- `<s>` is written just where the original prompt has it; whoever tokenizes the prompt adds nothing.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class ChatFormat:
    """How a model is talked to.

    Attributes:
        template: a Jinja template as Transformers renders them; None stands for the checkpoint's own. Its text is
            tokenized without special tokens being added, so the template writes all of them, BOS included.
        stop_tokens: tokens that end an answer, besides those in the checkpoint's generation settings.
        stop_strings: texts that end an answer, and are not shown. A newline first also stands for its beginning.
        replacements: pairs of a text that the model writes and what is shown in its place, with newlines as above.
        strip_start: characters that are not shown at an answer's beginning, once the replacements are done.
    """

    template: str | None = None
    stop_tokens: tuple[str, ...] = ()
    stop_strings: tuple[str, ...] = ()
    replacements: tuple[tuple[str, str], ...] = ()
    strip_start: str = ""


CHECKPOINTS_OWN = ChatFormat()

# https://huggingface.co/HuggingFaceH4/zephyr-7b-beta, https://huggingface.co/TinyLlama/TinyLlama-1.1B-Chat-v1.0 and
# https://huggingface.co/argilla/notus-7b-v1. Roles are plain text to these tokenizers, `</s>` is a token. A model that
# misses its end would go on with the next role.
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

# https://huggingface.co/togethercomputer/RedPajama-INCITE-Chat-3B-v1. Turns follow one another and a preamble, as which
# the system message goes, stands before them as in the makers' own chat program:
# https://github.com/togethercomputer/OpenChatKit/blob/main/inference/conversation.py
# After an answer the model writes the human's next message itself.
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

# https://github.com/meta-llama/llama/blob/main/llama/generation.py (`chat_completion`), which the card refers to:
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

# A base model knows no chat format. This is the one of the instruction-tuned model made from it:
# https://huggingface.co/mistralai/Mistral-7B-Instruct-v0.1#instruction-format
# Nothing taught the base model to end its answer, and what comes next in the format is the user's mark.
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

# https://huggingface.co/mosaicml/mpt-7b-chat shows no prompt. The makers' chat program writes ChatML:
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
# https://github.com/zai-org/ChatGLM3/blob/main/PROMPT.md. The space after a role's newline is the one that
# SentencePiece puts before each text. An answer begins with that newline, and dates the training with a placeholder
# that `process_response` in modeling_chatglm.py fills in.
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

# https://huggingface.co/Intel/neural-chat-7b-v3-1, whose example tokenizes the prompt without `<s>`. It shows one turn;
# a further one follows in the same way, each block on a new line.
NEURAL_CHAT = ChatFormat(
    template=r"""
{%- set marks = {'system': '### System:\n', 'user': '### User:\n', 'assistant': '### Assistant:\n'} %}
{% for message in messages %}
{{ marks[message['role']] + message['content'] + '\n' -}}
{% endfor %}
{% if add_generation_prompt %}
{{ marks['assistant'] -}}
{% endif %}""",
    stop_strings=("\n### User:", "### User:", "\n### System:"),
    strip_start="\n ",
)

# https://huggingface.co/rinna/youri-7b-chat, whose example tokenizes the prompt without `<s>`. The space after the last
# mark is the card's too.
YOURI = ChatFormat(
    template=r"""
{%- set marks = {'system': '設定: ', 'user': 'ユーザー: ', 'assistant': 'システム: '} %}
{% for message in messages %}
{{ marks[message['role']] + message['content'] + '\n' -}}
{% endfor %}
{% if add_generation_prompt %}
{{ marks['assistant'] -}}
{% endif %}""",
    stop_strings=("\nユーザー:", "\n設定:"),
    replacements=(("\nシステム: ", "\n"), ("\nシステム:", "\n")),
    strip_start="\n ",
)

# For checkpoints that are not in the catalogue, and whose original format has no place for a template.
BY_MODEL_TYPE = {"qwen": QWEN, "chatglm": CHATGLM3}
