"""How a model is chatted with: its chat template, and the tokens that end an answer."""

from collections.abc import Iterable

from transformers import PreTrainedTokenizerFast

from llm_chatbot.catalogue.chat_formats import ChatFormat
from llm_chatbot.errors import UserError
from llm_chatbot.folder.chat_templates import Templates, only_one
from llm_chatbot.folder.template_check import CheckedTemplates, check_chat_template
from llm_chatbot.gguf.end_tokens import end_token_ids


def apply_chat_format(
    chat_format: ChatFormat, tokenizer: PreTrainedTokenizerFast, name: str, known: Iterable[int]
) -> list[int] | None:
    """Sets a tokenizer's chat template, and says so if the model can't chat.

    Args:
        chat_format: of the model; its template replaces the tokenizer's.
        name: the model's, for messages.
        known: ids of tokens that end an answer.

    Returns:
        The ids of all tokens that end an answer, in order; None for none.

    Raises:
        UserError: the chat template does harm, or a stop token is not in the tokenizer's vocabulary.
    """
    tokenizer.chat_template = chat_format.template or only_one(tokenizer.chat_template)
    vocabulary = tokenizer.get_vocab()
    if unknown := [token for token in chat_format.stop_tokens if token not in vocabulary]:
        raise UserError("checkpoint.stop_tokens", name=name, tokens=", ".join(unknown))
    checked = CheckedTemplates()
    if chat_format.template is None:
        checked = check_chat_template(tokenizer.chat_template, tokenizer.special_tokens_map, name)
    if not tokenizer.chat_template or not checked.shows_messages:
        print(f"{name} can't chat: {_no_chat(tokenizer.chat_template)}.")
    named = {vocabulary[token] for token in chat_format.stop_tokens}
    return sorted({*known, *named, *end_token_ids(tokenizer, checked.after_answers)}) or None


def _no_chat(templates: Templates) -> str:
    """Why a model can't chat, as a clause."""
    return "its chat template leaves out what is said" if templates else "it has no chat template"
