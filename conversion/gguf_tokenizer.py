"""The tokenizer inside a GGUF file → an ordinary fast tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import UserError
from conversion.gguf_file import open_gguf
from conversion.original_tokenizers import QWEN_SPLIT, byte_level_bpe, scored_bpe

from gguf import TokenType
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_SPLIT = QWEN_SPLIT.replace(r"\p{N}|", r"\p{N}{1,3}|")


@dataclass(frozen=True)
class Splitting:
    """How a GGUF file's `tokenizer.ggml.pre` prepares text for the merges of byte-level BPE.

    Attributes:
        patterns: each isolates its matches in what the ones before it have left.
        compose: whether text is brought into Unicode's form NFC first. The models' own tokenizer does; llama.cpp,
            whose ids are the same for a text in that form, does not.
        whole_first: whether a piece that is a token is taken as it is, whatever the merges would make of it.
        add_bos: whether texts begin with the BOS token where the file does not say.
    """

    patterns: tuple[str, ...]
    compose: bool = False
    whole_first: bool = False
    add_bos: bool = False


# Only what was proven equal to llama.cpp.
SPLITTINGS = {
    "smollm": Splitting((r"\p{N}", GPT2_SPLIT)),
    "gpt-2": Splitting((GPT2_SPLIT,)),
    "default": Splitting((r"[\p{P}$+<=>^~|]+", GPT2_SPLIT, r"\p{N}+", "[0-9]{3}")),
    "qwen2": Splitting((QWEN_SPLIT,), compose=True),
    "deepseek-r1-qwen": Splitting((QWEN_SPLIT,)),
    "llama-bpe": Splitting((LLAMA3_SPLIT,), whole_first=True, add_bos=True),
}


class _Fields:
    """What a GGUF file says, by key; None where it does not say it."""

    def __init__(self, path: Path) -> None:
        self._reader = open_gguf(path)

    def __getitem__(self, key: str) -> Any:
        found = self._reader.get_field(key)
        return found.contents() if found else None


def read_gguf_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a GGUF file, built from the file's own tokens with their merges or scores.

    `AutoTokenizer.from_pretrained(gguf_file=…)` is not used: for the embedded model's file Transformers 5.5.4 takes
    the vocabulary for a SentencePiece one, without a word, and reads every space as `<|endoftext|>`.

    The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer

    Raises:
        UserError: the file is damaged, or its tokenizer of a kind that is not known here.
    """
    fields = _Fields(path)
    kind, pre = fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"]
    if kind == "llama":
        tokenizer, add_bos = _scored_tokenizer(fields), True
    elif kind == "gpt2" and pre in SPLITTINGS:
        tokenizer, add_bos = _byte_level_tokenizer(fields, SPLITTINGS[pre]), SPLITTINGS[pre].add_bos
    else:
        raise UserError(
            f"{path.name} has a tokenizer of the kind {(kind, pre)}, which can't be read; "
            f"known are llama, and gpt2 with: {', '.join(SPLITTINGS)}."
        )
    return _with_settings(tokenizer, fields, add_bos)


def _byte_level_tokenizer(fields: _Fields, splitting: Splitting) -> Tokenizer:
    return byte_level_bpe(
        ids={token: id for id, token in enumerate(fields["tokenizer.ggml.tokens"])},
        merges=[tuple(merge.split(" ")) for merge in fields["tokenizer.ggml.merges"]],
        patterns=splitting.patterns,
        compose=splitting.compose,
        whole_first=splitting.whole_first,
    )


def _scored_tokenizer(fields: _Fields) -> Tokenizer:
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    unknown = fields["tokenizer.ggml.unknown_token_id"]
    return scored_bpe(
        tokens,
        scores=fields["tokenizer.ggml.scores"],
        mergeable=_ids_of(types, TokenType.NORMAL),
        unknown=None if unknown is None else tokens[unknown],
        dummy_prefix=fields["tokenizer.ggml.add_space_prefix"] is not False,
    )


def _with_settings(tokenizer: Tokenizer, fields: _Fields, add_bos: bool) -> PreTrainedTokenizerFast:
    """Adds what a GGUF file says of its tokenizer beside the vocabulary.

    Args:
        add_bos: whether texts begin with the BOS token where the file does not say.
    """
    tokens, types = fields["tokenizer.ggml.tokens"], fields["tokenizer.ggml.token_type"]
    tokenizer.add_tokens(
        [AddedToken(tokens[id], normalized=False, special=False) for id in _ids_of(types, TokenType.USER_DEFINED)]
    )
    named = {
        name: tokens[id]
        for name, key in (("bos", "bos"), ("eos", "eos"), ("unk", "unknown"), ("pad", "padding"))
        if (id := fields[f"tokenizer.ggml.{key}_token_id"]) is not None
    }
    control = [tokens[id] for id in _ids_of(types, TokenType.CONTROL)]
    said = fields["tokenizer.ggml.add_bos_token"]
    context_length = fields[f"{fields['general.architecture']}.context_length"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{name}_token": token for name, token in named.items()},
        additional_special_tokens=[token for token in control if token not in named.values()],
        add_bos_token="bos" in named and bool(add_bos if said is None else said),
        chat_template=fields["tokenizer.chat_template"],
        clean_up_tokenization_spaces=False,
        model_max_length=int(context_length) if context_length else None,
    )


def _ids_of(types: Sequence[int], type: TokenType) -> list[int]:
    return [id for id, found in enumerate(types) if found == type]
