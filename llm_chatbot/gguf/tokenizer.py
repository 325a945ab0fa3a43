"""The tokenizer in a GGUF file → a fast tokenizer of Transformers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gguf import TokenType
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

from llm_chatbot.errors import UserError
from llm_chatbot.gguf.bpe import byte_level_bpe, scored_bpe
from llm_chatbot.gguf.header import Fields, read_gguf_header
from llm_chatbot.gguf.splittings import SPLITTINGS, Splitting

# Tokens that end an answer for llama.cpp whatever the file says: many files name only one token as EOS.
END_TOKENS = frozenset(
    [
        *("<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<|flush|>", "<|calls|>", "<end_of_turn>"),
        *("<|endoftext|>", "</s>", "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>"),
        *("<end_of_utterance>", "<eos>", "<turn|>", "<|tool_response>", "<｜end▁of▁sentence｜>", "[e~["),
    ]
)


@dataclass(frozen=True)
class Vocabulary:
    """The vocabulary of a GGUF file.

    Attributes:
        tokens: the tokens, in the order of their ids.
        types: the type of each token, a value of `gguf.TokenType`.
        named: the ids of "bos", "eos", "eot", "eom", "unknown" and "padding", as far as the file names them.
    """

    tokens: list[str]
    types: list[int]
    named: dict[str, int]

    def ids_of(self, type: TokenType) -> list[int]:
        return [id for id, found in enumerate(self.types) if found == type]


def read_gguf_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a GGUF file, built from the file's own tokens with their merges or scores.

    `AutoTokenizer.from_pretrained(gguf_file=…)` is not used: with the embedded model's file, Transformers 5.5.4
    silently treats the vocabulary as SentencePiece's and encodes every space as `<|endoftext|>`.

    The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer

    Raises:
        UserError: the file is damaged, or its type of tokenizer is not supported.
    """
    fields = read_gguf_header(path).fields
    kind, pre = fields.text("tokenizer.ggml.model"), fields.text("tokenizer.ggml.pre") or "default"
    vocabulary = read_vocabulary(fields)
    if kind == "llama":
        tokenizer, add_bos = _scored_tokenizer(fields, vocabulary), True
    elif kind == "gpt2" and pre in SPLITTINGS:
        tokenizer, add_bos = _byte_level_tokenizer(fields, vocabulary, SPLITTINGS[pre]), SPLITTINGS[pre].add_bos
    else:
        raise UserError("gguf.tokenizer_type", name=path.name, type=kind, pre=pre, known=", ".join(SPLITTINGS))
    return _with_settings(tokenizer, fields, vocabulary, add_bos)


def read_vocabulary(fields: Fields) -> Vocabulary:
    """
    Raises:
        UserError: the file has no tokens, has duplicate tokens, or lacks types for some.
    """
    tokens = fields.texts("tokenizer.ggml.tokens")
    if not tokens:
        raise UserError("gguf.no_tokenizer", path=fields.path)
    tokens = [token or f"[EMPTY_{id}]" for id, token in enumerate(tokens)]  # the same names as in llama.cpp
    if len(set(tokens)) < len(tokens):
        raise fields.damaged("gguf.token_twice")
    types = _for_each(tokens, "token_type", fields) or [TokenType.NORMAL] * len(tokens)
    named = {
        name: id
        for name in ("bos", "eos", "eot", "eom", "unknown", "padding")
        if (id := fields.integer(f"tokenizer.ggml.{name}_token_id")) is not None and 0 <= id < len(tokens)
    }
    return Vocabulary(tokens, types, named)


def stop_token_ids(vocabulary: Vocabulary) -> set[int]:
    """Ids of the tokens that end an answer, by llama.cpp's rules: those that the file names, and `END_TOKENS`."""
    known = {token: id for id, token in enumerate(vocabulary.tokens) if token in END_TOKENS}
    # In formats with these tokens, an answer continues after <|end|>.
    if known.keys() & {"<|call|>", "<|calls|>"} and known.keys() & {"<|return|>", "<|flush|>"}:
        known.pop("<|end|>", None)
    if "<|tool_response>" in known:
        known.pop("</s>", None)
    return {*known.values(), *(id for name, id in vocabulary.named.items() if name in ("eos", "eot", "eom"))}


def read_stop_token_ids(path: Path) -> set[int]:
    """Ids of the tokens of a GGUF file that end an answer.

    Raises:
        UserError: the file is damaged.
    """
    return stop_token_ids(read_vocabulary(read_gguf_header(path).fields))


def _for_each(tokens: Sequence[str], name: str, fields: Fields) -> list[Any] | None:
    """One number for each token; None if the file has none."""
    found = fields.numbers(f"tokenizer.ggml.{name}")
    if found is not None and len(found) < len(tokens):
        raise fields.damaged("gguf.fewer_values", name=name)
    return found


def _byte_level_tokenizer(fields: Fields, vocabulary: Vocabulary, splitting: Splitting) -> Tokenizer:
    ids = {token: id for id, token in enumerate(vocabulary.tokens)}
    # The two halves are separated by a space, but the first may itself begin with one.
    cuts = [(merge, merge.find(" ", 1)) for merge in fields.texts("tokenizer.ggml.merges") or []]
    merges = [(merge[:cut], merge[cut + 1 :]) for merge, cut in cuts]
    if any(left not in ids or right not in ids or left + right not in ids for left, right in merges):
        raise fields.damaged("gguf.unknown_merges")
    return byte_level_bpe(
        ids=ids,
        merges=merges,
        patterns=splitting.patterns,
        compose=splitting.compose,
        whole_first=splitting.whole_first,
    )


def _scored_tokenizer(fields: Fields, vocabulary: Vocabulary) -> Tokenizer:
    scores = _for_each(vocabulary.tokens, "scores", fields)
    if scores is None or any(score != score for score in scores):
        raise fields.damaged("gguf.no_scores")
    unknown = vocabulary.named.get("unknown")
    return scored_bpe(
        vocabulary.tokens,
        scores=scores,
        mergeable=vocabulary.ids_of(TokenType.NORMAL),
        unknown=None if unknown is None else vocabulary.tokens[unknown],
        dummy_prefix=fields.flag("tokenizer.ggml.add_space_prefix") is not False,
    )


def _with_settings(
    tokenizer: Tokenizer, fields: Fields, vocabulary: Vocabulary, add_bos: bool
) -> PreTrainedTokenizerFast:
    """Adds a GGUF file's settings for its tokenizer: special tokens, chat template and maximum length.

    Args:
        tokenizer: the tokenizer to wrap.
        fields: the file's metadata.
        vocabulary: the file's tokens.
        add_bos: whether texts begin with the BOS token if the file does not specify it.
    """
    tokens = vocabulary.tokens
    control = {*vocabulary.ids_of(TokenType.CONTROL), *stop_token_ids(vocabulary)}
    shown = [id for id in vocabulary.ids_of(TokenType.USER_DEFINED) if id not in control]
    tokenizer.add_tokens([AddedToken(tokens[id], normalized=False, special=False) for id in shown])
    strip = _stripping(fields)
    keys = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    named = {name: vocabulary.named[key] for name, key in keys.items() if key in vocabulary.named}
    said = fields.flag("tokenizer.ggml.add_bos_token")
    architecture = fields.text("general.architecture")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{name}_token": strip(tokens[id]) for name, id in named.items()},
        additional_special_tokens=[strip(tokens[id]) for id in sorted(control) if id not in named.values()],
        add_bos_token="bos" in named and bool(add_bos if said is None else said),
        chat_template=fields.text("tokenizer.chat_template"),
        clean_up_tokenization_spaces=False,
        model_max_length=fields.integer(f"{architecture}.context_length") or None,
    )


def _stripping(fields: Fields) -> Callable[[str], AddedToken]:
    """A function that makes special tokens. Phi-3's strip the white space after them, which its files don't specify."""
    name = (fields.text("general.name") or "").lower()
    strips = "phi-3" in name or "phi3" in name
    kept = ("<unk>", "<s>", "<|endoftext|>")
    return lambda token: AddedToken(token, rstrip=strips and token not in kept, normalized=False, special=True)
