"""How large a pool is, and what it takes."""

import math
from pathlib import Path

import psutil
import pytest

from llm_chatbot.engine.cache import opening
from llm_chatbot.engine.cache.opening import open_paged_model, pool_blocks
from llm_chatbot.engine.cache.paged_runner import PagedRunner
from llm_chatbot.errors import UserError
from tests import paged_models


def test_the_pool_is_as_large_as_asked_for_or_as_eight_full_contexts_or_as_memory_allows(
    monkeypatch: pytest.MonkeyPatch,
):
    assert pool_blocks(1_000_000, 8192, 0.5) == 500
    assert pool_blocks(1, 8192, None) == 8 * 256
    monkeypatch.setattr(opening, "available_memory", lambda: 1000)  # in a container, too: tests/machine/test_memory.py
    assert pool_blocks(4, 8192, None) == 100
    assert pool_blocks(5000, 8192, None) == 1


@pytest.mark.parametrize("gigabytes", [0, -1, math.inf, math.nan])
def test_a_pool_of_no_size_is_refused(gigabytes: float):
    with pytest.raises(UserError, match="a number above 0"):
        pool_blocks(1000, 8192, gigabytes)


def test_the_pool_takes_memory_only_where_something_is_written(embedded_folder: Path):
    runner = paged_models.paged(embedded_folder / "openvino_model.xml", kv_cache_gb=1e-3).runner
    assert isinstance(runner, PagedRunner)
    process = psutil.Process()
    before = process.memory_info().rss
    model = open_paged_model(runner.compiled, kv_cache_gb=3)
    assert process.memory_info().rss - before < 100e6
    assert model.pool.blocks > 1000
