from types import SimpleNamespace

import pytest

from llm_chatbot.lesson import timing
from llm_chatbot.lesson.timing import TokenSeconds, measure_token_seconds


class SlowCache:
    """Takes a second for each token, on a clock of its own."""

    def __init__(self) -> None:
        self.length = self.clock = 0

    def reset(self) -> None:
        self.length = 0

    def feed(self, ids):
        self.length += len(ids)
        self.clock += len(ids)


def test_without_the_cache_the_whole_text_is_read_again(monkeypatch: pytest.MonkeyPatch):
    cache = SlowCache()
    monkeypatch.setattr(timing, "time", SimpleNamespace(perf_counter=lambda: cache.clock))
    measured = list(measure_token_seconds(cache, list(range(100)), [4, 60]))
    assert measured == [TokenSeconds(4, 1, 5), TokenSeconds(60, 1, 61)]
    assert cache.length == 61 + 3
