"""The reasoning that an answer may begin with: its marks, and where it begins and ends."""

from collections.abc import Sequence
from itertools import dropwhile

from llm_chatbot.engine.text.history import Message
from llm_chatbot.engine.text.tokenizer import ChatTokenizer

# Delimiters of a model's reasoning: https://qwen.readthedocs.io/en/latest/getting_started/concepts.html
REASONING_START, REASONING_END = "<think>", "</think>"

# What ends reasoning that is too long.
REASONING_CLOSED = "\n</think>\n\n"


def begun_answer(tokenizer: ChatTokenizer, ids: Sequence[int]) -> str:
    """The part of the answer that the prompt already contains: the start of its reasoning, or nothing."""
    end = tokenizer.decode(ids[-8:])
    start = end.rfind(REASONING_START)
    return end[start:] if start >= 0 and not end[start + len(REASONING_START) :].strip() else ""


def is_reasoning(text: str) -> bool:
    """Whether an answer has begun its reasoning, and not ended it."""
    return text.lstrip().startswith(REASONING_START) and REASONING_END not in text


def reasoning_opening(tokenizer: ChatTokenizer, ids: Sequence[int]) -> list[int]:
    """The mark that a model that thinks writes after a prompt without it; empty where it doesn't think.

    Args:
        tokenizer: the model's.
        ids: the prompt. One that contains the end of the reasoning wants none.
    """
    if tokenizer.decode(ids[-8:]).rstrip().endswith(REASONING_END) or begun_answer(tokenizer, ids):
        return []
    added = tokenizer.added_tokens_decoder
    opening = tokenizer(REASONING_START, add_special_tokens=False)["input_ids"]
    return list(dropwhile(lambda token: token not in added, opening))


def without_reasoning(message: Message, keep: bool) -> Message:
    """A message whose content is without the reasoning that an answer may begin with; `keep` puts it beside that."""
    content = message.get("content")
    if message["role"] != "assistant" or not isinstance(content, str):
        return {**message, "content": content}
    if not content.lstrip().startswith(REASONING_START):
        return message
    reasoning, _, answer = content.lstrip().removeprefix(REASONING_START).partition(REASONING_END)
    kept = {"reasoning_content": reasoning.strip()} if keep else {}
    if keep and not answer.strip():
        kept["thinking"] = reasoning.strip()  # gpt-oss's name for it, whose template takes one of both
    return {**message, **kept, "content": answer.lstrip()}
