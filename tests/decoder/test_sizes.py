"""The attention of files whose models are too large for a test."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from llm_chatbot.decoder.keys import Keys
from llm_chatbot.decoder.rows import ROWS
from llm_chatbot.decoder.sizes import read_heads, read_slopes, read_windows
from llm_chatbot.errors import UserError


def keys_of(architecture: str, layers: int, **values: Any) -> Keys:
    values = {"block_count": layers, "embedding_length": 64, "attention.head_count": 4, **values}
    fields = {f"{architecture}.{key}": value for key, value in values.items()}

    class Fields(dict):
        def text(self, key: str) -> str:
            return architecture

    return Keys(SimpleNamespace(fields=Fields(fields), path="a.gguf"))  # type: ignore[arg-type]


@pytest.mark.parametrize(("layers", "windows"), [(30, 0), (64, 48)])
def test_only_the_large_exaone_has_windows(layers: int, windows: int):
    keys = keys_of("exaone4", layers)
    slides = read_windows(keys, ROWS["exaone4"])
    assert sum(slides) == windows
    assert slides[3] is False
    assert read_heads(keys, ROWS["exaone4"], 0, True).window == 4096


@pytest.mark.parametrize(("architecture", "layers"), [("gemma2", 46), ("gemma3", 62)])
def test_the_largest_gemmas_scale_scores_by_their_width(architecture: str, layers: int):
    values = {"attention.key_length": 32, "attention.sliding_window": 8}
    largest, smaller = (
        read_heads(keys_of(architecture, count, **values), ROWS[architecture], 0, True).scale
        for count in (layers, layers - 1)
    )
    assert largest == pytest.approx(16**-0.5)
    assert smaller == pytest.approx(32**-0.5)


def test_a_pattern_for_each_layer_goes_before_the_architectures():
    values = {"attention.sliding_window": 8, "attention.sliding_window_pattern": np.array([True, True, False])}
    assert read_windows(keys_of("gemma3", 3, **values), ROWS["gemma3"]) == [True, True, False]
    assert read_windows(keys_of("gemma3", 6, **{"attention.sliding_window": 8}), ROWS["gemma3"]) == [True] * 5 + [False]


def test_heads_beyond_a_power_of_two_have_slopes_between_the_others():
    slopes = read_slopes(keys_of("bloom", 2), ROWS["bloom"], 6)
    np.testing.assert_allclose(slopes, [2**-2, 2**-4, 2**-6, 2**-8, 2**-1, 2**-3])


@pytest.mark.parametrize(
    "values",
    [{"attention.head_count_kv": 3}, {"rope.dimension_count": 7}, {"rope.dimension_count": 32}],
    ids=["groups", "odd", "more than a head"],
)
def test_sizes_that_do_not_fit_together_are_refused(values: dict):
    with pytest.raises(UserError, match=r"sizes of its attention heads don't fit together"):
        read_heads(keys_of("llama", 2, **values), ROWS["llama"], 0, False)


@pytest.mark.parametrize("value", [0, -1, 2.5, "4", True, np.array([4])], ids=str)
def test_a_size_that_is_none_is_refused_by_name(value: Any):
    with pytest.raises(UserError, match=r"llama\.attention\.head_count is"):
        read_heads(keys_of("llama", 2, **{"attention.head_count": value}), ROWS["llama"], 0, False)
