"""The tokens for filling in what is missing in the middle of a text (Bavarian et al. 2022, arXiv:2207.14255)."""

from collections.abc import Iterable
from dataclasses import dataclass

from tokenizers import Tokenizer

# As families of models write them. The names are those that llama.cpp knows, in its src/llama-vocab.cpp.
PREFIXES = ("<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<｜fim▁begin｜>", "<PRE>", "▁<PRE>", "<|code_prefix|>")
SUFFIXES = ("<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<｜fim▁hole｜>", "<SUF>", "▁<SUF>", "<|code_suffix|>")
MIDDLES = ("<|fim_middle|>", "<fim-middle>", "<fim_middle>", "<｜fim▁end｜>", "<MID>", "▁<MID>", "<|code_middle|>")
REPOSITORIES = ("<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>", "<reponame>")
FILES = ("<|file_sep|>", "<file_sep>")
ENDS = ("<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "<EOT>", "▁<EOT>", *REPOSITORIES, *FILES)


@dataclass(frozen=True)
class InfillTokens:
    """The ids of a vocabulary's tokens.

    Attributes:
        prefix, suffix, middle: before what stands in front, what stands behind, and what is missing.
        repository, file: before the names of a repository and of a file; None: the model knows none.
        ends: what a model may write behind what is missing.
    """

    prefix: int
    suffix: int
    middle: int
    repository: int | None
    file: int | None
    ends: frozenset[int]


def infill_tokens(tokenizer: Tokenizer) -> InfillTokens | None:
    """Those of a tokenizer; None if its model wasn't trained so."""

    def first(names: Iterable[str]) -> int | None:
        ids = (tokenizer.token_to_id(name) for name in names)
        return next((id for id in ids if id is not None), None)

    prefix, suffix, middle = first(PREFIXES), first(SUFFIXES), first(MIDDLES)
    if prefix is None or suffix is None or middle is None:
        return None
    ends = frozenset(id for name in ENDS if (id := tokenizer.token_to_id(name)) is not None)
    return InfillTokens(prefix, suffix, middle, first(REPOSITORIES), first(FILES), ends)
