"""Many conversations at once on a small model, for a few seconds."""

from pathlib import Path

import numpy as np

from benchmarks.soak import soak
from tests import paged_models


def test_tabs_that_are_stopped_and_closed_get_their_answers_and_lose_no_block(tmp_path: Path):
    # The pool is too small for all tabs at once.
    model = paged_models.paged(paged_models.write("qwen3", tmp_path), "qwen3", kv_cache_gb=1.2e-3)
    random = np.random.default_rng(0)
    system = random.integers(3, 160, 70).tolist()
    prompts = [[*system, *random.integers(3, 160, length).tolist()] for length in (1, 9, 30, 64, 100, 150)]
    result = soak(model, prompts, tabs=20, seconds=4, tokens=30)
    assert result.answers > result.stopped > 20
    assert result.wrong == 0
    assert result.lost == 0
