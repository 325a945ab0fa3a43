"""The tokenizer in a GGUF file → a fast tokenizer."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from config import UserError
from conversion.original_tokenizers import QWEN_SPLIT, byte_level_bpe, scored_bpe

from gguf import GGUFReader, TokenType
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerFast

GPT2_SPLIT = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3_SPLIT = QWEN_SPLIT.replace(r"\p{N}|", r"\p{N}{1,3}|")


@dataclass(frozen=True)
class Splitting:
    """How a `tokenizer.ggml.pre` splits text into the pieces for byte-level BPE; see `byte_level_bpe`.

    Attributes:
        patterns: split the text, one after the other.
        compose: whether text is normalized to NFC first. The models' own tokenizers do that and llama.cpp does not; for
            text in NFC the ids are the same.
        whole_first: whether a piece that is a token is not split, whatever the merges say.
        add_bos: whether texts begin with the BOS token if the file does not say.
    """

    patterns: tuple[str, ...]
    compose: bool = False
    whole_first: bool = False
    add_bos: bool = False


# Only those whose ids were compared with llama.cpp's: see tests/data/make_gguf_tokens.py.
SPLITTINGS = {
    "smollm": Splitting((r"\p{N}", GPT2_SPLIT)),
    "gpt-2": Splitting((GPT2_SPLIT,)),
    "default": Splitting((r"[\p{P}$+<=>^~|]+", GPT2_SPLIT, r"\p{N}+", "[0-9]{3}")),
    "qwen2": Splitting((QWEN_SPLIT,), compose=True),
    "deepseek-r1-qwen": Splitting((QWEN_SPLIT,)),
    "llama-bpe": Splitting((LLAMA3_SPLIT,), whole_first=True, add_bos=True),
}


class _Fields:
    """A GGUF file's metadata by key; None for keys that it lacks."""

    def __init__(self, path: Path) -> None:
        try:
            self._reader = GGUFReader(path)
        except (ValueError, IndexError, KeyError) as error:
            raise UserError(f"{path} is damaged or not a GGUF file; download it again.") from error

    def __getitem__(self, key: str) -> Any:
        found = self._reader.get_field(key)
        return found.contents() if found else None


def read_gguf_tokenizer(path: Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a GGUF file, built from the file's own tokens with their merges or scores.

    `AutoTokenizer.from_pretrained(gguf_file=…)` is not used: Transformers 5.5.4 takes the embedded model's vocabulary
    for a SentencePiece one, without an error, and reads every space as `<|endoftext|>`.

    The format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md#tokenizer

    Raises:
        UserError: the file is damaged, or its type of tokenizer is not supported.
    """
    fields = _Fields(path)
    kind, pre = fields["tokenizer.ggml.model"], fields["tokenizer.ggml.pre"]
    if kind == "llama":
        tokenizer, add_bos = _scored_tokenizer(fields), True
    elif kind == "gpt2" and pre in SPLITTINGS:
        tokenizer, add_bos = _byte_level_tokenizer(fields, SPLITTINGS[pre]), SPLITTINGS[pre].add_bos
    else:
        raise UserError(
            f"{path.name} has a tokenizer of the type {(kind, pre)}, which is not supported; "
            f"choose a file with the type llama, or gpt2 with one of: {', '.join(SPLITTINGS)}."
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
    """Adds the file's special tokens, chat template and context length.

    Args:
        add_bos: whether texts begin with the BOS token if the file does not say.
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
    own_add_bos = fields["tokenizer.ggml.add_bos_token"]
    context_length = fields[f"{fields['general.architecture']}.context_length"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        **{f"{name}_token": token for name, token in named.items()},
        additional_special_tokens=[token for token in control if token not in named.values()],
        add_bos_token="bos" in named and bool(add_bos if own_add_bos is None else own_add_bos),
        chat_template=fields["tokenizer.chat_template"],
        clean_up_tokenization_spaces=False,
        model_max_length=int(context_length) if context_length else None,
    )


def _ids_of(types: Sequence[int], type: TokenType) -> list[int]:
    return [id for id, found in enumerate(types) if found == type]
