"""The tokenizer in a GGUF file → a fast tokenizer of Transformers, for a converted folder."""

from pathlib import Path

from transformers import PreTrainedTokenizerFast

from llm_chatbot.gguf.tokenizer import GGUFTokenizer, read_gguf_tokenizer


def read_fast_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a GGUF file, for Transformers.

    `AutoTokenizer.from_pretrained(gguf_file=…)` is not used: with the embedded model's file, Transformers 5.5.4
    silently treats the vocabulary as SentencePiece's and encodes every space as `<|endoftext|>`.

    Raises:
        UserError: the file is damaged, or its type of tokenizer is not supported.
    """
    return fast_tokenizer(read_gguf_tokenizer(path))


def fast_tokenizer(read: GGUFTokenizer) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=read.backend,
        **read.named,
        additional_special_tokens=read.further,
        add_bos_token=read.add_bos,
        chat_template=read.chat_template,
        clean_up_tokenization_spaces=False,
        model_max_length=read.context_length,
    )
