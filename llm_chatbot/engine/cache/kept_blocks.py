"""Keeps what was read: the full blocks of a pool are written to the disk between answers, and read back later."""

import logging
import math
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from llm_chatbot.engine.cache.block_pool import Block, BlockPool, BlockTable
from llm_chatbot.engine.cache.disk_blocks import DiskBlocks

logger = logging.getLogger(__name__)

SECONDS_AT_END = 2.0  # that a process writes at most after its end has begun


class BlockRunner(Protocol):
    """Holds the contents of the blocks; see `llm_chatbot.engine.cache.paged_runner.PagedRunner`."""

    def read_block(self, index: int) -> np.ndarray: ...

    def write_block(self, index: int, content: np.ndarray) -> None: ...


class PooledModel(Protocol):
    """The model whose blocks are kept; see `llm_chatbot.engine.cache.paged_cache.PagedModel`."""

    pool: BlockPool
    lock: threading.Condition

    @property
    def runner(self) -> BlockRunner: ...


class KeptBlocks:
    """Keeps the full blocks of a model's pool on the disk.

    They are written in pauses between answers, so that no call waits for it: each by itself, until the next answer
    begins.

    Args:
        model: whose pool it is.
        disk: where they are kept.
    """

    def __init__(self, model: PooledModel, disk: DiskBlocks) -> None:
        self._model, self._disk = weakref.ref(model), disk  # weakly: an idle model can be freed
        # Not written yet, parents before their children. More than the pool has can't be in it.
        self._new: deque[Block] = deque(maxlen=model.pool.blocks)
        self._pauses = 0  # how many have begun or ended
        self._writing = threading.Lock()
        model.pool.on_full.append(self._new.append)

    def begin_pause(self) -> None:
        """Nobody waits for an answer."""
        self._pauses += 1
        if self._new:
            # Not a daemon: what an answer at the end of a process has read is written too.
            threading.Thread(target=self._write_until, args=(self._pauses,), name="kept blocks").start()

    def end_pause(self) -> None:
        """Somebody waits for an answer."""
        self._pauses += 1

    def _write_until(self, pause: int) -> None:
        """Writes the new blocks until the pause ends."""
        deadline = math.inf
        with self._writing:
            try:
                self._disk.prune()
                while self._pauses == pause and time.monotonic() < deadline and self._write_next():
                    if deadline == math.inf and not threading.main_thread().is_alive():
                        deadline = time.monotonic() + SECONDS_AT_END
            except OSError as error:
                self._new.clear()
                logger.info("What was read can't be kept on the disk: %s.", error)

    def _write_next(self) -> bool:
        """Writes a block; False if there is none, or no room.

        Raises:
            OSError: it can't be written.
        """
        model = self._model()
        if model is None or not self._new:
            return False
        block = self._new.popleft()
        if block.digest in self._disk:
            return True
        with model.lock:  # a block in the tree is immutable, but its space may be given to another
            if not block.is_in_tree:
                return True
            content = model.runner.read_block(block.index)
        return self._disk.write(block.digest, block.ids, content)

    def restore(self, table: BlockTable, ids: Sequence[int]) -> None:
        """Extends a table's prefix of `ids` with blocks from the disk."""
        model = self._model()
        while model is not None:
            with model.lock:
                digest, following = table.next_block(ids)
            content = self._disk.read(digest, following)
            if content is None:
                return
            with model.lock:
                # Meanwhile its blocks may have been given to another conversation.
                is_same = table.next_block(ids)[0] == digest
                if not is_same or not table.append_block(following, self._writes(model, content)):
                    return

    @staticmethod
    def _writes(model: PooledModel, content: np.ndarray) -> Callable[[int], None]:
        return lambda index: model.runner.write_block(index, content)
