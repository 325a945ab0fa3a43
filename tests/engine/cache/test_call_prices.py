"""Prices of calls are measured when nobody waits for an answer."""

import subprocess
import sys
import threading
import time

import pytest

from llm_chatbot.engine.cache import call_prices
from llm_chatbot.engine.cache.call_prices import ASSUMED_PRICES, BusyError, PriceMeter, measure_prices
from tests.fake_runner import assert_same, fake, text


def timed(rows_before: list[int]):
    """Calls of which each token takes 10 ms, and another number of tokens than before 5 ms more."""

    def time_call(rows: int) -> float:
        seconds = 0.01 * rows + (0.005 if rows_before[-1:] != [rows] else 0)
        rows_before.append(rows)
        return seconds

    return time_call


def wait_until(condition) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_prices_are_those_of_the_fastest_calls(monkeypatch: pytest.MonkeyPatch):
    prices = measure_prices(timed([]))
    assert prices is not None and prices.measured == pytest.approx({1: 0.01, 4: 0.04, 8: 0.08})
    assert prices.change == pytest.approx(0.005)
    monkeypatch.setattr(call_prices, "SECONDS_FOR_PRICES", 0.1)
    assert measure_prices(timed([])) is None


def test_assumed_prices_are_replaced_in_a_pause(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(call_prices, "PAUSE", 0.0)
    model, runner = fake(prices=ASSUMED_PRICES)
    model.measure_in_pauses()
    wait_until(lambda: model.prices is not ASSUMED_PRICES)
    assert model.prices is not None and 0 < model.prices.measured[1] < 1
    assert runner.calls and model.pool.free == model.pool.blocks and model.pool.inconsistency() is None


def test_an_answer_that_begins_ends_the_measurement_after_one_call_and_its_end_begins_another():
    model, runner = fake(prices=ASSUMED_PRICES)
    runner.seconds = 0.05
    meter = PriceMeter(model, pause=0.0)
    model._idle_work.append(meter)
    meter.begin_pause()
    wait_until(lambda: runner.calls)
    with model.in_use():
        cache = model.new_cache()
        ids = text(70)
        assert_same(cache.feed(ids), ids)
        calls = len(runner.calls)
        time.sleep(0.2)
        assert len(runner.calls) == calls and model.prices is ASSUMED_PRICES
    runner.seconds = 0.0
    wait_until(lambda: model.prices is not ASSUMED_PRICES)
    assert_same(cache.feed(text(3, 1)), ids + text(3, 1))


def test_calls_for_nobody_neither_take_a_block_of_a_conversation_nor_wait():
    model, runner = fake(blocks=2)
    cache = model.new_cache()
    ids = text(20)
    cache.feed(ids)
    model.time_call(8)
    assert_same(cache.feed(text(4, 1)), ids + text(4, 1))
    cache.feed(text(20, 2))
    with pytest.raises(BusyError):
        model.time_call(1)
    cache.release()
    runner.seconds, calls = 0.2, len(runner.calls)
    thread = threading.Thread(target=cache.feed, args=(text(1, 3),))
    thread.start()
    wait_until(lambda: len(runner.calls) > calls)
    with pytest.raises(BusyError):
        model.time_call(1)
    thread.join()


def test_a_process_ends_while_it_measures():
    """The runtime aborts a process that ends while it computes: the thread has to be waited for."""
    code = (
        "import threading, time\n"
        "from llm_chatbot.engine.cache.call_prices import PriceMeter\n"
        "class Model:\n"
        "    def prepare(self, check): pass\n"
        "    def time_call(self, rows):\n"
        "        started.set(); time.sleep(0.3); print('called', flush=True); return 0.01\n"
        "started = threading.Event()\n"
        "model = Model()\n"
        "PriceMeter(model, pause=0.0).begin_pause()\n"
        "started.wait()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["called"] and done.returncode == 0
