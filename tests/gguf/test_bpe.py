"""Byte-pair encodings built from the tokens of a GGUF file."""

from itertools import groupby

import numpy as np
import pytest

from llm_chatbot.gguf import bpe
from llm_chatbot.gguf.bpe import _scored_merges


def random_pieces(count: int) -> list[str]:
    rng = np.random.default_rng(0)
    pieces = dict.fromkeys("▁aeioutnrs日本\U0001f600")
    while len(pieces) < count:
        known = list(pieces)
        left, right = (known[int(len(known) * share**2)] for share in rng.random(2))
        pieces[left + right] = None
    return list(pieces)


def merges_one_by_one(scores: dict[str, float]) -> list[tuple[str, str]]:
    """As SentencePiece orders them: by score, equal ones with the longer first half before the others."""
    merges: list[tuple[str, str]] = []
    for _, group in groupby(sorted(scores, key=scores.__getitem__, reverse=True), key=scores.__getitem__):
        cuts = [(piece[:cut], piece[cut:]) for piece in group for cut in range(1, len(piece))]
        merges += sorted((cut for cut in cuts if scores.keys() >= set(cut)), key=lambda halves: -len(halves[0]))
    return merges


@pytest.mark.parametrize("bits", [24, 4], ids=["few collisions", "many collisions"])
def test_merges_are_all_pairs_of_pieces_by_their_scores(bits: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bpe, "HASH_BITS", bits)
    scores = {piece: -float(rank // 3) for rank, piece in enumerate(random_pieces(600))}

    merges = _scored_merges(scores)

    assert merges == merges_one_by_one(scores)
    assert len(merges) > 600


def test_a_vocabulary_without_merges_has_none():
    assert _scored_merges({"a": 0.0, "b": -1.0}) == []
    assert _scored_merges({}) == []
