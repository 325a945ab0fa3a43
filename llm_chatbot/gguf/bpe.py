"""The two kinds of BPE tokenizers, built from their tokens and merges or scores."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers

QWEN_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

HASH_BASE = 0x9E3779B97F4A7C15  # odd, with bits everywhere: the golden ratio's (Knuth, The Art of Programming, 6.4)
HASH_BITS = 24  # 64 places for each piece of the largest vocabularies


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
    pieces = list(scores)
    owners, cuts = _likely_cuts(pieces)
    # Of merges with equal scores, as for runs of spaces in Llama's and Mistral's models, SentencePiece does the
    # leftmost first. In a run that is merged from the left, that is the one with the longer first half.
    order = np.lexsort((owners, -cuts, -np.fromiter(scores.values(), np.float64, len(scores))[owners]))
    ordered = zip(owners[order].tolist(), cuts[order].tolist(), strict=True)
    halves = ((pieces[owner][:cut], pieces[owner][cut:]) for owner, cut in ordered)
    return [(left, right) for left, right in halves if left in scores and right in scores]


def _likely_cuts(pieces: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Which pieces can be cut in two pieces, and where: all such places, and a few where hashes collide.

    The hash of a text is a polynomial of its characters, so that those of its beginnings give those of its ends.

    Returns:
        The indices of the pieces, and the number of characters before the cut.
    """
    by_length: dict[int, list[int]] = defaultdict(list)
    for index, piece in enumerate(pieces):
        by_length[len(piece)].append(index)
    beginnings = {
        length: _beginnings([pieces[index] for index in indices], length) for length, indices in by_length.items()
    }
    is_piece = np.zeros(1 << HASH_BITS, bool)
    for hashes in beginnings.values():
        is_piece[_place(hashes[-1])] = True
    owners, cuts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for length, indices in by_length.items():
        whole = beginnings[length][-1]
        for cut in range(1, length):
            left = beginnings[length][cut - 1]
            found = np.flatnonzero(is_piece[_place(left)])
            right = whole[found] - left[found] * np.uint64(pow(HASH_BASE, length - cut, 1 << 64))
            found = found[is_piece[_place(right)]]
            owners.append(np.array(indices)[found])
            cuts.append(np.full(len(found), cut))
    return np.concatenate(owners), np.concatenate(cuts)


def _beginnings(pieces: Sequence[str], length: int) -> list[np.ndarray]:
    """Hashes of the first character, the first two, … of pieces of one length: uint64 [pieces] each."""
    codes = np.array(pieces, f"<U{length}").view("<u4").reshape(len(pieces), length).astype(np.uint64)
    hashes = [codes[:, 0] + np.uint64(1)]
    for column in codes.T[1:]:
        hashes.append(hashes[-1] * np.uint64(HASH_BASE) + column + np.uint64(1))
    return hashes


def _place(hashes: np.ndarray) -> np.ndarray:
    """The highest bits, on which all characters have an effect."""
    return hashes * np.uint64(HASH_BASE) >> np.uint64(64 - HASH_BITS)
