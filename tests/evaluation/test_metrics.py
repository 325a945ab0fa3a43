import numpy as np
import pytest
from lm_eval.utils import get_rolling_token_windows, make_disjoint_window

from llm_chatbot.engine.decode.sampling import log_softmax
from llm_chatbot.evaluation.metrics import concatenate, divergence, rolling_windows, score_tokens


@pytest.mark.parametrize("length", [1, 7, 8, 9, 16, 20])
def test_windows_are_those_of_lm_eval(length: int):
    ids = list(range(100, 100 + length))
    theirs = map(make_disjoint_window, get_rolling_token_windows(ids, prefix_token=1, max_seq_len=8, context_len=1))
    expected = [([*context, *predicted][:-1], predicted) for context, predicted in theirs]
    assert list(rolling_windows(ids, prefix=1, length=8)) == expected


def test_divergence_is_taken_from_the_reference_to_what_was_found():
    reference, found = np.log([[0.5, 0.25, 0.25]]), np.log([[0.25, 0.7, 0.05]])
    scores = score_tokens(reference, found, [1])
    np.testing.assert_allclose(
        scores.kl, 0.5 * np.log(0.5 / 0.25) + 0.25 * np.log(0.25 / 0.7) + 0.25 * np.log(0.25 / 0.05)
    )
    assert not scores.same_top[0]
    assert scores.perplexity == pytest.approx(1 / 0.7)
    assert score_tokens(reference, reference, [1]).kl[0] == 0


def test_the_perplexity_of_one_who_knows_nothing_is_the_size_of_the_vocabulary():
    uniform = log_softmax(np.zeros((3, 50), dtype=np.float32))
    first = score_tokens(uniform, uniform, [4, 5, 6])
    assert first.perplexity == pytest.approx(50)
    assert len(concatenate([first, first]).kl) == 6


@pytest.mark.parametrize(
    ("reference", "found", "fdt", "sdt"),
    [
        ([1, 2, 3, 4], [1, 2, 3, 4], 4, 0),
        ([1, 2, 3, 4], [1, 2, 9, 4], 2, 1),
        ([1, 2, 3, 4], [9, 2, 3, 4], 0, 1),  # what agrees later is no common beginning
        ([1, 2, 3, 4], [1, 2, 3, 4, 5, 6], 4, 2),
        ([1, 2, 3, 4], [1, 2], 2, 0),  # nothing of it has to be corrected
        ([1, 2], [], 0, 0),
    ],
)
def test_first_and_share_of_divergent_tokens(reference: list[int], found: list[int], fdt: int, sdt: int):
    assert divergence(reference, found) == (fdt, sdt)
