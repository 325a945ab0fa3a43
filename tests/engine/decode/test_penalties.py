import numpy as np
import pytest

from llm_chatbot.engine.decode.penalties import Penalties
from llm_chatbot.engine.decode.sampling import Sampling


def applied(sampling: Sampling, prompt: list[int], answer: list[int], logits: list[float]) -> list[float]:
    penalties = Penalties(sampling, prompt)
    for token in answer:
        penalties.accept(token)
    given = np.array(logits, dtype=np.float32)
    found = penalties.applied(given)
    assert given.tolist() == logits, "the model's logits are changed"
    return found.tolist()


@pytest.mark.parametrize(
    ("sampling", "expected"),
    [
        (Sampling(), [1, 2, 3, 4]),
        (Sampling(presence_penalty=0.5), [1, 1.5, 2.5, 4]),
        (Sampling(frequency_penalty=0.5), [1, 1, 2.5, 4]),
        (Sampling(frequency_penalty=0.5, presence_penalty=-1), [1, 2, 3.5, 4]),
        (Sampling(repetition_penalty=2), [1, 1, 1.5, 2]),  # of the prompt too
        (Sampling(logit_bias={0: 5, 3: -100, 9: 1}), [6, 2, 3, -96]),
        # llama.cpp's order: bias, repetition, frequency and presence
        (Sampling(logit_bias={1: 2}, repetition_penalty=2, presence_penalty=0.25), [1, 1.75, 1.25, 2]),
    ],
)
def test_penalties_count_the_answer_and_the_repetition_penalty_the_prompt_too(sampling: Sampling, expected: list):
    assert applied(sampling, [3, 3], [1, 2, 1], [1, 2, 3, 4]) == expected


def test_what_is_not_used_costs_no_copy():
    logits = np.zeros(4, dtype=np.float32)
    assert Penalties(Sampling(), [1, 2]).applied(logits) is logits


def test_a_bias_of_minus_infinity_excludes_a_token():
    found = applied(Sampling(logit_bias={2: -np.inf}, repetition_penalty=1.5), [2], [], [1, 1, 1])
    assert found == [1, 1, -np.inf]
