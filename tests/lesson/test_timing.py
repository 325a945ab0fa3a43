import time

from lesson.timing import measure_token_seconds


class SlowCache:
    """Takes a millisecond for each token."""

    def __init__(self) -> None:
        self.length = 0

    def reset(self) -> None:
        self.length = 0

    def feed(self, ids):
        self.length += len(ids)
        time.sleep(0.001 * len(ids))


def test_without_the_cache_the_whole_text_is_read_again():
    cache = SlowCache()
    first, second = measure_token_seconds(cache, list(range(100)), [4, 60])
    assert (first.length, second.length) == (4, 60)
    assert first.without >= 0.005 and second.without >= 0.061
    assert first.cached < first.without and second.cached < second.without
    assert cache.length == 61 + 3
