"""A paged KV cache: all conversations with a model share one pool of blocks, and their requests are batched."""

import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np

from llm_chatbot.engine.cache.block_pool import BlockPool, BlockTable, PoolFullError
from llm_chatbot.engine.cache.call_prices import BusyError, PriceMeter
from llm_chatbot.engine.cache.disk_blocks import DiskBlocks
from llm_chatbot.engine.cache.kept_blocks import KeptBlocks
from llm_chatbot.engine.cache.kv_cache import check_length
from llm_chatbot.engine.cache.pace import Pace
from llm_chatbot.engine.cache.paged_runner import BLOCK_SIZE, Part
from llm_chatbot.engine.cache.seen_text import SeenText
from llm_chatbot.engine.cache.state_slots import StatefulTable, StateSlots
from llm_chatbot.engine.decode.draft_model import Drafter
from llm_chatbot.engine.decode.generation import whole_pictures
from llm_chatbot.engine.decode.prompt_lookup import LookupCache, Prices
from llm_chatbot.engine.vision.reader import Picture, places_of, positions_of, rows_of

logger = logging.getLogger(__name__)

Timed = TypeVar("Timed")

DECODE_TOKENS = 32  # requests with at most this many tokens to read count as decoding, not as prefill

# How long a call waits for the conversations of the previous one: a share of that call's duration, and at most seconds.
BATCH_WAIT = 0.2
MAX_BATCH_WAIT = 0.05


def no_extra_inputs(prompt_length: int) -> dict[str, float]:
    """The extra inputs of most models: none."""
    return {}


class Runner(Protocol):
    """Runs the model and holds its KV cache tensors; see `llm_chatbot.engine.cache.paged_runner.PagedRunner`."""

    @property
    def vocabulary(self) -> int: ...

    @property
    def num_adapters(self) -> int: ...

    def run(self, parts: Sequence[Part], extra: Mapping[str, float]) -> list[np.ndarray]: ...

    def prepare(self, check: Callable[[], None], alone: Callable[[Callable[[], bool]], bool]) -> None: ...

    def copy_block(self, source: int, target: int) -> None: ...

    def read_block(self, index: int) -> np.ndarray: ...

    def write_block(self, index: int, content: np.ndarray) -> None: ...


class IdleWork(Protocol):
    """Work for the time when nobody waits for an answer."""

    def begin_pause(self) -> None: ...

    def end_pause(self) -> None: ...


class PagedModel:
    """A compiled paged graph that all conversations share.

    Requests of several conversations are batched into one call. There is no scheduler thread: the first waiting thread
    becomes the leader and makes calls for all waiting requests until its own is done.

    Args:
        runner: runs the graph.
        blocks: the number of blocks of its KV cache.
        max_length: the maximum length of a sequence, in tokens; None for no limit.
        extra_inputs: maps a prompt's length to the values of the inputs that were added to the graph. All keys and
            values of a conversation depend on them.
        prices: what calls cost, for prompt lookup; None turns prompt lookup off.
        pace: how many tokens of prompts a call reads, by the time that the calls take.
        slots: the number of recurrent states that the runner has room for; 0 for models without.

    Attributes:
        pool: allocates the blocks.
        vocabulary: how many token ids the model knows.
        num_adapters: how many adapters conversations may use.
        lock: protects everything except the runner, which only the leader uses.
        last_rows, last_others: the last call's number of tokens, and of conversations besides the leader's.
    """

    def __init__(
        self,
        runner: Runner,
        blocks: int,
        max_length: int | None = None,
        extra_inputs: Callable[[int], dict[str, float]] = no_extra_inputs,
        prices: Prices | None = None,
        pace: Pace | None = None,
        slots: int = 0,
    ) -> None:
        self.prices = prices
        self.pace = pace or Pace()
        self.last_rows = self.last_others = 0
        self.extra_inputs = extra_inputs
        self.max_length = min(max_length or sys.maxsize, blocks * BLOCK_SIZE)
        self.vocabulary, self.num_adapters = runner.vocabulary, runner.num_adapters
        self.pool = BlockPool(blocks, BLOCK_SIZE, runner.copy_block)
        self._seen_text = SeenText(self.pool) if prices is not None else None
        self._slots = StateSlots(slots, self.pool) if slots else None
        self.lock = threading.Condition()
        self.runner = runner
        self._waiting: list[Request] = []
        self._answers = 0  # that are being generated
        self._led = False  # whether one of the waiting threads is the leader
        self._expected: set[PagedCache] = set()  # in the last call, without a new request yet
        self._batch_wait = 0.0
        self._idle_work: list[IdleWork] = []
        self._kept: KeptBlocks | None = None

    @property
    def is_hybrid(self) -> bool:
        """Whether sequences have a recurrent state, which is cut back to checkpoints only."""
        return self._slots is not None

    def new_table(self, key: Hashable = None, is_private: bool = False) -> BlockTable:
        """An empty block table; see `BlockPool.root` for the key."""
        if self._slots is None:
            return BlockTable(self.pool, key, is_private)
        return StatefulTable(self._slots, key, is_private)

    def new_cache(self) -> "PagedCache":
        """An empty conversation."""
        return PagedCache(self)

    def new_lookup_cache(self, draft: "PagedModel | None" = None) -> LookupCache:
        """An empty conversation that uses prompt lookup where it pays, and else a draft model."""
        return LookupCache(self.new_cache(), self, None if draft is None else draft.new_drafter())

    def find_seen(self, ids: Sequence[int]) -> tuple[list[int], int] | None:
        """A text of any conversation with the last of these tokens; see `SeenText.find`."""
        with self.lock:
            return None if self._seen_text is None else self._seen_text.find(ids)

    def new_drafter(self) -> Drafter:
        """An empty conversation in which this model drafts for another."""
        cache = self.new_cache()
        cache.exact = False
        return Drafter(cache, self.vocabulary, self.max_length, self.pace)

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Surrounds an answer. When the last one ends, the pool's bookkeeping is checked."""
        with self.lock:
            self._answers += 1
            for work in self._idle_work:
                work.end_pause()
        try:
            yield
        finally:
            with self.lock:
                self._answers -= 1
                problem = None if self._answers else self.pool.inconsistency()
                for work in [] if self._answers else self._idle_work:
                    work.begin_pause()
            if problem:
                logger.error("The block pool is inconsistent: %s.", problem)

    def measure_in_pauses(self) -> None:
        """Has the prices measured when nobody waits for an answer."""
        self._idle_work.append(meter := PriceMeter(self))
        meter.begin_pause()

    def keep_on_disk(self, disk: DiskBlocks) -> None:
        """Writes what is read to the disk when nobody waits for an answer, and reads it from there."""
        self._kept = KeptBlocks(self, disk)
        self._idle_work.append(self._kept)

    def trim_to_prefix(self, table: BlockTable, ids: Sequence[int]) -> None:
        """Keeps or shares the longest prefix of `ids` that is cached in memory or on the disk, and drops the rest."""
        with self.lock:
            table.expect_prompt(len(ids))
            table.trim_to_prefix(ids)
        if self._kept is not None:
            self._kept.restore(table, ids)

    def prepare(self, check: Callable[[], None]) -> None:
        """Builds what makes later calls faster; `check` may raise an exception that ends this."""
        self.runner.prepare(check, self._alone)

    def time_call(self, rows: int) -> float:
        """The seconds of a call that reads tokens for nobody, in a block of its own.

        Raises:
            BusyError: somebody waits for an answer, or all blocks are taken.
        """
        table = self.new_table()

        def call() -> float:
            with self.lock:
                if not self.pool.free:
                    raise BusyError
                table.reserve(rows)
                self.pool.busy.add(table)
            started = time.perf_counter()
            part = Part([0] * rows, 0, table.indices, rows, table.state, exact=False)
            try:
                self.runner.run([part], self.extra_inputs(1))
            finally:
                with self.lock:
                    self.pool.busy.clear()
                    table.release()
                    self.last_rows = rows
            return time.perf_counter() - started

        return self._alone(call)

    def _alone(self, action: Callable[[], Timed]) -> Timed:
        """Calls a function while no other call is made.

        Raises:
            BusyError: somebody waits for an answer.
        """
        with self.lock:
            if self._answers or self._waiting or self._led:
                raise BusyError
            self._led = True
        try:
            return action()
        finally:
            with self.lock:
                self._led = False
                self.lock.notify_all()

    def serve(self, request: "Request") -> None:
        """Blocks until the request is done.

        If there is no leader, this thread leads: it makes calls for all waiting requests until its own is done.

        Raises:
            RuntimeError: the runtime failed on this request even without others in the call.
        """
        leads = False
        try:
            with self.lock:
                self._waiting.append(request)
                self._expected.discard(request.cache)
                self.lock.notify_all()
                self.lock.wait_for(lambda: request.logits is not None or not self._led)
                if request.logits is None:
                    leads = self._led = True
            while request.logits is None:
                self._step(request)
        finally:
            with self.lock:
                if leads:
                    self._led = False
                if request in self._waiting:
                    self._waiting.remove(request)
                self.lock.notify_all()

    def _step(self, leader: "Request") -> None:
        """One call of the runtime from beginning to end, for the leader's request and those that can join it."""
        scheduled = self._schedule(leader)
        started = time.perf_counter()
        results = self._run(scheduled, leader.cache.extra)
        self._postprocess(scheduled, results, time.perf_counter() - started)

    def _schedule(self, leader: "Request") -> "dict[Request, int]":
        """Waits a moment for those of the last call, then reserves blocks for the tokens of the next one."""
        with self.lock:
            self.lock.wait_for(lambda: not self._expected, timeout=self._batch_wait)
            self._expected.clear()
            return self._reserve(leader)

    def _run(self, scheduled: "dict[Request, int]", extra: Mapping[str, float]) -> list[np.ndarray]:
        """The logits of each request; none if the call failed with several of them."""
        parts = [self._part(request, count) for request, count in scheduled.items()]
        try:
            return self.runner.run(parts, extra)
        except RuntimeError:
            if len(parts) > 1:
                return []
            with self.lock:
                self._undo(scheduled)
            raise

    def _postprocess(self, scheduled: "dict[Request, int]", results: list[np.ndarray], seconds: float) -> None:
        """Records what was read, and wakes those whose request is done."""
        with self.lock:
            self.pool.busy.clear()
            self.last_rows, self.last_others = sum(scheduled.values()), len(scheduled) - 1
            if not results:
                self._undo(scheduled)
                return
            self._note_time(seconds, self.last_rows)
            for (request, count), logits in zip(scheduled.items(), results, strict=True):
                self._note_read(request, count, logits)

    def _undo(self, scheduled: "dict[Request, int]") -> None:
        """Each request of a failed call is retried alone, so that only the faulty ones fail."""
        self.pool.busy.clear()
        for request in scheduled:
            request.cache.table.drop_tail()
            request.alone = True

    def _reserve(self, leader: "Request") -> "dict[Request, int]":
        """Selects the requests of the next call and the number of tokens for each, and reserves their blocks."""
        batch = [leader] if leader.alone else [other for other in self._waiting if other.may_join(leader)]
        for request in batch:
            request.restore_prefix()
        room = self.pace.tokens
        counts = {}
        for request in sorted(batch, key=lambda request: request.is_prefill):  # decoding before prefill
            count = request.until_checkpoint(request.next_chunk(room) if request.is_prefill else request.missing)
            if count <= 0:
                continue
            try:
                request.cache.table.reserve(count)
            except PoolFullError:  # the blocks are taken by earlier requests of this call; the first one always fits
                continue
            self.pool.busy.add(request.cache.table)
            counts[request] = count
            room -= count if request.is_prefill else 0
        return counts

    def _part(self, request: "Request", count: int) -> Part:
        table = request.cache.table
        past = len(table.ids)
        ids = request.cache.ids[past : past + count]
        blocks = table.indices[: math.ceil((past + count) / BLOCK_SIZE)]
        wanted = request.wanted if count == request.missing else 0
        cache, end = request.cache, past + count
        positions = cache.positions(past, end) if cache.has_grids else None
        rows = rows_of(ids, cache.places)
        return Part(ids, past, blocks, wanted, table.state, rows, positions, cache.exact, cache.adapter_weights)

    def _note_time(self, seconds: float, tokens: int) -> None:
        self._batch_wait = min(BATCH_WAIT * seconds, MAX_BATCH_WAIT)
        self.pace.note(tokens, seconds)

    def _note_read(self, request: "Request", count: int, logits: np.ndarray) -> None:
        cache = request.cache
        past = len(cache.table.ids)
        cache.table.append(cache.ids[past : past + count])
        if request.missing == 0:
            request.logits = logits
            self._waiting.remove(request)
            self._expected.add(cache)
            self.lock.notify_all()


@dataclass(eq=False)
class Request:
    """A conversation's request to read all its tokens.

    Attributes:
        cache: the conversation's KV cache.
        wanted: the number of last tokens to compute logits for.
        logits: float32 [wanted, vocabulary] once the request is done.
        alone: whether to run it alone, because a batch with it failed.
    """

    cache: "PagedCache"
    wanted: int
    logits: np.ndarray | None = None
    alone: bool = False

    @property
    def missing(self) -> int:
        """The number of tokens that have not been read yet."""
        return len(self.cache.ids) - len(self.cache.table.ids)

    @property
    def is_prefill(self) -> bool:
        """Whether it reads a part of a prompt, and does not only decode."""
        return self.missing > DECODE_TOKENS

    def next_chunk(self, room: int) -> int:
        """The number of tokens to read next: `room`, or half as much again if that is the rest.

        Those whose logits are wanted go into one call.
        """
        if self.missing < 1.5 * room or self.missing == self.wanted:
            return self.missing
        return whole_pictures(self.cache.ids, len(self.cache.table.ids), min(room, self.missing - self.wanted))

    def until_checkpoint(self, count: int) -> int:
        """Of `count` tokens those before a place where the recurrent state is kept; logits come from one call."""
        stop = self.cache.table.next_stop(count)
        return stop if stop <= self.missing - self.wanted else count

    def may_join(self, leader: "Request") -> bool:
        return self is leader or (not self.alone and self.cache.extra == leader.cache.extra)

    def restore_prefix(self) -> None:
        """After an eviction, reuses the blocks that are still cached."""
        if not self.cache.table.ids:
            self.cache.table.trim_to_prefix(self.cache.ids[: -self.wanted])


class PagedCache:
    """The KV cache of one conversation, in blocks of its model's pool.

    Attributes:
        ids: its tokens, in order. Tokens whose blocks were evicted are read again by the next `feed`.
        extra: the values of the extra inputs that its keys and values depend on.
        adapter_weights: how much of each of the model's adapters they depend on; empty: none.
        table: its block table.
        places: where the vectors of its negative ids are; see `rows_of`.
        has_grids: whether the positions of its pictures are not those of a text.
        exact: whether all logits have to be exact; False: those of the best tokens do.
    """

    def __init__(self, model: PagedModel) -> None:
        self.exact = True
        self.places: Mapping[int, tuple[Picture, int]] = {}
        self.has_grids = False
        self.ids: list[int] = []
        self.extra: dict[str, float] = {}
        self.adapter_weights: tuple[float, ...] = ()
        self.table = model.new_table()
        self._model = model
        self._prompted = False  # whether `extra` has been chosen for the next prompt
        self._known = (0, 0)  # so many ids with a token as the last one, and the position after them

    def reset(self) -> None:
        """Empties the cache."""
        self.ids = []
        self._known = (0, 0)
        self._prompted = False
        self.release()

    def show(self, pictures: Sequence[Picture]) -> None:
        """Says which pictures the negative ids of the next prompt are of."""
        self.places = places_of(pictures)
        self.has_grids = any(picture.grid is not None for picture in pictures)
        self._known = (0, 0)

    def positions(self, start: int, end: int) -> np.ndarray:
        """Of `ids[start:end]`, see `positions_of`. While an answer is decoded, only the new ones are computed."""
        known, begin = self._known if self._known[0] <= start else (0, 0)
        positions = positions_of(self.ids[known:end], self.places, begin)
        if self.ids[end - 1] >= 0:
            self._known = end, int(positions[0, -1]) + 1
        return positions[:, start - known :]

    def make_private(self) -> None:
        """From now on, nothing that is read is kept on the disk."""
        self.table.is_private = True

    def use_adapters(self, weights: Sequence[float]) -> None:
        """From now on, so much of each of the model's adapters is added. What was read with other weights is dropped.

        Args:
            weights: [adapters]; empty: none is added.

        Raises:
            ValueError: the model has another number of adapters.
        """
        if len(weights) not in (0, self._model.num_adapters):
            raise ValueError(f"{len(weights)} weights for {self._model.num_adapters} adapters")
        wanted = tuple(weights) if any(weights) else ()
        if wanted != self.adapter_weights:
            self.adapter_weights = wanted
            with self._model.lock:
                self._renew_table()

    def release(self) -> None:
        """Frees the memory. The tokens are read again by the next `feed`."""
        with self._model.lock:
            self.table.release()

    def trim_to_prefix(self, ids: Sequence[int]) -> int:
        """Keeps the longest prefix of `ids` that this or another conversation has cached, and returns its length.

        Args:
            ids: the next prompt without its last token, which is always fed, for its logits.
        """
        with self._model.lock:
            self._depend_on(len(ids) + 1)
        self._model.trim_to_prefix(self.table, ids)
        with self._model.lock:
            self.ids = list(self.table.ids)
            self._known = (0, 0)
        return len(self.ids)

    def truncate(self, length: int) -> None:
        """Truncates the sequence to its first `length` tokens."""
        with self._model.lock:
            self.table.truncate(length)
            del self.ids[length:]
            if length < self._known[0]:
                self._known = (0, 0)

    def feed(self, ids: Sequence[int]) -> np.ndarray:
        """Appends tokens to the sequence and returns the logits after the last one, float32 [vocabulary].

        Raises:
            UserError: the sequence would exceed what the model or its pool can hold.
        """
        return self._feed(ids, 1)[0]

    def feed_all(self, ids: Sequence[int]) -> np.ndarray:
        """Like `feed`, for at most `BLOCK_SIZE` tokens; returns the logits after each, float32 [tokens, vocabulary]."""
        return self._feed(ids, len(ids))

    def _feed(self, ids: Sequence[int], wanted: int) -> np.ndarray:
        before = len(self.ids)
        check_length(before + len(ids), self._model.max_length)
        if not self._prompted:
            self._depend_on(len(ids))
        rows_of(ids, self.places)  # in this thread: the leader's makes the calls of all
        self.ids += ids
        request = Request(self, wanted)
        try:
            self._model.serve(request)
        finally:
            if request.logits is None:
                self.truncate(before)
        assert request.logits is not None
        return request.logits

    def _depend_on(self, prompt_length: int) -> None:
        """Chooses the extra inputs. If they change, the cached tokens are dropped."""
        extra = self._model.extra_inputs(prompt_length)
        self._prompted = True
        if extra != self.extra:
            self.extra = extra
            self._renew_table()

    def _renew_table(self) -> None:
        """An empty table in the tree of what keys and values depend on."""
        self.table.release()
        key = (*self.extra.items(), *(("adapters", self.adapter_weights) if self.adapter_weights else ()))
        self.table = self._model.new_table(key or None, self.table.is_private)
