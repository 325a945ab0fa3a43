"""The tokens that end an answer, found out of a tokenizer and of what its chat template writes."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from tokenizers import AddedToken

from llm_chatbot.gguf.tokenizer import END_TOKENS, Vocabulary, stop_token_ids


class NamedTokens(Protocol):
    """The part of a tokenizer, Transformers' or ours, that is needed here."""

    chat_template: Any

    @property
    def added_tokens_decoder(self) -> Mapping[int, AddedToken]: ...

    @property
    def eos_token_id(self) -> int | None: ...


def listed_ids(setting: Any) -> set[int]:
    """The ids in a setting such as `eos_token_id`, which is one id, a list of them, or null."""
    return {id for id in (setting if isinstance(setting, list) else [setting]) if isinstance(id, int)}


def end_token_ids(tokenizer: NamedTokens, after_answers: Sequence[str]) -> set[int]:
    """Ids of the tokens that end an answer, whatever the generation settings say.

    They are the tokenizer's own, those that llama.cpp knows by name, and those that the chat template writes after an
    answer.

    Args:
        after_answers: the texts that the chat templates write after an answer.
    """
    added = {token.content: (id, token.special) for id, token in tokenizer.added_tokens_decoder.items()}
    written = str(tokenizer.chat_template)
    tokens = [""] * (max((id for id, _ in added.values()), default=-1) + 1)
    for content, (id, special) in added.items():
        if special or content in written:  # Gemma has `</s>` for HTML
            tokens[id] = content
    eos = tokenizer.eos_token_id
    named = stop_token_ids(Vocabulary(tokens, [], {} if eos is None else {"eos": eos}))
    longest_first = sorted(added, key=len, reverse=True)
    ends = {next((token for token in longest_first if text.lstrip().startswith(token)), None) for text in after_answers}
    # After one of `END_TOKENS` that is not among the named ones, an answer of this format goes on.
    return named | {added[token][0] for token in ends if token and token not in END_TOKENS}
