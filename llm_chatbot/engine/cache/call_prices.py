"""The costs of a model's calls: assumed at first, and measured as soon as nobody has waited for an answer for a moment.

Measured while a model is loaded, they would delay the first answer by as much as the rest of the start takes.
"""

import math
import statistics
import threading
import time
import weakref
from collections.abc import Callable
from typing import Protocol

from llm_chatbot.engine.decode.prompt_lookup import Prices

# As multiples of a call with one token: dearer than measured on any processor so far, so that only drafts that are
# nearly certain are made. With AVX2 alone, 1, 4 and 8 tokens took 16, 32 and 41 ms, and a change 10 ms.
ASSUMED_PRICES = Prices({1: 1.0, 4: 2.0, 8: 2.6}, change=0.6)

# The numbers of tokens that are timed, the attempts, and the time limit. Each further token is taken to cost at least
# LEAST_SHARE of a call with one token, even if the measurement says less.
MEASURED_ROWS = (1, 4, 8)
PRICE_ATTEMPTS = 5
SECONDS_FOR_PRICES = 4.0
LEAST_SHARE = 0.04

PAUSE = 1.0  # seconds without an answer, after which it is measured
TICK = 0.05  # seconds by which the end of the process may be delayed, besides a call


class BusyError(Exception):
    """Somebody waits for an answer, or the model was freed."""


class MeasuredModel(Protocol):
    """The model whose calls are measured; see `llm_chatbot.engine.cache.paged_cache.PagedModel`."""

    prices: Prices | None

    def prepare(self, check: Callable[[], None]) -> None: ...

    def time_call(self, rows: int) -> float: ...


class PriceMeter:
    """Replaces a model's prices by measured ones, once, in a pause between answers, after it was prepared.

    Args:
        model: whose calls are timed. An answer that begins meanwhile waits for one call at most; then the next pause is
            used.
        pause: seconds.
    """

    def __init__(self, model: MeasuredModel, pause: float = PAUSE) -> None:
        self._model, self._pause = weakref.ref(model), pause  # weakly: an idle model can be freed during a pause
        self._pauses = 0  # how many have begun or ended
        self._is_measured = False

    def begin_pause(self) -> None:
        """Nobody waits for an answer."""
        self._pauses += 1
        if not self._is_measured:
            threading.Thread(target=self._measure, args=(self._pauses,)).start()

    def end_pause(self) -> None:
        """Somebody waits for an answer."""
        self._pauses += 1

    def _measure(self, pause: int) -> None:
        """Measures after a while, unless the pause or the process ends.

        The runtime aborts a process that ends while it computes, so this thread is waited for, and looks whether the
        main thread has ended.
        """
        end = time.monotonic() + self._pause
        try:
            while time.monotonic() < end:
                self._check(pause)
                time.sleep(TICK)
            if (model := self._model()) is not None:
                model.prepare(lambda: self._check(pause))
            del model
            prices = measure_prices(lambda rows: self._call(pause, rows))
        except BusyError:
            return
        self._is_measured = True
        if prices is not None and (model := self._model()) is not None:
            model.prices = prices

    def _check(self, pause: int) -> None:
        if self._pauses != pause or not threading.main_thread().is_alive():
            raise BusyError

    def _call(self, pause: int, rows: int) -> float:
        self._check(pause)
        if (model := self._model()) is None:
            raise BusyError
        return model.time_call(rows)


def measure_prices(time_call: Callable[[int], float]) -> Prices | None:
    """The prices of calls by timing some; None if that takes too long.

    Args:
        time_call: makes a call with a number of tokens, and returns its seconds.
    """
    spent = 0.0

    def call(rows: int) -> float:
        nonlocal spent
        seconds = time_call(rows)
        spent += seconds
        return seconds

    measured = dict.fromkeys(MEASURED_ROWS, math.inf)
    changed = dict.fromkeys(MEASURED_ROWS, math.inf)
    for attempt in range(PRICE_ATTEMPTS):
        for rows in MEASURED_ROWS:
            first = call(rows)
            if attempt:  # the first attempt warms the runtime up for this number of tokens
                changed[rows] = min(changed[rows], first)
            measured[rows] = min(measured[rows], call(rows), call(rows))
            if attempt < 2 and spent > SECONDS_FOR_PRICES:
                return None
        if spent > SECONDS_FOR_PRICES:
            break
    single = measured[1]
    prices = {rows: max(price, single * (1 + LEAST_SHARE * (rows - 1))) for rows, price in measured.items()}
    return Prices(prices, max(statistics.median(changed[rows] - measured[rows] for rows in MEASURED_ROWS), 0.0))
