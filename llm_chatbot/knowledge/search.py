"""Finds the passages that fit a question: by words and by meaning, merged by their ranks."""

import math
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from llm_chatbot.catalogue.encoders import ENCODERS
from llm_chatbot.encoder.encoder import CrossEncoder, Encoder, TextTooLongError
from llm_chatbot.knowledge.collection import Collection
from llm_chatbot.knowledge.index import PassagePlace
from llm_chatbot.knowledge.terms import IS_CJK, is_pair, query_terms

CANDIDATES = 50  # of each way to search
RERANKED = 20  # of the merged ones
UNKNOWN_PAIR = 0.5  # the weight of a pair of characters that no passage has: often the border between two words
READ_CHARACTERS = (None, 600, 200)  # of a passage, by a reranker
RANK_CONSTANT = 60  # the k of reciprocal rank fusion

# From which closeness in meaning on a passage fits, and from which share of the question's terms, each weighed by how
# rare it is; without an encoder the words have to do. `python -m benchmarks.knowledge --thresholds` measures them.
MIN_COSINE = 0.35
MIN_COVERAGE, MIN_COVERAGE_ALONE = 0.6, 0.4


@dataclass(frozen=True)
class FoundPassage:
    """A passage that was found.

    Attributes:
        collection: its id.
        place: in its file, with its text.
        score: of the merged ranks, or of the reranker; larger is better.
        cosine: of the passage's and the question's vectors; None without an encoder that knows the question's language.
        coverage: share of the question's terms that the passage has, weighed by their rarity.
    """

    collection: str
    place: PassagePlace
    score: float
    cosine: float | None
    coverage: float

    @property
    def fits(self) -> bool:
        """Whether it may answer the question at all."""
        if self.cosine is None:
            return self.coverage >= MIN_COVERAGE_ALONE
        return self.cosine >= MIN_COSINE or self.coverage >= MIN_COVERAGE


class Searcher:
    """Searches collections. Encoders and vectors stay in memory; safe to use from several threads.

    Args:
        load_encoder: opens an encoder by its name; may take long, and raises UserError.
        load_reranker: opens what puts the best passages into their order, as `load_encoder` does; None: nothing does.
    """

    def __init__(
        self, load_encoder: Callable[[str], Encoder], load_reranker: Callable[[], CrossEncoder] | None = None
    ) -> None:
        self._load_encoder, self._load_reranker = load_encoder, load_reranker
        self._reranker: CrossEncoder | None = None
        self._encoders: dict[str, Encoder] = {}
        self._vectors: dict[str, tuple[str, np.ndarray, np.ndarray]] = {}  # by collection: generation, ids, vectors
        self._lock = threading.Lock()

    def encoder(self, name: str) -> Encoder | None:
        """The encoder of a collection; None if it has none.

        Raises:
            UserError: it can't be opened.
        """
        with self._lock:
            if name and name not in self._encoders:
                self._encoders[name] = self._load_encoder(name)
            return self._encoders.get(name)

    def search(self, collections: Sequence[Collection], question: str, limit: int = 5) -> list[FoundPassage]:
        """The passages of these collections that fit a question best, the best first.

        Raises:
            UserError: an index is damaged, or an encoder can't be opened.
        """
        terms = query_terms(question)
        found = [one for collection in collections for one in self._search(collection, question, terms)]
        found.sort(key=lambda one: (-one.score, -(one.cosine or 0), -one.coverage))
        if (reranker := self._opened_reranker()) is not None:
            found = rerank(reranker, question, found[:RERANKED])
        return found[:limit]

    def _opened_reranker(self) -> CrossEncoder | None:
        with self._lock:
            if self._load_reranker and self._reranker is None:
                self._reranker = self._load_reranker()
            return self._reranker

    def _search(self, collection: Collection, question: str, terms: Sequence[str]) -> list[FoundPassage]:
        by_words = [id for id, _ in collection.index.matches(" OR ".join(terms), CANDIDATES)] if terms else []
        cosines = self._cosines(collection, question)
        by_meaning = sorted(cosines, key=cosines.__getitem__, reverse=True)[:CANDIDATES]
        scores = fuse([by_words, by_meaning])
        best = sorted(scores, key=scores.__getitem__, reverse=True)[:CANDIDATES]
        coverages, places = coverage(collection, terms, best), collection.index.places(best)
        return [
            FoundPassage(collection.id, places[id], scores[id], cosines.get(id), coverages.get(id, 0.0))
            for id in best
            if id in places  # it may be gone meanwhile
        ]

    def _cosines(self, collection: Collection, question: str) -> dict[int, float]:
        """The products of the question's vector and those of all passages, by the passages' ids."""
        if IS_CJK.search(question) and collection.encoder in ENCODERS and ENCODERS[collection.encoder].is_english:
            return {}
        encoder = self.encoder(collection.encoder)
        if encoder is None:
            return {}
        ids, vectors = self._matrix(collection, encoder.dimensions)
        products = vectors @ encoder.embed([question], shorten=True)[0]
        return dict(zip(ids.tolist(), products.tolist(), strict=True))

    def _matrix(self, collection: Collection, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
        generation = collection.index.generation()
        with self._lock:
            known = self._vectors.get(collection.id)
        if known is None or known[0] != generation:
            known = (generation, *collection.index.vectors(dimensions))
            with self._lock:
                self._vectors[collection.id] = known
        return known[1], known[2]


def fuse(rankings: Iterable[Sequence[int]]) -> dict[int, float]:
    """Reciprocal rank fusion of ids in their orders (Cormack, Clarke and Büttcher, SIGIR 2009): Σ 1 / (60 + rank)."""
    scores: dict[int, float] = {}
    for ranking in rankings:
        for rank, id in enumerate(ranking, 1):
            scores[id] = scores.get(id, 0.0) + 1 / (RANK_CONSTANT + rank)
    return scores


def coverage(collection: Collection, terms: Sequence[str], ids: Sequence[int]) -> Mapping[int, float]:
    """The share of a question's terms that passages have, each weighed by its inverse document frequency as in BM25."""
    passages = collection.index.counts()[1]
    shares: dict[int, float] = {}
    total = 0.0
    for term in terms if ids else ():
        frequency = collection.index.frequency(term)
        weight = math.log(1 + (passages - frequency + 0.5) / (frequency + 0.5))
        if not frequency and is_pair(term):
            weight *= UNKNOWN_PAIR
        total += weight
        for id in collection.index.having(term, ids) if frequency else ():
            shares[id] = shares.get(id, 0.0) + weight
    return {id: share / total for id, share in shares.items()} if total else {}


def rerank(reranker: CrossEncoder, question: str, found: Sequence[FoundPassage]) -> list[FoundPassage]:
    """Passages in the order of a model that reads each together with the question.

    Passages are shortened where they are too long for it beside the question; where that doesn't help, the order stays.
    """
    for characters in READ_CHARACTERS if found else ():
        texts = [one.place.text[:characters] for one in found]
        try:
            scores = reranker.scores(question, texts)
        except TextTooLongError:
            continue
        scored = [replace(one, score=float(score)) for one, score in zip(found, scores, strict=True)]
        return sorted(scored, key=lambda one: -one.score)
    return list(found)
