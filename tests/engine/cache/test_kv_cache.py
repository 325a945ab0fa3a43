from pathlib import Path
from typing import Any

import numpy as np
import pytest

from llm_chatbot.engine.cache.paged_runner import PagedRunner
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.precisions import EXACT


def test_a_cache_cut_back_goes_on_as_if_the_rest_had_never_been(exact_model, tokenizer):
    ids = tokenizer("The history of Rome began with a village on seven hills.")["input_ids"]
    other = tokenizer(" It was founded by twins.")["input_ids"]
    cut, fresh = exact_model.new_cache(), exact_model.new_cache()
    cut.feed(ids)
    assert cut.trim_to_prefix([*ids[:5], *other]) == 5
    assert cut.ids == ids[:5]
    np.testing.assert_allclose(cut.feed(other).copy(), fresh.feed([*ids[:5], *other]), atol=1e-3)


def test_a_cache_with_nothing_in_common_is_emptied(exact_model):
    cache, fresh = exact_model.new_cache(), exact_model.new_cache()
    cache.feed([100, 200])
    assert cache.trim_to_prefix([300]) == 0
    np.testing.assert_array_equal(cache.feed([300]).copy(), fresh.feed([300]))


def test_under_default_hints_a_cut_changes_no_more_than_splitting_a_prefill_does(model, tokenizer):
    """Where the runtime rounds, it rounds differently for a prompt fed in two parts. A cut must not add to that."""

    def logits(*parts: list[int], cut: list[int] | None = None) -> np.ndarray:
        cache = model.new_cache()
        if cut:
            cache.feed([*parts[0], *cut])
            assert cache.trim_to_prefix(parts[0]) == len(parts[0])
            parts = parts[1:]
        for part in parts:
            result = cache.feed(part)
        return result.copy()

    random, splitting, cutting = np.random.default_rng(0), [], []
    for _ in range(8):
        ids = random.integers(100, 40_000, 120).tolist()
        whole = logits(ids)
        splitting.append(abs(logits(ids[:80], ids[80:]) - whole).max())
        cutting.append(abs(logits(ids[:80], ids[80:], cut=[5, 6, 7, 8]) - whole).max())
    assert max(splitting) > 0  # the runtime does round
    assert max(cutting) < 1.5 * max(splitting)


def test_the_logits_of_all_tokens_are_those_after_each_of_them(exact_model, tokenizer):
    ids = tokenizer("The history of Rome began with a village.")["input_ids"]
    whole, stepwise = exact_model.engine.new_stateful_cache(), exact_model.engine.new_stateful_cache()
    found = whole.feed_all(ids).copy()
    assert whole.ids == ids
    np.testing.assert_allclose(found, [stepwise.feed([id]).copy() for id in ids], atol=1e-3)
    np.testing.assert_allclose(whole.feed([100]).copy(), stepwise.feed([100]), atol=1e-3)


class InterruptedRequest:
    """An infer request: Ctrl+C comes when it has been started."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self.has_ended = False

    def start_async(self, *arguments: Any, **options: Any) -> None:
        self._request.start_async(*arguments, **options)
        raise KeyboardInterrupt

    def wait(self) -> None:
        self._request.wait()
        self.has_ended = True

    def __getattr__(self, name: str) -> Any:
        return getattr(self._request, name)


def test_ctrl_c_waits_for_what_the_runtime_still_computes(tiny_folders: dict[str, Path]):
    """The runtime's thread reads memory that is freed at the end of the process: a segmentation fault."""
    model = open_model(tiny_folders["mpt"], ov_config=EXACT)
    assert model.paged is not None and isinstance(model.paged.runner, PagedRunner)
    paged, stateful = model.paged.new_cache(), model.new_stateful_cache()
    stateful.feed([1])
    for cache, owner in ((paged, model.paged.runner), (stateful, stateful)):
        request = InterruptedRequest(owner._request)
        owner._request = request
        with pytest.raises(KeyboardInterrupt):
            cache.feed([1, 2, 3])
        assert request.has_ended
