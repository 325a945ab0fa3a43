"""A model whose output layer is in two steps where only the best tokens matter."""

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from llm_chatbot.engine.cache import output_layers
from llm_chatbot.engine.cache.call_prices import BusyError
from llm_chatbot.engine.cache.output_layers import OutputLayers
from llm_chatbot.engine.cache.paged_cache import PagedModel
from llm_chatbot.engine.cache.paged_runner import PagedRunner
from llm_chatbot.engine.decode.generation import Generation, decode
from llm_chatbot.engine.loading import open_model
from llm_chatbot.engine.precisions import EXACT

PROMPT = [1, 9690, 198, 2683, 359, 253, 5356]


def nobody_waits() -> None:
    pass


@pytest.fixture(scope="module")
def model(embedded_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PagedModel]:
    """Its layer counts as large. Nothing is prepared in pauses."""
    with pytest.MonkeyPatch.context() as patches:
        patches.setenv("LLM_CHATBOT_CACHE", str(tmp_path_factory.mktemp("cache")))
        patches.setattr("llm_chatbot.engine.graph.two_step_output.LEAST_OUTPUT_WEIGHTS", 0)
        patches.setattr(PagedModel, "measure_in_pauses", lambda self: None)
        patches.setattr(output_layers, "MIN_OUTPUT_SPEEDUP", 0)
        paged = open_model(embedded_folder, kv_cache_gb=0.1).paged
        assert paged is not None
        yield paged


def layers(model: PagedModel) -> OutputLayers:
    assert isinstance(model.runner, PagedRunner) and model.runner._output is not None
    return model.runner._output


def after(model: PagedModel, exact: bool) -> np.ndarray:
    """The logits after a call with a single token."""
    cache = model.new_cache()
    cache.exact = exact
    cache.feed(PROMPT[:-1])
    return cache.feed(PROMPT[-1:])


def test_only_single_tokens_whose_best_successors_matter_are_in_two_steps_once_these_are_built(model: PagedModel):
    wanted = after(model, exact=True)
    np.testing.assert_array_equal(after(model, exact=False), wanted)
    model.prepare(nobody_waits)
    np.testing.assert_array_equal(after(model, exact=True), wanted)
    found = after(model, exact=False)
    assert (found != wanted).mean() > 0.9 and found.argmax() == wanted.argmax()
    cache = model.new_cache()
    cache.exact = False
    several = cache.feed_all(PROMPT)
    cache = model.new_cache()
    np.testing.assert_array_equal(cache.feed_all(PROMPT), several)


@pytest.mark.parametrize(
    ("generation", "wants_exact"),
    [
        (Generation(), False),
        (Generation(temperature=0.7, top_k=40), False),
        (Generation(temperature=0.7, top_p=0.9), False),
        (Generation(temperature=0.7), True),
        (Generation(temperature=0.7, top_k=1000), True),
        (Generation(repetition_penalty=1.1), False),
        (Generation(repetition_penalty=0.9), True),
        (Generation(presence_penalty=0.1), False),
        (Generation(frequency_penalty=-0.1), True),
        (Generation(logit_bias={5: 1.0}), True),
    ],
)
def test_an_answer_says_whether_unlikely_tokens_matter(model: PagedModel, generation: Generation, wants_exact: bool):
    cache = model.new_lookup_cache()
    next(decode(cache, cache.feed(PROMPT), generation, set(), exact=False))
    assert cache._cache.exact == wants_exact
    next(decode(cache, cache.feed([5]), generation, set()))
    assert cache._cache.exact
    cache.begin_answer(generation, np.random.default_rng(), None, exact=False)  # type: ignore[arg-type]
    cache.trim_to_prefix(PROMPT)
    assert cache._cache.exact


def test_it_stays_in_one_step_where_no_file_can_hold_the_copy(model: PagedModel, logged, monkeypatch):
    own = layers(model)
    fresh = OutputLayers(own._graph, own._properties, own._weights)
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(Path(output_layers.__file__).parent / "__init__.py"))
    fresh.prepare(nobody_waits, lambda action: action())
    assert fresh._two_step is None and "stays in one step" in logged.text


def test_somebody_who_waits_ends_the_preparation_which_can_be_repeated(model: PagedModel, tmp_path, monkeypatch):
    monkeypatch.setenv("LLM_CHATBOT_CACHE", str(tmp_path))
    own = layers(model)
    fresh = OutputLayers(own._graph, own._properties, own._weights)

    def somebody_waits() -> None:
        raise BusyError

    with pytest.raises(BusyError):
        fresh.prepare(somebody_waits, lambda action: action())
    monkeypatch.setattr(output_layers, "MIN_OUTPUT_SPEEDUP", 1000)
    fresh.prepare(nobody_waits, lambda action: action())
    assert fresh._two_step is None
    with patch.object(fresh, "_in_two_steps", side_effect=AssertionError("measured once")):
        fresh.prepare(nobody_waits, lambda action: action())


def test_with_exact_hints_the_layer_stays_in_the_graph(model: PagedModel, embedded_folder: Path):
    exact = open_model(embedded_folder, ov_config=EXACT, kv_cache_gb=0.1).paged
    assert exact is not None and isinstance(exact.runner, PagedRunner) and exact.runner._output is None
