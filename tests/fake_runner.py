"""A fake model whose logits depend on what its blocks hold, so wrong bookkeeping gives wrong logits."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.cache.paged_runner import BLOCK_SIZE, Part

VOCABULARY = 50
FATAL = 49  # a token that the fake runtime fails on


class FakeRunner:
    """Its logits after a token depend on all tokens up to it, as they lie in the blocks, and on the extra inputs."""

    vocabulary = VOCABULARY
    num_adapters = 0

    def __init__(self, blocks: int) -> None:
        self.slots = np.full((blocks, BLOCK_SIZE), -1)
        self.calls: list[list[Part]] = []
        self.seconds = 0.0
        self._running = threading.Lock()

    def prepare(self, check: Callable[[], None], alone: Callable[[Callable[[], bool]], bool]) -> None:
        """Nothing makes its calls faster."""

    def copy_block(self, source: int, target: int) -> None:
        self.slots[target] = self.slots[source]

    def read_block(self, index: int) -> np.ndarray:
        return self.slots[index].copy().view(np.uint8)

    def write_block(self, index: int, content: np.ndarray) -> None:
        self.slots[index] = content.view(self.slots.dtype)

    def run(self, parts: Sequence[Part], extra: Mapping[str, float]) -> list[np.ndarray]:
        assert self._running.acquire(blocking=False), "only one call at a time"
        try:
            self.calls.append(list(parts))
            time.sleep(self.seconds)
            return [self._read(part, extra) for part in parts]
        finally:
            self._running.release()

    def _read(self, part: Part, extra: Mapping[str, float]) -> np.ndarray:
        length = part.past + len(part.ids)
        assert len(part.blocks) == -(-length // BLOCK_SIZE) and part.logits <= len(part.ids)
        places = [(part.blocks[i // BLOCK_SIZE], i % BLOCK_SIZE) for i in range(part.past, length)]
        for place, token in zip(places, part.ids, strict=True):
            self.slots[place] = token
        if FATAL in part.ids:
            raise RuntimeError("the runtime failed")
        text = self.slots[list(part.blocks)].ravel()[:length].tolist()
        ends = range(length - part.logits + 1, length + 1)
        return np.stack([expected(text[:end], extra) for end in ends]) if ends else np.empty((0, VOCABULARY))


def expected(text: list[int], extra: Mapping[str, float] | None = None) -> np.ndarray:
    assert -1 not in text
    logits = np.random.default_rng([len(text), *text, *map(int, (extra or {}).values())]).random(VOCABULARY)
    logits[FATAL] = -np.inf
    return logits


def fake(blocks: int = 64, **arguments) -> tuple[PagedModel, FakeRunner]:
    runner = FakeRunner(blocks)
    return PagedModel(runner, blocks, **arguments), runner


def text(length: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).integers(0, FATAL, length).tolist()


def assert_same(logits: np.ndarray, ids: list[int]) -> None:
    np.testing.assert_array_equal(logits, expected(ids))
