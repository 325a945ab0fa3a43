import numpy as np

from llm_chatbot.lesson.game_plots import LOWEST_KL, Attempt, plot_game
from llm_chatbot.lesson.rounding import Matrix

NOTHING = np.zeros((1, 1), dtype=np.float16)
MATRICES = [Matrix("e", "embedding", -1, NOTHING), *(Matrix("m", "MLP", layer, NOTHING) for layer in range(3))]


def test_bits_errors_and_attempts_are_drawn():
    bits = dict(zip(MATRICES, (8, 4, 16, 3), strict=True))
    errors = np.array([-0.5, 0.1, 0.1])
    figure = plot_game(bits, errors, [Attempt(2e6, 0.0), Attempt(1e6, 0.4)], Attempt(1.5e6, 0.2))
    table, histogram, points = figure.axes
    assert [text.get_text() for text in table.texts] == ["8", "4", "16", "3"]
    assert sum(bar.get_height() for bar in histogram.patches) == 3
    before, yours, rival = (cloud.get_offsets().tolist() for cloud in points.collections)
    assert (before, yours, rival) == ([[2, LOWEST_KL]], [[1, 0.4]], [[1.5, 0.2]])
