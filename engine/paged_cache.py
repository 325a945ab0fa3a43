"""The keys and values of all conversations with a model in one pool, and calls that several of them share."""

import math
import statistics
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from config import UserError
from engine.block_pool import BlockPool, BlockTable, PoolFullError
from engine.kv_cache import check_length
from engine.paged_graph import PagedAttentionUnavailableError
from engine.paged_runner import BLOCK_SIZE, PagedRunner, Part, block_bytes, tokens_in_a_block
from engine.prompt_lookup import LookupCache, Prices

import numpy as np
import openvino as ov
import psutil

# How much the pool may take unless the caller says: what so many conversations need, and so much of what is free.
FULL_CONVERSATIONS = 8
SHARE_OF_FREE_MEMORY = 0.4
UNKNOWN_CONTEXT = 8192

# While others are talking, a long prompt is read in pieces that take about so many seconds. Alone, in pieces of so many
# tokens: from 128 to 2,048 the embedded model takes the same time for all of them.
SECONDS_FOR_A_PIECE = 0.25
TOKENS_ALONE = 256
TALKING = 32  # who wants to read no more than that is not reading a long prompt

# How long a call waits for those who took part in the last one, as a share of the time that it took.
PATIENCE = 0.2

# How many tokens the calls have whose price is measured, how often, and how long that may take. No measurement is
# believed that has a further token cost less than such a share of the first.
MEASURED_ROWS = (1, 4, 8)
PRICE_ATTEMPTS = 5
SECONDS_FOR_PRICES = 4.0
LEAST_SHARE = 0.04


def nothing(prompt_length: int) -> dict[str, float]:
    """The extra inputs of most models."""
    return {}


class Runner(Protocol):
    """What reads tokens and keeps their keys and values: see `engine.paged_runner.PagedRunner`."""

    def run(self, parts: Sequence[Part], extra: Mapping[str, float]) -> list[np.ndarray]: ...

    def copy_block(self, source: int, target: int) -> None: ...


class PagedModel:
    """A compiled paged graph that all conversations use together.

    Args:
        runner: makes the calls.
        blocks: how many blocks it has.
        max_length: how many tokens can be fed at all; None: no limit.
        extra_inputs: values of the inputs that were added to the graph, by the length of a prompt. All keys and values
            of a conversation depend on them.

    Attributes:
        pool: the blocks.
        lock: held whenever anything is changed but what the runner has, which belongs to who leads.
        prices: of calls, for prompt lookup; None: there is none.
        last_rows, last_others: how many tokens the last call had, and how many conversations beside one.
    """

    def __init__(
        self,
        runner: Runner,
        blocks: int,
        max_length: int | None = None,
        extra_inputs: Callable[[int], dict[str, float]] = nothing,
        prices: Prices | None = None,
    ) -> None:
        self.prices = prices
        self.last_rows = self.last_others = 0
        self.extra_inputs = extra_inputs
        self.max_length = min(max_length or sys.maxsize, blocks * BLOCK_SIZE)
        self.pool = BlockPool(blocks, BLOCK_SIZE, runner.copy_block)
        self.lock = threading.Condition()
        self._runner = runner
        self._waiting: list[Request] = []
        self._led = False  # whether one of those who wait makes calls for all
        self._expected: set[PagedCache] = set()  # took part in the last call and did not ask again yet
        self._patience = 0.0
        self._token_seconds = SECONDS_FOR_A_PIECE / 128

    def new_cache(self) -> "PagedCache":
        """An empty conversation."""
        return PagedCache(self)

    def new_lookup_cache(self) -> LookupCache:
        """An empty conversation that makes guesses where they pay."""
        return LookupCache(self.new_cache(), self)

    def serve(self, request: "Request") -> None:
        """Returns when the request is done.

        Whoever finds nobody leading does, and takes along the others who wait, until its own request is done.

        Raises:
            RuntimeError: the runtime fails on this request, also if it is alone.
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
                self._lead(request)
        finally:
            with self.lock:
                self._led = self._led and not leads
                if request in self._waiting:
                    self._waiting.remove(request)
                self.lock.notify_all()

    def _lead(self, request: "Request") -> None:
        """One call, for this request and others."""
        with self.lock:
            self.lock.wait_for(lambda: not self._expected, timeout=self._patience)
            self._expected.clear()
            counts = self._reserve(request)
            parts = [self._part(other, count) for other, count in counts.items()]
        started = time.perf_counter()
        results: list[np.ndarray] = []
        try:
            results = self._runner.run(parts, request.cache.extra)
        except RuntimeError:
            if len(parts) == 1:
                raise
        finally:
            with self.lock:
                self.pool.busy.clear()
                self.last_rows, self.last_others = sum(counts.values()), len(counts) - 1
                if results:
                    self._note_time(time.perf_counter() - started, sum(counts.values()))
                    for (other, count), logits in zip(counts.items(), results, strict=True):
                        self._note_read(other, count, logits)
                else:  # each then tries alone, so that only those fail on whom the runtime does
                    for other in counts:
                        other.cache.table.drop_tail()
                        other.alone = True

    def _reserve(self, leader: "Request") -> "dict[Request, int]":
        """Who takes part in the next call, and with how many tokens; there are blocks for all of these."""
        together = [leader] if leader.alone else [other for other in self._waiting if other.may_join(leader)]
        for request in together:
            request.take_over()
        room = TOKENS_ALONE if len(together) == 1 else self._piece
        counts = {}
        for request in sorted(together, key=lambda request: request.missing > TALKING):
            count = request.next_piece(room)
            if count <= 0:
                continue
            try:
                request.cache.table.reserve(count)
            except PoolFullError:  # who takes part already needs the space; the first always finds some
                continue
            self.pool.busy.add(request.cache.table)
            counts[request] = count
            room -= count
        return counts

    @property
    def _piece(self) -> int:
        """How many tokens are read in `SECONDS_FOR_A_PIECE`, in whole blocks."""
        return BLOCK_SIZE * min(max(int(SECONDS_FOR_A_PIECE / self._token_seconds / BLOCK_SIZE), 1), 32)

    def _part(self, request: "Request", count: int) -> Part:
        table = request.cache.table
        past = len(table.ids)
        ids = request.cache.ids[past : past + count]
        blocks = table.indices[: -(-(past + count) // BLOCK_SIZE)]
        return Part(ids, past, blocks, request.wanted if count == request.missing else 0)

    def _note_read(self, request: "Request", count: int, logits: np.ndarray) -> None:
        cache = request.cache
        past = len(cache.table.ids)
        cache.table.append(cache.ids[past : past + count])
        if request.missing == 0:
            request.logits = logits
            self._waiting.remove(request)
            self._expected.add(cache)
            self.lock.notify_all()

    def _note_time(self, seconds: float, tokens: int) -> None:
        self._patience = min(PATIENCE * seconds, 0.05)
        if tokens > TALKING:
            self._token_seconds = seconds / tokens


@dataclass(eq=False)
class Request:
    """What a conversation wants of the next calls: that all its tokens are read.

    Attributes:
        cache: whose tokens.
        wanted: for how many of the last tokens logits are wanted.
        logits: float32 [wanted, vocabulary] once it is done.
        alone: whether a call with others failed.
    """

    cache: "PagedCache"
    wanted: int
    logits: np.ndarray | None = None
    alone: bool = False

    @property
    def missing(self) -> int:
        """How many tokens are not read yet."""
        return len(self.cache.ids) - len(self.cache.table.ids)

    def next_piece(self, room: int) -> int:
        """How many tokens to read next, of `room` at most: the last ones, whose logits are wanted, in one call."""
        return self.missing if self.missing <= room else min(room, self.missing - self.wanted)

    def may_join(self, leader: "Request") -> bool:
        return self is leader or (not self.alone and self.cache.extra == leader.cache.extra)

    def take_over(self) -> None:
        """Holds again what was given back, where it is still there."""
        if not self.cache.table.ids:
            self.cache.table.trim_to_prefix(self.cache.ids[: -self.wanted])


class PagedCache:
    """The keys and values of one conversation, in blocks of its model's pool.

    Attributes:
        ids: its tokens, in order. Those whose blocks another needed meanwhile are read again when it goes on.
        extra: values of the inputs on which its keys and values depend.
        table: the blocks that it holds.
    """

    def __init__(self, model: PagedModel) -> None:
        self.ids: list[int] = []
        self.extra: dict[str, float] = {}
        self.table = BlockTable(model.pool)
        self._model = model
        self._prompted = False  # whether `extra` was chosen for the sequence that is about to be fed

    def reset(self) -> None:
        """Forgets the tokens."""
        self.ids = []
        self._prompted = False
        self.release()

    def release(self) -> None:
        """Gives the memory back; what is needed of it is read again."""
        with self._model.lock:
            self.table.release()

    def trim_to_prefix(self, ids: Sequence[int]) -> int:
        """Becomes the longest beginning of `ids` that this or another conversation holds; returns its length.

        Args:
            ids: what the next prompt begins with: all of it but its last token, which is always fed for its logits.
        """
        with self._model.lock:
            self._depend_on(len(ids) + 1)
            held = self.table.trim_to_prefix(ids)
            self.ids = list(self.table.ids)
        return held

    def truncate(self, length: int) -> None:
        """Cuts the sequence back to its first `length` tokens."""
        with self._model.lock:
            self.table.truncate(length)
            del self.ids[length:]

    def feed(self, ids: Sequence[int]) -> np.ndarray:
        """Appends tokens to the sequence and returns the logits after the last one, float32 [vocabulary].

        Raises:
            UserError: the sequence would be longer than the model or its pool can hold.
        """
        return self._feed(ids, 1)[0]

    def feed_all(self, ids: Sequence[int]) -> np.ndarray:
        """As `feed`, with the logits after each of at most `BLOCK_SIZE` tokens, float32 [tokens, vocabulary]."""
        return self._feed(ids, len(ids))

    def _feed(self, ids: Sequence[int], wanted: int) -> np.ndarray:
        before = len(self.ids)
        check_length(before + len(ids), self._model.max_length)
        if not self._prompted:
            self._depend_on(len(ids))
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
        """Chooses the extra inputs. Others than before mean that all is read again."""
        extra = self._model.extra_inputs(prompt_length)
        self._prompted = True
        if extra != self.extra:
            self.release()
            self.extra = extra
            self.table = BlockTable(self._model.pool, tuple(extra.items()))


def open_paged_model(
    compiled: ov.CompiledModel,
    context_length: int | None = None,
    max_length: int | None = None,
    kv_cache_gb: float | None = None,
    extra_inputs: Callable[[int], dict[str, float]] = nothing,
) -> PagedModel:
    """A compiled paged graph with a pool of its own.

    Args:
        compiled: see `engine.paged_graph.make_paged`.
        context_length: how many tokens the model was made for; None where it does not say.
        max_length, extra_inputs: see `PagedModel`.
        kv_cache_gb: how much memory all keys and values together may take; None: chosen by what is free.

    Raises:
        PagedAttentionUnavailableError: the device's blocks are not of the size that is known.
    """
    if (size := tokens_in_a_block(compiled)) != BLOCK_SIZE:
        raise PagedAttentionUnavailableError(f"a block has {size} tokens on this device, not {BLOCK_SIZE}")
    blocks = pool_blocks(block_bytes(compiled), context_length, kv_cache_gb)
    runner = PagedRunner(compiled, blocks)
    return PagedModel(runner, blocks, max_length, extra_inputs, measure_prices(runner, extra_inputs(1)))


def measure_prices(runner: Runner, extra: Mapping[str, float]) -> Prices | None:
    """What calls with a few tokens cost, in the pool's first block; None where it takes long to find out."""

    def call(rows: int) -> float:
        started = time.perf_counter()
        runner.run([Part([0] * rows, 0, [0], rows)], extra)
        return time.perf_counter() - started

    started = time.perf_counter()
    measured = dict.fromkeys(MEASURED_ROWS, math.inf)
    changed = dict.fromkeys(MEASURED_ROWS, math.inf)
    for attempt in range(PRICE_ATTEMPTS):
        for rows in MEASURED_ROWS:
            first = call(rows)
            if attempt:  # before, the runtime prepares itself for that number of tokens
                changed[rows] = min(changed[rows], first)
            measured[rows] = min(measured[rows], call(rows), call(rows))
            if attempt < 2 and time.perf_counter() - started > SECONDS_FOR_PRICES:
                return None
        if time.perf_counter() - started > SECONDS_FOR_PRICES:
            break
    single = measured[1]
    prices = {rows: max(price, single * (1 + LEAST_SHARE * (rows - 1))) for rows, price in measured.items()}
    return Prices(prices, max(statistics.median(changed[rows] - measured[rows] for rows in MEASURED_ROWS), 0.0))


def pool_blocks(size: int, context_length: int | None, kv_cache_gb: float | None) -> int:
    """How many blocks of `size` bytes a pool has.

    Raises:
        UserError: `kv_cache_gb` is no size.
    """
    if kv_cache_gb is not None:
        if not 0 < kv_cache_gb < math.inf:
            raise UserError(f"The memory for keys and values is a number above 0, in GB, not {kv_cache_gb}.")
        return max(int(kv_cache_gb * 1e9) // size, 1)
    wanted = FULL_CONVERSATIONS * -(-(context_length or UNKNOWN_CONTEXT) // BLOCK_SIZE)
    return max(min(wanted, int(psutil.virtual_memory().available * SHARE_OF_FREE_MEMORY) // size), 1)
