"""The two kinds of BPE tokenizers, built from their tokens and merges or scores."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def byte_level_bpe(
    ids: dict[str, int],
    merges: Sequence[tuple[str, str]],
    patterns: Sequence[str],
    compose: bool,
    whole_first: bool = False,
) -> Tokenizer:
    """Byte-level BPE as in GPT-2: each byte of the text is written as one character.

    Args:
        ids: of the tokens.
        merges: by priority.
        patterns: split the text into the pieces within which tokens are merged; each isolates its matches in the pieces
            that the patterns before it have left.
        compose: whether text is normalized to NFC first.
        whole_first: whether a piece that is a token is not split, whatever the merges say.
    """
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=list(merges), ignore_merges=whole_first))
    if compose:
        tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            *(pre_tokenizers.Split(Regex(pattern), behavior="isolated") for pattern in patterns),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def scored_bpe(
    pieces: Sequence[str], scores: Sequence[float], mergeable: Iterable[int], unknown: str | None, dummy_prefix: bool
) -> Tokenizer:
    """SentencePiece's BPE, which always merges the two neighbours that form the piece with the highest score.

    Args:
        pieces: the vocabulary by id, with ▁ for a space and <0x00>…<0xFF> for bytes.
        scores: of the pieces.
        mergeable: ids of the ordinary pieces; neither bytes nor control tokens.
        unknown: the piece for characters that the vocabulary lacks, if it has no bytes.
        dummy_prefix: whether a space is put before every text.
    """
    ids = {piece: id for id, piece in enumerate(pieces)}
    merges = _scored_merges({pieces[id]: scores[id] for id in mergeable})
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, unk_token=unknown, fuse_unk=True, byte_fallback=True))
    spaces: list[Any] = [normalizers.Replace(" ", "▁")]
    text: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if dummy_prefix:
        spaces.insert(0, normalizers.Prepend("▁"))
        text.append(decoders.Strip(" ", 1, 0))
    tokenizer.normalizer = normalizers.Sequence(spaces)
    tokenizer.decoder = decoders.Sequence(text)
    return tokenizer


def _scored_merges(scores: dict[str, float]) -> list[tuple[str, str]]:
    """All ways to merge two pieces into a third, by priority. Takes a second for 262,144 pieces.

    Args:
        scores: of the pieces that may be merged.
    """
    merges: list[tuple[str, str]] = []
    for _, group in groupby(sorted(scores, key=scores.__getitem__, reverse=True), key=scores.__getitem__):
        equal = [
            (piece[:cut], piece[cut:])
            for piece in group
            for cut in range(1, len(piece))
            if piece[:cut] in scores and piece[cut:] in scores
        ]
        # Of merges with equal scores, as for runs of spaces in Llama's and Mistral's models, SentencePiece does the
        # leftmost first. In a run that is merged from the left, that is the one with the longer first half.
        if len(equal) > 1:
            equal.sort(key=lambda halves: -len(halves[0]))
        merges += equal
    return merges
